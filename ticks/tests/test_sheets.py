"""Tables for spreadsheet programs: harmless, and whole."""

import io
import os
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticks import sheets
from ticks.sheets import escape_formulas, remove_leftovers, unescape_formulas, write_csv, write_xlsx

pytestmark = pytest.mark.embedded
CELLS = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(1)",
        "\uff1d1+1",
        "\uff0b1",
        "\uff0d1",
        "\uff20SUM(1)",
        "\tname",
        "\rname",
        "\nname",
        "\0name",
        " =1+1",
        "\u00a0\u3000=1+1",
        "\u200b=1+1",
        "\u3164=1+1",
        "\ufe0f=1+1",
        "\ufeff=1+1",
    ],
)
def test_text_that_begins_a_formula_gets_an_apostrophe(text):
    assert escape_formulas(text) == f"'{text}"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Ada;=1+1", "Ada;'=1+1"),
        ("Ada; =1+1", "Ada;' =1+1"),
        ("Ada\t=1+1", "Ada\t'=1+1"),
        ("Ada\n=1+1", "Ada\n'=1+1"),
        ("Ada\r\n@x", "Ada\r\n'@x"),
        ("=1;=2", "'=1;'=2"),
        (" \t =1+1", " \t' =1+1"),
    ],
)
def test_text_in_which_another_separator_begins_a_formula_gets_one_there(text, written):
    """Excel splits a file at semicolons where its language says so, whatever the quotes around say."""
    assert escape_formulas(text) == written


@pytest.mark.parametrize("text", ["", "Ada", "Ada-Lovelace", "a=b", "ada@example.org", "1+1", "Ada, Grace; and 2", "é"])
def test_other_text_stays_as_it_is(text):
    assert escape_formulas(text) == text


@pytest.mark.parametrize("text", ["'quoted", "'", "''a", "don't", "a '=1"])
def test_apostrophe_before_no_formula_stays_alone(text):
    assert escape_formulas(text) == unescape_formulas(text) == text


@pytest.mark.parametrize(("text", "written"), [("'=1", "''=1"), ("''-1;'@x", "'''-1;''@x"), ("'\nA", "''\nA")])
def test_text_that_looks_protected_gets_one_more_apostrophe(text, written):
    assert escape_formulas(text) == written


@pytest.mark.drawn
@given(st.text(st.sampled_from("'=+-@;\t\r\n\0 \u200b\uff1da1")) | st.text())
def test_protection_against_formulas_is_undone_exactly(text):
    assert unescape_formulas(escape_formulas(text)) == text


def test_csv_has_each_kind_of_cell():
    file = io.BytesIO()
    rows = [
        ["=1", -2, datetime(2030, 1, 2, 3, 4, 5, 678, tzinfo=UTC), None],
        ['a "b"\nc', 0, None, ""],
    ]

    count = write_csv(file, ["Name", "Left"], rows)

    assert count == 2
    assert file.getvalue().decode() == ('\ufeffName,Left\r\n\'=1,-2,2030-01-02 03:04:05,\r\n"a ""b""\nc",0,,\r\n')


def xlsx(rows):
    file = io.BytesIO()
    count = write_xlsx(file, ["Name", "Left"], rows)
    return file, count


def sheets_of(file):
    with zipfile.ZipFile(file) as book:
        names = sorted(name for name in book.namelist() if name.startswith("xl/worksheets/sheet"))
        trees = [ElementTree.fromstring(book.read(name)) for name in names]  # noqa: S314 (our own)
    return [
        [[(cell.get("t"), "".join(cell.itertext())) for cell in row] for row in tree.iter(f"{CELLS}row")]
        for tree in trees
    ]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "=1+1"),
        ("{=1+1}", "{=1+1}"),
        ("https://example.org", "https://example.org"),
        ("12", "12"),
        ("<b>&", "<b>&"),
        ("<r><t>&broken</r>", " <r><t>&broken</r>"),
        (" a\tb ", " a\tb "),
        ("a\x01b\0", "a_x0001_b_x0000_"),
        ("a" * 40_000, "a" * 32_767),
    ],
)
def test_xlsx_keeps_any_text_as_text(text, written):
    file, _ = xlsx([[text, 1]])

    [[_, cells]] = sheets_of(file)
    assert cells == [("inlineStr", written), (None, "1")]


def test_xlsx_goes_on_in_a_second_sheet_when_one_is_full(monkeypatch):
    monkeypatch.setattr(sheets, "ROWS_A_SHEET", 2)

    file, count = xlsx([["a", 1], ["b", 2], ["c", 3]])

    assert count == 3
    first, second = sheets_of(file)
    assert [row[0][1] for row in first] == ["Name", "a", "b"]
    assert [row[0][1] for row in second] == ["Name", "c"]


def test_xlsx_that_fails_leaves_nothing(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def rows():
        yield ["a", 1]
        raise KeyError

    with pytest.raises(KeyError):
        xlsx(rows())

    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_removed_after_hours(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("ticks-export-old", "ticks-export-new", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "ticks-export-old" / "rows").write_text("Ada")
    old = time.time() - sheets.LEFTOVER_SECONDS - 60
    for name in ("ticks-export-old", "other"):
        os.utime(tmp_path / name, (old, old))

    remove_leftovers()

    assert sorted(path.name for path in Path(tmp_path).iterdir()) == ["other", "ticks-export-new"]
