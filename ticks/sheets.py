"""Tables for spreadsheet programs, CSV and XLSX: written row by row, and harmless to who opens them."""

import csv
import io
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from xlsxwriter import Workbook

Cell = str | int | bool | datetime | None
Pages = Iterable[Iterable[Sequence[Cell]]]

# What begins a formula, in full width too (OWASP's list), behind anything that does not show.
UNSEEN = r"[\s\0\u00ad\u200b-\u200f\u2060\ufeff]"
SIGN = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
# A program that splits at semicolons or tabs, as Excel does in much of Europe, takes our commas and quotes for text
# and begins a cell where ours goes on: after these, a sign is as good as the first.
SEPARATOR = re.compile(r"[\t\r\n]")
# What does not show before a sign; separators may be part of it. It matches only from its first character on. A match
# tried from each separator would take quadratic time for a long run of them.
BEFORE_SIGN = re.compile(rf"(?<!{UNSEEN})(?:(?<![^;])|(?={UNSEEN})){UNSEEN}*+(?={SIGN})")
ROWS_A_SHEET = 1_048_576
LONGEST_TEXT = 32_767
MOMENT = "yyyy-mm-dd hh:mm:ss"
WIDTH = 18
FOLDER = "ticks-export-"
LEFT_OVER_SECONDS = 6 * 3600


def write_csv(file: BinaryIO, titles: Sequence[str], pages: Pages) -> int:
    """Returns the number of rows. In UTF-8 with a mark that says so: Excel reads it as something else without."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer = csv.writer(text)
    writer.writerow(titles)
    count = 0
    for page in pages:
        rows = [[in_csv(value) for value in row] for row in page]
        writer.writerows(rows)
        count += len(rows)
    text.detach()
    return count


def in_csv(value: Cell) -> str | int | None:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, bool):
        return yes_or_no(value)
    if isinstance(value, datetime):
        return value.isoformat(" ", "seconds")[:19]
    return value


def harmless(text: str) -> str:
    """With an apostrophe before what a spreadsheet program would carry out as a formula: then it is text to it."""
    text = BEFORE_SIGN.sub(with_apostrophes, text)
    return f"'{text}" if text.startswith(("\t", "\r", "\n", "\0")) else text


def with_apostrophes(before_sign: re.Match) -> str:
    """An apostrophe wherever some program may begin a cell."""
    begins_cell = before_sign.start() == 0 or before_sign.string[before_sign.start() - 1] == ";"
    return ("'" if begins_cell else "") + SEPARATOR.sub(r"\g<0>'", before_sign[0])


def yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


def write_xlsx(file: BinaryIO, titles: Sequence[str], pages: Pages, *, check: Callable[[], None]) -> int:
    """Returns the number of rows. `check` is asked during the long end too, and may raise.

    Every cell has its type, so that no text is a formula. The rows are in files until the end, several times as
    large as the answer; memory holds one.
    """
    sweep()
    with tempfile.TemporaryDirectory(prefix=FOLDER) as folder:
        options = {
            "constant_memory": True,
            "tmpdir": folder,
            "default_date_format": MOMENT,
            "remove_timezone": True,
        }
        book = Workbook(Checked(file, check), options)
        book.use_zip64()
        try:
            count = fill_book(book, titles, pages)
            book.close()
        except BaseException:
            for sheet in book.worksheets():
                sheet.row_data_fh.close()
            book.fileclosed = 1
            raise
    return count


class Checked:
    """A file for writing that asks whether to go on before each write.

    Once that or a write has failed it takes in everything: whoever cleans up behind a failure, a ZipFile say, writes
    its end, to a file that may be closed by then.
    """

    def __init__(self, file: BinaryIO, check: Callable[[], None]):
        self.file, self.check, self.has_failed = file, check, False

    def write(self, part: bytes) -> int:
        if self.has_failed:
            return len(part)
        try:
            self.check()
            return self.file.write(part)
        except BaseException:
            self.has_failed = True
            raise

    def seek(self, *place: int) -> int:
        return 0 if self.has_failed else self.file.seek(*place)

    def tell(self) -> int:
        return 0 if self.has_failed else self.file.tell()

    def flush(self) -> None:
        """Its reader sees to that."""


def fill_book(book: Workbook, titles: Sequence[str], pages: Pages) -> int:
    count, row = 0, ROWS_A_SHEET
    for page in pages:
        for values in page:
            if row == ROWS_A_SHEET:
                sheet, row = new_sheet(book, titles), 1
            for column, value in enumerate(values):
                put(sheet, row, column, value)
            row += 1
            count += 1
    if not count:
        new_sheet(book, titles)
    return count


def new_sheet(book: Workbook, titles: Sequence[str]):
    sheet = book.add_worksheet()
    sheet.set_column(0, len(titles) - 1, WIDTH)
    sheet.freeze_panes(1, 0)
    bold = book.add_format({"bold": True})
    for column, title in enumerate(titles):
        sheet.write_string(0, column, title, bold)
    return sheet


def put(sheet, row: int, column: int, value: Cell) -> None:
    if isinstance(value, str):
        sheet.write_string(row, column, unmarked(value)[:LONGEST_TEXT])
    elif isinstance(value, bool):
        sheet.write_string(row, column, yes_or_no(value))
    elif isinstance(value, datetime):
        sheet.write_datetime(row, column, value)
    elif value is not None:
        sheet.write_number(row, column, value)


def unmarked(text: str) -> str:
    """XlsxWriter puts text like `<r>...</r>`, its own rich text, into the file as it is, and breaks it."""
    return f" {text}" if text.startswith("<r>") else text


def sweep() -> None:
    """Removes what processes that were killed have left: it has people's names in it."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        try:
            is_old = left.stat().st_mtime < time.time() - LEFT_OVER_SECONDS
        except OSError:
            continue
        if is_old:
            shutil.rmtree(left, ignore_errors=True)
