# ruff: noqa: RUF001 (the tests are about such characters)
import time
import unicodedata

import pytest

from ticks.search import FOLDED, fold_words, search_text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ada Lovelace", ["ada", "lovelace"]),
        ("O'Brien O’Brien O`Brien OʼBrien", ["obrien"] * 4),
        ("Jean-Luc–Jean‑Luc—x", ["jean", "luc", "jean", "luc", "x"]),
        ("İSTANBUL ıstanbul", ["istanbul", "istanbul"]),
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("Łódź Ørsted Đorđe Þór Æon Œuvre", ["lodz", "orsted", "dorde", "thor", "aeon", "oeuvre"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zerowidth"]),
        ("ﬁne Ａda ²", ["fine", "ada", "2"]),
        ("🎸 night", ["🎸", "night"]),
        ("C++ (50%) _x_ a\tb\n", ["c", "50", "x", "a", "b"]),
        ("ΣΊΣΥΦΟΣ σίσυφος", ["σισυφοσ", "σισυφοσ"]),
        ("", []),
    ],
)
def test_words_are_folded(text, words):
    assert fold_words(text) == words


@pytest.mark.parametrize("text", ["Núñez Žofia ᾳ ΐ ǰ", "한글 がぎ", "Việt Nguyễn", "हिन्दी ไทย"])
def test_composed_and_decomposed_text_are_folded_alike(text):
    assert fold_words(unicodedata.normalize("NFC", text)) == fold_words(unicodedata.normalize("NFD", text))


def test_ascii_is_folded_as_other_text_is():
    for code in range(128):
        text = f"X{chr(code)}Y"

        assert fold_words(text) == text.translate(FOLDED).split()


def test_search_text_has_a_space_before_every_word():
    assert search_text("Ada", "", "a.b@example.org") == " ada a b example org"


def test_long_run_of_accents_is_folded_at_once():
    began = time.monotonic()

    fold_words("a" + "\u0301\u0323" * 50_000)

    # Its normal form takes more than a second.
    assert time.monotonic() - began < 0.5
