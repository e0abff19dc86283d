"""Writes tables for spreadsheet programs, as CSV and XLSX, row by row. The tables are harmless to open, and their texts
can be read back."""

import csv
import io
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from ticks.text import INVISIBLE

Cell = str | int | datetime | None
Rows = Iterable[Sequence[Cell]]

# A program that splits at semicolons or tabs, as Excel does in much of Europe, treats our commas and quotes as text,
# and begins a new cell in the middle of ours.
SEPARATOR = re.compile(r"([;\t\r\n])")
# A formula begins with one of these signs, in full width too (OWASP's list), behind anything that does not show. Texts
# with apostrophes before it are matched as well: they get one more, so that one can be taken away again from each.
FORMULA = re.compile(rf"'*[\s\0{INVISIBLE}]*[=+\-@\uff1d\uff0b\uff0d\uff20]")
LEADING_CONTROL = re.compile(r"'*[\t\r\n\0]")
# A sheet has this many rows besides its titles.
ROWS_A_SHEET = 1_048_575
COLUMN_WIDTH = 18
FOLDER = "ticks-export-"
LEFTOVER_SECONDS = 6 * 3600
XLSX_OPTIONS = {"constant_memory": True, "use_zip64": True, "remove_timezone": True}
DATE_FORMAT = "yyyy-mm-dd hh:mm:ss"


def write_csv(file: BinaryIO, titles: Sequence[str], rows: Rows) -> int:
    """Writes UTF-8 with a mark that says so, without which Excel misreads it. Returns the number of rows."""
    text, count = io.TextIOWrapper(file, encoding="utf-8-sig", newline=""), 0
    writer = csv.writer(text)
    writer.writerow(titles)
    for row in rows:
        cells = [f"{cell:%Y-%m-%d %H:%M:%S}" if isinstance(cell, datetime) else cell for cell in row]
        writer.writerow([escape_formulas(cell) if isinstance(cell, str) else cell for cell in cells])
        count += 1
    text.detach()
    return count


def escape_formulas(text: str) -> str:
    """Puts an apostrophe before every text that a spreadsheet program may run as a formula. Then it stays text."""
    text = "".join(f"'{part}" if FORMULA.match(part) else part for part in SEPARATOR.split(text))
    return f"'{text}" if LEADING_CONTROL.match(text) else text


def unescape_formulas(text: str) -> str:
    """The text as it was before `escape_formulas`."""
    text = text[1:] if text.startswith("'") and LEADING_CONTROL.match(text) else text
    parts = SEPARATOR.split(text)
    return "".join(part[1:] if part.startswith("'") and FORMULA.match(part) else part for part in parts)


def write_xlsx(file: BinaryIO, titles: Sequence[str], rows: Rows) -> int:
    """Writes each cell with its type, so that no text is a formula. Returns the number of rows.

    Until the end the rows are in files, several times as large as the answer; memory holds one.
    """
    remove_leftovers()
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        book, count = Workbook(file, {**XLSX_OPTIONS, "default_date_format": DATE_FORMAT, "tmpdir": folder}), 0
        sheet = add_sheet(book, titles)
        try:
            for count, row in enumerate(rows, 1):
                place = (count - 1) % ROWS_A_SHEET + 1
                if place == 1 and count > 1:
                    sheet = add_sheet(book, titles)
                for column, cell in enumerate(row):
                    if isinstance(cell, str):
                        # XlsxWriter takes text like `<r>...</r>` for its own rich text and does not escape it, which
                        # breaks the file.
                        sheet.write_string(place, column, f" {cell}" if cell.startswith("<r>") else cell)
                    else:
                        sheet.write(place, column, cell)
            book.close()
        finally:
            for sheet in book.worksheets():
                sheet.row_data_fh.close()
    return count


def add_sheet(book: Workbook, titles: Sequence[str]) -> Worksheet:
    sheet = book.add_worksheet()
    sheet.set_column(0, len(titles) - 1, COLUMN_WIDTH)
    sheet.freeze_panes(1, 0)
    sheet.write_row(0, 0, titles, book.add_format({"bold": True}))
    return sheet


def remove_leftovers() -> None:
    """Removes the files that killed processes have left, since they contain people's names."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
