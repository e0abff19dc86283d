"""Text in a PDF: each character in a font that has it, in the order in which people read it."""

import pytest
from reportlab.pdfbase.pdfmetrics import stringWidth

from bookings.documents import text
from bookings.documents.text import FOLDER, from_left, printable, runs_of, width_of, wrapped

pytestmark = pytest.mark.embedded


def written(runs) -> str:
    return "".join(part for _, part in runs)


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Žofia Łuczak-Ærø", "Мария Иванова", "Ωμέγα Παπαδόπουλος", "Նարե", "ნინო", "Đặng Ửng"]
)
@pytest.mark.parametrize("is_bold", [True, False])
def test_latin_greek_cyrillic_and_their_neighbours_have_their_letters(name, is_bold):
    assert written(runs_of(name, is_bold=is_bold)) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("李小龍", "□□□"),
        ("Ada 🎟", "Ada □"),
        ("नमन", "□□□"),
        # The marks of a letter without its glyph are left out.
        ("नि", "□□"),
        ("A\u200bd\u202ea\ufe0f", "Ada"),
        ("A\x00\x07\nB\t C", "A B C"),
        ("e\u0301", "é"),
        ("\ud800x", "x"),
        ("", ""),
    ],
)
def test_what_no_font_has_is_shown_as_a_box(name, shown):
    assert written(runs_of(name)) == shown


def test_another_font_is_used_for_what_the_first_ones_lack(settings):
    # Ours lack nothing that Vera has, so this font must be looked at for a character of its own only.
    settings.TICKET_FONTS = [str(FOLDER / "DejaVuSans-Bold.ttf")]
    text.fonts.cache_clear()
    text.glyphs.cache_clear()
    try:
        names = [name for name, _ in text.glyphs(is_bold=False)]
        assert names == ["Ticks", "Ticks 0"]
        known = text.glyphs(is_bold=False)[0][1]
        glyph = known.pop(ord("q"))
        try:
            assert runs_of("aqa") == [("Ticks", "a"), ("Ticks 0", "q"), ("Ticks", "a")]
        finally:
            known[ord("q")] = glyph
    finally:
        text.fonts.cache_clear()
        text.glyphs.cache_clear()


def test_font_that_cannot_be_read_is_left_out(settings, tmp_path, caplog):
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"\0\1\0\0 and nothing else")

    assert text.load_font("Broken", str(broken)) is None


DAVID, COHEN = "\u05d3\u05d5\u05d3", "\u05db\u05d4\u05df"
DIVAD, NEHOC = DAVID[::-1], COHEN[::-1]
# A letter with two marks, which stay behind it.
MARKED = "\u05e9\u05b8\u05c1"


@pytest.mark.parametrize(
    ("stored", "seen"),
    [
        ("Ada", "Ada"),
        (f"{DAVID} {COHEN}", f"{NEHOC} {DIVAD}"),
        (f"Ada {DAVID} {COHEN}", f"Ada {NEHOC} {DIVAD}"),
        (f"{DAVID} ({COHEN}) 31", f"31 ({NEHOC}) {DIVAD}"),
        (f"{DAVID} Ada {COHEN}", f"{NEHOC} Ada {DIVAD}"),
        (f"{MARKED}{DAVID}", f"{DIVAD}{MARKED}"),
        ("12", "12"),
        ("", ""),
    ],
)
def test_what_is_written_from_right_to_left_is_turned_around(stored, seen):
    assert from_left(stored) == seen


def test_printable_text_has_no_control_character():
    assert printable("".join(map(chr, range(0x3000)))).isprintable()


@pytest.mark.parametrize("name", ["Ada " * 40, "x" * 300, "Ж" * 300, "דוד " * 60, "□" * 300, "a b " * 100])
@pytest.mark.parametrize("most", [1, 2, 3])
def test_long_text_keeps_its_lines_and_width(name, most):
    lines = wrapped(name, size=16, width=300, most=most, is_bold=True)

    assert len(lines) == most
    assert all(0 < width_of(line, 16) <= 300 for line in lines)
    assert "…" in written(lines[-1])


def test_short_text_is_whole():
    lines = wrapped("A Midsummer Night's Dream in the old theatre", size=20, width=300, most=3)

    assert " ".join(map(written, lines)) == "A Midsummer Night's Dream in the old theatre"
    assert stringWidth(written(lines[0]), "Ticks", 20) <= 300
    assert wrapped(" ", size=20, width=300, most=3) == []
