"""Events as rows of CSV, as people send them: which text it is, which columns, and what is wrong in which line."""

import csv
import io
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django import forms
from django.utils import timezone
from django.utils.functional import cached_property

from bookings.exceptions import InvalidTerms
from bookings.services.events import refuse_empty_sales_window
from events.admin import EventForm, LinesField
from events.models import Event

MAX_ROWS = 1000
# A larger text is no table of events. It is refused before anything else reads it.
MAX_COLUMNS = 100
# Twice as long as the longest description.
MAX_CELL = 10_000
MAX_HEAD = 10_000
# Spreadsheet programs leave many empty rows at the end.
MAX_EMPTY_ROWS = 10_000
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}
# What else people call a column, in lower case and without signs.
ALSO = {
    "event": "name",
    "title": "name",
    "starts": "date",
    "date and time": "date",
    "tickets": "total_tickets",
    "tickets in total": "total_tickets",
    "capacity": "total_tickets",
    "max tickets": "max_tickets_per_booking",
    "max per booking": "max_tickets_per_booking",
    "tickets a booking at most": "max_tickets_per_booking",
    "sales from": "sales_start",
    "sales until": "sales_end",
    "waitlist": "waitlist_enabled",
    "policy": "waitlist_policy",
}
# Of an exported list: they follow from the bookings.
LEFT_OUT = {"id", "state", "held", "available", "waiting bookings", "waiting tickets", "bookings ever", "created at"}
MOMENTS = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%d"]
SAY_MOMENT = "“%(value)s” is no date and time. Write it as 2026-12-31 20:00, in UTC."
YES, NO = {"yes", "y", "true", "on", "1"}, {"no", "n", "false", "off", "0"}
EXAMPLE = (
    "Name,Date (UTC),Venue,Total tickets,Max tickets per booking,Sales start (UTC),Sales end (UTC),"
    "Waitlist enabled,Waitlist policy,Description\r\n"
    "New Year's concert,2030-12-31 20:00,Town hall,250,6,2030-11-01 09:00,2030-12-31 18:00,yes,First fit,"
    '"Doors open at 19:00, seats are free."\r\n'
    "Matinee,2031-01-01 14:30,Town hall,120,,,,no,,\r\n"
)


class Unreadable(Exception):
    """The text is no table of events; the message says why."""


class MomentField(forms.DateTimeField):
    default_error_messages = {"invalid": SAY_MOMENT}

    def to_python(self, value):
        try:
            moment = super().to_python(value)
        except forms.ValidationError as error:
            raise forms.ValidationError(self.error_messages["invalid"], params={"value": value}) from error
        # Of an offset of its own, too, what is stored is shown in UTC.
        return moment and moment.astimezone(UTC)


class LineField(forms.CharField):
    def to_python(self, value):
        text = super().to_python(value)
        if any(unicodedata.category(character) == "Cc" for character in text):
            raise forms.ValidationError("It must be one line, without control characters.")
        return text


class YesNoField(forms.Field):
    def to_python(self, value):
        said = (value or "").strip().casefold()
        if said not in YES | NO | {""}:
            raise forms.ValidationError(f"“{value.strip()}” is neither yes nor no.")
        # Empty is what the model starts with.
        return said not in NO


class PolicyField(forms.ChoiceField):
    def to_python(self, value):
        words = (value or "").partition(":")[0].casefold().replace("-", " ").split()
        return "_".join(words) or Event.WaitlistPolicy.FIRST_FIT


class RowForm(EventForm):
    """The event's form for one row: the same fields and rules, for what is written in a cell."""

    waitlist_enabled = YesNoField(required=False)
    waitlist_policy = PolicyField(required=False, choices=Event.WaitlistPolicy.choices)

    class Meta:
        model = Event
        fields = [
            "name",
            "date",
            "venue",
            "total_tickets",
            "max_tickets_per_booking",
            "sales_start",
            "sales_end",
            "waitlist_enabled",
            "waitlist_policy",
            "description",
        ]
        field_classes = {
            "name": LineField,
            "venue": LineField,
            "date": MomentField,
            "sales_start": MomentField,
            "sales_end": MomentField,
            "description": LinesField,
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in ("date", "sales_start", "sales_end"):
            self.fields[name].input_formats = MOMENTS
        # Django would ask the database about each of a thousand rows, what the fields' own rules say as well.
        self.instance.validate_constraints = lambda exclude=None: None

    def _post_clean(self):
        super()._post_clean()
        if not self.errors:
            try:
                refuse_empty_sales_window(self.instance)
            except InvalidTerms as refusal:
                self.add_error("sales_end", str(refusal))


LABELS = {name: RowForm.base_fields[name].label or name.replace("_", " ").capitalize() for name in RowForm.Meta.fields}


# Every sign, and a remark in brackets such as (UTC). The search for a closing bracket ends at the next opening one:
# to look for it as far as the end of the text, from each opening one anew, would take quadratic time.
NO_WORDS = re.compile(r"\([^()]*\)|[^a-z0-9]")


def plain_title(title: str) -> str:
    """`Total-Tickets (UTC)` and `total tickets` are the same."""
    return " ".join(NO_WORDS.sub(" ", title.casefold()).split())


COLUMNS = {plain_title(label): name for name, label in LABELS.items()} | ALSO


@dataclass
class Row:
    """An event to be: the line that it begins in, what was wrong by column, and what is strange but allowed."""

    line: int
    form: RowForm
    errors: list[str]
    warnings: list[str] = field(default_factory=list)

    def cell(self, name: str) -> str:
        """As it was understood; what was not is shown as it was written."""
        return in_words(name, self.form.cleaned_data.get(name, self.form.data.get(name, "")))


@dataclass
class Sheet:
    rows: list[Row]
    # Columns that are not known, and so are not read.
    ignored: list[str]
    delimiter: str

    @property
    def is_right(self) -> bool:
        return not any(row.errors for row in self.rows)

    @property
    def wrong(self) -> int:
        return sum(bool(row.errors) for row in self.rows)

    @property
    def labels(self) -> list[str]:
        return [LABELS[name] for name in self.filled]

    @property
    def lines(self) -> list[tuple[Row, list[str]]]:
        """Each row with its cells, of the columns that are not empty."""
        return [(row, [row.cell(name) for name in self.filled]) for row in self.rows]

    @cached_property
    def filled(self) -> list[str]:
        return [name for name in LABELS if any(row.cell(name) for row in self.rows)]


def in_words(name: str, value) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{timezone.localtime(value, UTC):%Y-%m-%d %H:%M}"
    if name == "waitlist_policy":
        return dict(Event.WaitlistPolicy.choices).get(value, value).partition(":")[0]
    return "" if value is None else str(value)


def decoded(content: bytes) -> tuple[str, str]:
    """A file's text, and which encoding it was in. Raises `Unreadable`."""
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    for encoding, name in [("utf-16", "UTF-16")] if is_utf16 else [("utf-8-sig", "UTF-8"), ("cp1252", "Windows-1252")]:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text, name
    raise Unreadable("This file is not text in UTF-8 or Windows-1252. Save it as “CSV UTF-8”, and choose it again.")


def read_sheet(text: str) -> Sheet:
    """Reads the rows and checks each. Raises `Unreadable` if it is no such table at all."""
    text = text.removeprefix("\ufeff")
    delimiter = delimiter_of(text)
    lines = numbered(text, delimiter)
    head = next(lines, None)
    if head is None:
        raise Unreadable("There is nothing here yet. The first line names the columns, each further line an event.")
    if sum(map(len, head[1])) > MAX_HEAD:
        raise Unreadable(f"Line {head[0]}: the names of columns have more than {MAX_HEAD:,} characters together.")
    names, ignored = columns_of(head[1])
    rows = []
    for line, cells in lines:
        if len(rows) == MAX_ROWS:
            raise Unreadable(f"There are more than {MAX_ROWS} events. Import them in parts.")
        rows.append(checked(line, cells, names))
    if not rows:
        raise Unreadable("There is a line with the names of columns, and no event below it.")
    return Sheet(rows, ignored, DELIMITERS[delimiter])


def delimiter_of(text: str) -> str:
    """The one by which most cells of the first line are names of columns."""
    head = text.lstrip()[:MAX_HEAD].partition("\n")[0].partition("\r")[0]
    return max(DELIMITERS, key=lambda one: sum(plain_title(cell) in COLUMNS for cell in head.split(one)))


def numbered(text: str, delimiter: str):
    """The number of the line that a row begins in, and its cells, without empty rows."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    line, empty = 1, 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            problem = f"the quotes do not match, or a cell has more than {MAX_CELL:,} characters ({error})"
            raise Unreadable(f"Line {line}: {problem}.") from error
        if cells is None:
            return
        refuse_large(line, cells)
        if any(cell.strip() for cell in cells):
            yield line, cells
        else:
            empty += 1
        if empty > MAX_EMPTY_ROWS:
            raise Unreadable(f"Line {line}: there are more than {MAX_EMPTY_ROWS:,} empty lines. Delete them.")
        line = reader.line_num + 1


def refuse_large(line: int, cells: list[str]) -> None:
    if len(cells) > MAX_COLUMNS:
        raise Unreadable(f"Line {line}: it has {len(cells):,} cells, and at most {MAX_COLUMNS} columns can be read.")
    for column, cell in enumerate(cells, 1):
        if len(cell) > MAX_CELL:
            problem = f"the cell has {len(cell):,} characters, and at most {MAX_CELL:,} can be read"
            raise Unreadable(f"Line {line}, column {column}: {problem}.")


def columns_of(head: list[str]) -> tuple[list[str | None], list[str]]:
    """Each column's field, None where it is not read; and the titles of those that nobody knows."""
    titles = [plain_title(title) for title in head]
    names = [COLUMNS.get(title) for title in titles]
    known = [name for name in names if name]
    for name in known:
        if known.count(name) > 1:
            raise Unreadable(f"Two columns are “{LABELS[name]}”; leave one out.")
    missing = [LABELS[name] for name in LABELS if RowForm.base_fields[name].required and name not in known]
    if missing:
        said = ", ".join(f"“{label}”" for label in missing)
        raise Unreadable(f"The first line must name the columns, and {said} is not among them.")
    ignored = [
        title.strip()
        for title, plain, name in zip(head, titles, names, strict=True)
        if not name and plain and plain not in LEFT_OUT
    ]
    return names, ignored


def checked(line: int, cells: list[str], names: list[str | None]) -> Row:
    # Strict only about what is there: spreadsheet programs leave empty cells at the end out.
    given = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if name}
    form = RowForm(given)
    form.is_valid()
    errors = [f"Line {line}, {LABELS.get(name, 'row')}: {' '.join(messages)}" for name, messages in form.errors.items()]
    if any(cell.strip() for cell in cells[len(names) :]):
        errors.append(f"Line {line}: it has {len(cells)} cells, and the first line names {len(names)} columns.")
    return Row(line, form, errors)


def warn_of_doubles(rows: list[Row]) -> None:
    """Says which rows look like an event that there is, or like a row above: same name, same date."""
    right = [row for row in rows if not row.errors]
    names = [row.form.cleaned_data["name"] for row in right]
    there = {identity(*known) for known in Event.objects.standing().filter(name__in=names).values_list("name", "date")}
    lines: dict[tuple, int] = {}
    for row in right:
        key = identity(row.form.cleaned_data["name"], row.form.cleaned_data["date"])
        if key in there:
            row.warnings.append("There is an event of this name and date already.")
        if key in lines:
            row.warnings.append(f"The same name and date as in line {lines[key]}.")
        lines.setdefault(key, row.line)


def identity(name: str, date: datetime | None) -> tuple:
    return name.casefold(), date
