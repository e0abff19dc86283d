"""Adds events: one by its form, or many from a CSV text. Both ways show a preview first, and add the events once."""

import csv
import io
import re
import secrets

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import transaction
from django.utils.text import Truncator

from bookings.admin.events.edit import LABELS, EventForm, format_value, sales_window
from bookings.admin.links import event_url
from bookings.services.events import open_events
from events.models import EDITABLE_FIELDS, Event
from ticks.formatting import counted
from ticks.staff_actions import Action, ActionForm, Preview, Report, Table

MAX_ROWS = 1000
# A larger text is no table of events, and is refused before anything else reads it.
MAX_COLUMNS, MAX_LINES, MAX_HEAD = 100, 20_000, 10_000
MAX_ERRORS = 100
DELIMITERS = [",", ";", "\t"]
EXAMPLE = """\
Name,Date (UTC),Venue,Total tickets,Sales end (UTC),Waitlist policy,Description
New Year's concert,2030-12-31 20:00,Town hall,250,2030-12-31 18:00,First fit,"Doors open at 19:00, seats are free."
Matinee,2031-01-01 14:30,Town hall,120,,,
"""
HELP = (
    f"The first line names the columns: {', '.join(LABELS.values())}. Name and total tickets are needed. Dates are "
    f"written as 2026-12-31 20:00, in UTC. At most {MAX_ROWS:,} events and 1 MB at once. An exported list of events "
    "has these columns too."
)
TOO_LARGE = "This is too large: at most 1 MB at once. Split it, or leave long descriptions out."
NOT_UTF8 = "This file is not text in UTF-8. Save it as “CSV UTF-8”, and choose it again."
TWICE = "This page had been sent before, so nothing was created a second time."
# A session remembers these keys, so that a page that is sent again has no effect.
KEYS, MAX_KEYS = "used_event_keys", 20
# The pattern matches all signs, and a remark in brackets such as (UTC). The search for a closing bracket ends at the
# next opening one. If it went on to the end of the text from each opening one, it would take quadratic time.
NO_WORDS = re.compile(r"\([^()]*\)|[^a-z0-9]")


class OnceForm(ActionForm):
    """`key` is drawn with the page, so that its events are added once even if it is confirmed twice."""

    key = forms.CharField(widget=forms.HiddenInput, max_length=64)


class AddEvents(Action):
    permission = "events.add_event"
    log_message: str

    def initial(self):
        return {"key": secrets.token_hex(16)}

    def rows(self, form) -> list[dict]:
        """The fields of each event."""
        raise NotImplementedError

    def earlier_report(self, form):
        if form.cleaned_data["key"] in self.request.session.get(KEYS, []):
            return Report([TWICE], level=messages.WARNING)
        return None

    def carry_out(self, form):
        if not take_key(self.request.session, form.cleaned_data["key"]):
            return Report([TWICE], level=messages.WARNING)
        # If the database refuses, the next confirmation needs a new key.
        form.data["key"] = secrets.token_hex(16)
        events = open_events(self.rows(form), actor=self.request.user)
        LogEntry.objects.log_actions(self.request.user.pk, events, ADDITION, self.log_message)
        address = event_url(events[0].pk) if len(events) == 1 else ""
        names = Truncator(", ".join(event.name for event in events)).chars(300)
        return Report([f"Created {counted(len(events), 'event')}: {names}."], address)


class AddForm(EventForm, OnceForm):
    pass


class AddEvent(AddEvents):
    name, title, button = "add", "Add event", "Add event"
    form_class = AddForm
    log_message = "Added."

    def rows(self, form):
        return [{name: form.cleaned_data[name] for name in EDITABLE_FIELDS}]

    def preview(self, form):
        [row] = self.rows(form)
        moment = f", {format_value('date', row['date'])}," if row["date"] else ""
        warnings = double_warnings([row])[0]
        lines = [
            f"{row['name']}{moment} is created with {counted(row['total_tickets'], 'ticket')}.",
            sales_window(row["sales_start"], row["sales_end"]),
            *warnings,
        ]
        return Preview(lines, fingerprint=warnings)


class ImportForm(OnceForm):
    file = forms.FileField(
        label="A file", required=False, widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,text/csv"})
    )
    text = forms.CharField(
        label="Or the text itself",
        required=False,
        strip=False,
        help_text=HELP,
        widget=forms.Textarea(attrs={"rows": 12, "spellcheck": "false", "wrap": "off", "placeholder": EXAMPLE}),
    )
    # The server has left the body unread, since it is too large.
    is_too_large = False

    def clean(self):
        values = super().clean()
        if self.is_too_large:
            raise forms.ValidationError(TOO_LARGE)
        # The stamp covers the text that is checked, and the page sends the file back as this text.
        file = values.pop("file", None)
        if file:
            try:
                self.data["text"] = file.read().decode("utf-8-sig")
            except UnicodeDecodeError:
                raise forms.ValidationError(NOT_UTF8) from None
        text = (self.data["text"] if file else values.get("text", "")).removeprefix("\ufeff")
        values["text"] = text.replace("\r\n", "\n").replace("\r", "\n")
        try:
            self.row_lines, self.row_forms, self.unknown_titles = read_rows(values["text"])
        except forms.ValidationError as error:
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
            form.data.setdefault("key", self.initial()["key"])
        return form

    def rows(self, form):
        return [{name: row.cleaned_data[name] for name in EDITABLE_FIELDS} for row in form.row_forms]

    def preview(self, form):
        rows = self.rows(form)
        warnings = double_warnings(rows, form.row_lines)
        lines = [f"{counted(len(rows), 'event')} will be created."]
        if form.unknown_titles:
            lines.append(f"These columns are not read: {', '.join(form.unknown_titles)}.")
        lines += [
            f"Line {line}: {text}" for line, texts in zip(form.row_lines, warnings, strict=True) for text in texts
        ]
        names = [name for name in EDITABLE_FIELDS if any(row[name] not in (None, "") for row in rows)]
        cells = [
            [str(line), *(format_value(name, row[name]) for name in names)]
            for line, row in zip(form.row_lines, rows, strict=True)
        ]
        self.table = Table("As the lines were read.", ["Line", *(LABELS[name] for name in names)], cells)
        return Preview(lines, fingerprint=warnings)


def take_key(session, key: str) -> bool:
    """Takes a key; False if a page with it was confirmed before. Of two requests at once, the stored session lets one
    win."""
    with transaction.atomic():
        # This is the lock. A session that is read after it has the keys of the request before.
        session.row().select_for_update().first()
        stored = type(session)(session.session_key)
        used = stored.get(KEYS, [])
        if key in used:
            return False
        stored[KEYS] = session[KEYS] = [*used, key][-MAX_KEYS:]
        stored.save(must_create=False)
    return True


def double_warnings(rows: list[dict], lines: list[int] = ()) -> list[list[str]]:
    """For each row, warnings if an existing event or a row above has the same name and date."""
    known = Event.objects.standing().filter(name__in=[row["name"] for row in rows]).values_list("name", "date")
    known = {(name.casefold(), date) for name, date in known}
    first_lines: dict[tuple, int] = {}
    warnings = []
    for place, row in enumerate(rows):
        key = row["name"].casefold(), row["date"]
        warnings.append(["There is an event of this name and date already."] if key in known else [])
        if key in first_lines:
            warnings[-1].append(f"The same name and date as in line {first_lines[key]}.")
        elif lines:
            first_lines[key] = lines[place]
    return warnings


# Reading a text


def plain_title(title: str) -> str:
    """The words of a title. They are the same for `Total-Tickets (UTC)` and `total tickets`."""
    return " ".join(NO_WORDS.sub(" ", title.casefold()).split())


COLUMNS = {plain_title(label): name for name, label in LABELS.items()}


def read_rows(text: str) -> tuple[list[int], list[EventForm], list[str]]:
    """The line number and the form of each row, and the titles that belong to no field. Raises `ValidationError`."""
    lines = numbered_lines(text)
    _, titles = next(lines, (0, []))
    if not titles:
        raise forms.ValidationError(
            "There is no text yet. The first line names the columns, each line below it an event."
        )
    names, unknown = columns_of(titles)
    numbers, row_forms, errors, wrong = [], [], [], 0
    for number, cells in lines:
        if len(numbers) == MAX_ROWS:
            raise forms.ValidationError(f"There are more than {MAX_ROWS} events. Import them in parts.")
        form = EventForm(row_data(names, cells))
        found = [f"{LABELS.get(name, 'row')}: {' '.join(texts)}" for name, texts in form.errors.items()]
        if any(cells[len(names) :]):
            found.append(f"it has {len(cells)} cells, and the first line names {len(names)} columns.")
        numbers.append(number)
        row_forms.append(form)
        errors += [f"Line {number}, {text}" for text in found]
        wrong += bool(found)
    if not numbers:
        raise forms.ValidationError("There is a line with the names of columns, and no event below it.")
    if errors:
        more = [f"And {len(errors) - MAX_ERRORS:,} more."] if len(errors) > MAX_ERRORS else []
        summary = f"{wrong} of {counted(len(numbers), 'line')} must be corrected."
        raise forms.ValidationError([summary, *errors[:MAX_ERRORS], *more])
    return numbers, row_forms, unknown


def numbered_lines(text: str):
    """Yields for each row its first line number and its cells. Empty rows are left out."""
    head = text.lstrip()[:MAX_HEAD].partition("\n")[0]
    # The delimiter is the one with which most cells of the first line are names of columns.
    delimiter = max(DELIMITERS, key=lambda one: sum(plain_title(cell) in COLUMNS for cell in head.split(one)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise forms.ValidationError(f"Line {number}: the quotes do not match ({error}).") from error
        if cells is None:
            return
        if len(cells) > MAX_COLUMNS or number > MAX_LINES:
            raise forms.ValidationError(
                f"Line {number}: at most {MAX_LINES:,} lines with {MAX_COLUMNS} columns each can be read."
            )
        cells = [cell.strip() for cell in cells]
        if any(cells):
            yield number, cells
        number = reader.line_num + 1


def columns_of(titles: list[str]) -> tuple[list[str | None], list[str]]:
    """The field of each column, None if there is none; and the titles of the columns without a field."""
    names = [COLUMNS.get(plain_title(title)) for title in titles]
    for name, label in LABELS.items():
        if names.count(name) > 1:
            raise forms.ValidationError(f"Two columns are “{label}”; leave one out.")
        field = EventForm.base_fields[name]
        if field.required and field.initial is None and name not in names:
            raise forms.ValidationError(f"The first line must name the columns, and “{label}” is not among them.")
    return names, [title for title, name in zip(titles, names, strict=True) if title and not name]


def row_data(names: list[str | None], cells: list[str]) -> dict:
    """A row as the event's form sends it: an empty cell is what a new event starts with."""
    data = {name: field.initial for name, field in EventForm.base_fields.items() if field.initial is not None}
    # Spreadsheet programs leave out empty cells at the end.
    data |= {name: cell for name, cell in zip(names, cells, strict=False) if name and cell}
    # The policy is known by its first words, as the export writes it.
    policy = str(data["waitlist_policy"]).partition(":")[0].casefold().replace("-", " ")
    return data | {"waitlist_policy": "_".join(policy.split())}
