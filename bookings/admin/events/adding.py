"""Adds events: one by its form, or many from a CSV text. Both ways show a preview first, and add the events once."""

import csv
import io
import re
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.text import Truncator

from bookings.admin.events.forms import LABELS, EventForm, format_value, sales_window
from bookings.admin.formatting import event_url
from bookings.services.events import new_event_fields, open_events
from bookings.services.idempotency import EventReceipt, KeyedRequest
from events.models import EDITABLE_FIELDS, Event, default_time_zone
from ticks.actions import KeyedForm, Preview, Report, Table, new_key
from ticks.formatting import counted
from ticks.forms import LinesField
from ticks.sheets import unescape_formulas
from ticks.staff_actions import StaffAction

# The form proposes it, so that nobody forgets to limit a booking.
PROPOSED_LIMIT = 10
MAX_ROWS = 1000
# A larger text is no table of events, and is refused before anything else reads it.
MAX_COLUMNS, MAX_LINES, MAX_HEAD = 100, 20_000, 10_000
MAX_ERRORS = 100
IMPORT_EXAMPLE = """\
Name,Date,Time zone,Venue,Total tickets,Sales end,Waitlist policy,Description
New Year's concert,2030-12-31 20:00,Europe/Berlin,Town hall,250,2030-12-31 18:00,First fit,"Doors open at 19:00."
Matinee,2031-01-01 14:30,Europe/Berlin,Town hall,120,,,
"""
IMPORT_HELP = (
    f"The first line names the columns: {', '.join(LABELS.values())}. Name and total tickets are needed. Times are "
    f"written as 2026-12-31 20:00, in the time zone of their line, which is {default_time_zone()} where none is named; "
    "in a column whose title ends with (UTC), in UTC. Where the end of sales is empty, sales end at the event's date, "
    "if that lies ahead; “never” is no end. "
    f"At most {MAX_ROWS:,} events and 1 MB at once. An exported list of events "
    "has these columns too."
)
TOO_MANY = f"at most {MAX_LINES:,} lines with {MAX_COLUMNS} columns each can be read."
TOO_LARGE = "This is too large: at most 1 MB at once. Split it, or leave long descriptions out."
NOT_UTF8 = "This file is not text in UTF-8. Save it as “CSV UTF-8”, and choose it again."
# The pattern matches all signs, and a remark in brackets such as (UTC). The search for a closing bracket ends at the
# next opening one. If it went on to the end of the text from each opening one, it would take quadratic time.
NO_WORDS = re.compile(r"\([^()]*\)|[^a-z0-9]")

# Exports had such titles before events had time zones.
TITLE_IN_UTC = re.compile(r"\(UTC\)\s*$", re.IGNORECASE)


class RowsForm(KeyedForm):
    # The fields of each event, by line number.
    rows: dict[int, dict]


class AddEvents(StaffAction):
    permission = "events.add_event"
    log_message: str

    def initial(self):
        return {"key": new_key()}

    def keyed_request(self, form) -> KeyedRequest:
        rows, key = list(form.rows.values()), form.cleaned_data["key"]
        return KeyedRequest.of("add events", open_events, rows, actor=self.request.user, key=key)

    def earlier_report(self, form):
        receipt = self.keyed_request(form).find()
        return self.report(receipt) if receipt else None

    def carry_out(self, form):
        receipt = self.keyed_request(form).carry_out()
        if not receipt.is_replayed:
            LogEntry.objects.log_actions(self.request.user.pk, receipt.events, ADDITION, self.log_message)
        return self.report(receipt)

    def report(self, receipt: EventReceipt) -> Report:
        events = receipt.events
        address = event_url(events[0].pk) if len(events) == 1 else ""
        number = counted(len(events), "event")
        names = Truncator(", ".join(event.name for event in events)).chars(300)
        if receipt.is_replayed:
            line = f"This page has created {number} already: {names}. Nothing was created a second time."
            return Report([line], address, messages.WARNING)
        return Report([f"Created {number}: {names}."], address)


class AddEventForm(EventForm, RowsForm):
    @property
    def rows(self) -> dict[int, dict]:
        return {1: self.values()}


class AddEvent(AddEvents):
    name, title, button = "add", "Add event", "Add event"
    form_class = AddEventForm
    log_message = "Added."

    def initial(self):
        return {**super().initial(), "max_tickets_per_booking": PROPOSED_LIMIT}

    def preview(self, form):
        row = new_event_fields(form.rows[1], now=timezone.now())
        zone = ZoneInfo(row["time_zone"])
        moment = f", {format_value('date', row['date'], zone)}," if row["date"] else ""
        warnings = [text for _, text in double_warnings(form.rows)]
        created = f"{row['name']}{moment} is created with {counted(row['total_tickets'], 'ticket')}."
        lines = [created, sales_window(row["sales_start"], row["sales_end"], zone), *warnings]
        return Preview(lines, fingerprint=warnings)


class ImportForm(RowsForm):
    file = forms.FileField(
        label="A file",
        required=False,
        help_text="If you choose a file, the text below is ignored.",
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"}),
    )
    text = LinesField(
        label="Or paste the text",
        required=False,
        strip=False,
        help_text=IMPORT_HELP,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "wrap": "off", "placeholder": IMPORT_EXAMPLE}),
    )
    # The server has left the body unread, since it is too large.
    is_too_large = False

    def clean(self):
        values = super().clean()
        if self.is_too_large:
            raise ValidationError(TOO_LARGE)
        # The stamp covers the text that is checked, and the page sends the file back as this text.
        if file := values.pop("file", None):
            try:
                self.data["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise ValidationError(NOT_UTF8) from None
            values["text"] = self.fields["text"].to_python(self.data["text"])
        try:
            self.rows, self.unknown_titles = read_rows(values.get("text", "").removeprefix("\ufeff"))
        except ValidationError as error:
            self.add_error("text", error)
        return values


class ImportEvents(AddEvents):
    name, title, button = "import", "Import events", "Create them"
    form_class = ImportForm
    log_message = "Imported."

    def form(self, data=None, files=None):
        form = super().form(data, files)
        form.is_too_large = int(self.request.META.get("CONTENT_LENGTH") or 0) > settings.BODY_LIMIT
        if form.is_too_large:
            form.data.setdefault("key", new_key())
        return form

    def preview(self, form):
        lines, warnings = [f"{counted(len(form.rows), 'event')} will be created."], double_warnings(form.rows)
        lines += not_read(form.unknown_titles)
        lines += [f"Line {line}: {text}" for line, text in warnings]
        now = timezone.now()
        rows = {line: new_event_fields(row, now=now) for line, row in form.rows.items()}
        names = [name for name in EDITABLE_FIELDS if any(row[name] not in (None, "") for row in rows.values())]
        cells = [
            [str(line), *(format_value(name, row[name], ZoneInfo(row["time_zone"])) for name in names)]
            for line, row in rows.items()
        ]
        self.table = Table("This is how the lines were read.", ["Line", *(LABELS[name] for name in names)], cells)
        return Preview(lines, fingerprint=warnings)


def double_warnings(rows: dict[int, dict]) -> list[tuple[int, str]]:
    """The lines with the name and date of an existing event or of a line above, each with a warning."""
    found = Event.objects.standing().filter(name__in=[row["name"] for row in rows.values()])
    known = {(name.casefold(), date) for name, date in found.values_list("name", "date")}
    first_lines, warnings = {}, []
    for line, row in rows.items():
        key = row["name"].casefold(), row["date"]
        if key in known:
            warnings.append((line, "There is an event of this name and date already."))
        if first_lines.setdefault(key, line) != line:
            warnings.append((line, f"The same name and date as in line {first_lines[key]}."))
    return warnings


def plain_title(title: str) -> str:
    """The words of a title. They are the same for `Total-Tickets (UTC)` and `total tickets`."""
    return " ".join(NO_WORDS.sub(" ", title.casefold()).split())


FIELDS_BY_TITLE = {plain_title(label): name for name, label in LABELS.items()}


def read_rows(text: str) -> tuple[dict[int, dict], list[str]]:
    """The fields of each row by its line number, and the titles that belong to no field. Raises `ValidationError`."""
    lines = numbered_lines(text)
    _, titles = next(lines, (0, []))
    if not titles:
        raise ValidationError("There is no text yet. The first line names the columns, each line below it an event.")
    names = columns_of(titles)
    in_utc = {name for title, name in zip(titles, names, strict=True) if TITLE_IN_UTC.search(title)}
    rows, errors, wrong = {}, [], 0
    for number, cells in lines:
        if len(rows) == MAX_ROWS:
            raise ValidationError(f"There are more than {MAX_ROWS} events. Import them in parts.")
        form = EventForm(row_data(names, cells), in_utc=in_utc)
        found = [f"{LABELS.get(name, 'row')}: {' '.join(texts)}" for name, texts in form.errors.items()]
        if any(cells[len(names) :]):
            found.append(f"it has {len(cells)} cells, and the first line names {len(names)} columns.")
        errors += [f"Line {number}, {text}" for text in found]
        wrong += bool(found)
        rows[number] = {} if found else form.values()
    if not rows:
        raise ValidationError("There is a line with the names of columns, and no event below it.")
    unknown = unknown_of(titles, names)
    if errors:
        more = [f"And {len(errors) - MAX_ERRORS:,} more."] if len(errors) > MAX_ERRORS else []
        summary = f"{wrong} of {counted(len(rows), 'line')} must be corrected."
        raise ValidationError([summary, *not_read(unknown), *errors[:MAX_ERRORS], *more])
    return rows, unknown


def unknown_of(titles: list[str], names: list[str | None]) -> list[str]:
    return [title for title, name in zip(titles, names, strict=True) if title and not name]


def not_read(titles: list[str]) -> list[str]:
    """The sentence about unknown columns, if there are any."""
    return [f"These columns are not read: {', '.join(titles)}."] if titles else []


def numbered_lines(text: str):
    """Yields for each row its first line number and its cells. Empty rows are left out."""
    head = text.lstrip()[:MAX_HEAD].partition("\n")[0]
    # The delimiter is the one with which most cells of the first line are names of columns.
    delimiter = max(",;\t", key=lambda one: sum(plain_title(cell) in FIELDS_BY_TITLE for cell in head.split(one)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    try:
        for cells in reader:
            if len(cells) > MAX_COLUMNS or number > MAX_LINES:
                raise ValidationError(f"Line {number}: {TOO_MANY}")
            if any(map(str.strip, cells)):
                yield number, [unescape_formulas(cell.strip()) for cell in cells]
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValidationError(f"Line {number}: the quotes do not match ({error}).") from error


def columns_of(titles: list[str]) -> list[str | None]:
    """The field of each column; None if the column belongs to no field."""
    names = [FIELDS_BY_TITLE.get(plain_title(title)) for title in titles]
    for name, label in LABELS.items():
        if names.count(name) > 1:
            raise ValidationError(f"Two columns are “{label}”; leave one out.")
        field = EventForm.base_fields[name]
        if field.required and field.initial is None and name not in names:
            missing = f"The first line must name the columns, and “{label}” is not among them."
            # If no title is known, the line has no titles.
            raise ValidationError([missing, *not_read(unknown_of(titles, names) if any(names) else [])])
    return names


def row_data(names: list[str | None], cells: list[str]) -> dict:
    """A row as the event's form sends it: an empty cell is what a new event starts with."""
    initial = {name: field.initial for name, field in EventForm.base_fields.items() if field.initial is not None}
    data = {name: value() if callable(value) else value for name, value in initial.items()}
    # Spreadsheet programs leave out empty cells at the end.
    data |= {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
    # The policy is known by its first words, as the export writes it.
    policy = str(data["waitlist_policy"]).partition(":")[0].casefold().replace("-", " ")
    return data | {"waitlist_policy": "_".join(policy.split())}
