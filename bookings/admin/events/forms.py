"""The forms of an event's fields, and what their values are in words."""

from collections.abc import Collection
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from django import forms
from django.db import models
from django.utils import timezone

from bookings.admin import fields
from bookings.admin.fields import MomentField, SwitchField
from bookings.exceptions import InvalidTerms
from bookings.services.events import new_event_fields
from events.models import EDITABLE_FIELDS, Event, default_sales_end
from ticks.actions import ActionForm
from ticks.formatting import time_and_utc
from ticks.forms import LineField, LinesField, WholeNumberField
from ticks.parsing import is_day, read_time
from ticks.zones import fault_of_zone

NUMBERS = [name for name in EDITABLE_FIELDS if isinstance(Event._meta.get_field(name), models.IntegerField)]
# These fields have actions of their own.
NOT_EDITED = ("total_tickets", "sales_start", "sales_end")
NEVER = "never"
EMPTY = {
    "max_tickets_per_booking": "no limit",
    "max_tickets_per_person": "no limit",
    "sales_start": "at once",
    "sales_end": NEVER,
}


class SalesEndField(MomentField):
    """A time, or the word "never" in a file. An empty field is something else: the event's date."""

    def to_python(self, value):
        return None if str(value).strip().casefold() == NEVER else super().to_python(value)


class EventForm(forms.ModelForm, ActionForm):
    """The fields of an event that staff may set. The model has the rules for their values."""

    refused_fields = {"salesEnd": "sales_end"}

    time_zone = fields.time_zone(help_text="All times here are typed in it, and people are shown them in it.")

    class Meta:
        model = Event
        fields = EDITABLE_FIELDS
        field_classes = {
            **dict.fromkeys(("name", "venue"), LineField),
            **dict.fromkeys(("date", "sales_start"), MomentField),
            "sales_end": SalesEndField,
            **dict.fromkeys(NUMBERS, WholeNumberField),
            "description": LinesField,
            "waitlist_enabled": SwitchField,
        }
        help_texts = {
            "date": "In the time zone below. Leave it empty if the date is not known yet, or if there is none.",
            "max_tickets_per_booking": "If it is empty, there is no limit.",
            "max_tickets_per_person": (
                "Counts what one account, or one mail address of guests, holds and waits for. "
                "If it is empty, there is no limit."
            ),
            "sales_start": "In the time zone above. If it is empty, sales start at once.",
            "sales_end": (
                "In the time zone above. If it is empty, sales end at the event's date, if that lies ahead, or at the "
                "end of that day, if it has no time. Sales can be opened without an end later."
            ),
        }
        widgets = {"description": LinesField.widget, "waitlist_policy": forms.RadioSelect}

    def __init__(self, *args, in_utc: Collection[str] = (), **kwargs):
        """The times of the fields in `in_utc` are typed in UTC, all others in the zone that is typed beside them."""
        super().__init__(*args, **kwargs)
        self.in_utc = in_utc
        self.set_zone()
        # Django would ask the database about each constraint, but the fields and `clean` check the same.
        self.instance.validate_constraints = lambda exclude=None: None

    def set_zone(self) -> None:
        typed = str(self["time_zone"].value() or "").strip()
        # The model refuses an unknown zone.
        self.zone = UTC if fault_of_zone(typed) else ZoneInfo(typed)
        for name, field in self.fields.items():
            if isinstance(field, MomentField):
                field.zone = UTC if name in self.in_utc else self.zone

    def clean(self):
        values = super().clean()
        if "sales_end" in self.fields and not self["sales_end"].data and values.get("date"):
            typed = read_time(str(self["date"].data).strip())
            when = typed if is_day(typed) else values["date"]
            values["default_sales_end"] = default_sales_end(when, self.fields["date"].zone)
        try:
            new_event_fields(values, now=timezone.now())
        except InvalidTerms as error:
            self.add_error("sales_end", error.message)
        return values

    def values(self) -> dict:
        """The fields for `new_event_fields`."""
        return {
            name: self.cleaned_data[name]
            for name in (*self.Meta.fields, "default_sales_end")
            if name in self.cleaned_data
        }


class VersionForm(ActionForm):
    """`version` is the version of the event that the page showed."""

    version = forms.IntegerField(widget=forms.HiddenInput)


class EditForm(EventForm, VersionForm):
    """The page sends back the values that it showed. Only fields with other values are saved, so later changes are
    kept."""

    class Meta(EventForm.Meta):
        fields = [name for name in EDITABLE_FIELDS if name not in NOT_EDITED]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in self.Meta.fields:
            self.fields[name].show_hidden_initial = True

    def edits(self) -> dict:
        return {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.changed_data}

    def is_outdated(self, name: str, event: Event) -> bool:
        """Whether the event's value is no longer the one that the page showed."""
        try:
            return self.fields[name].has_changed(getattr(event, name), self.data.get(self.add_initial_prefix(name)))
        except forms.ValidationError:
            return True

    def rebase(self, event: Event) -> None:
        """Bases the same edits on the event as it is now."""
        for name in self.Meta.fields:
            stored = getattr(event, name)
            if name not in self.changed_data:
                self.data[name] = stored
            self.data[self.add_initial_prefix(name)] = stored
        self.data["version"] = event.version
        self.set_zone()


LABELS = {name: field.label for name, field in EventForm.base_fields.items() if name in EDITABLE_FIELDS}


def format_value(name: str, value, zone: tzinfo) -> str:
    """The value of a field in words. A time is in the zone, and in UTC."""
    if value in (None, ""):
        return EMPTY.get(name, "nothing")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, datetime):
        return time_and_utc(value, zone)
    if isinstance(value, int):
        return f"{value:,}"
    return str(Event.WaitlistPolicy(value).label) if name == "waitlist_policy" else value


def sales_window(sales_start: datetime | None, sales_end: datetime | None, zone: tzinfo) -> str:
    """Whether anybody can book now, and until when."""
    now = timezone.now()
    start, end = (moment and time_and_utc(moment, zone) for moment in (sales_start, sales_end))
    if sales_end and sales_end <= now:
        return f"Sales have been closed since {end}: nobody can book."
    if sales_start and sales_start > now:
        return f"Sales open {start}{f' and end {end}' if end else ''}; nobody can book before."
    return f"Sales are open{f' until {end}' if end else ''}: anybody can book."


def sales_that_stay(event: Event, edits: dict, zone: tzinfo) -> list[str]:
    """When sales start and end, if the edits may let somebody think that this changes too."""
    lines, is_other_zone = [], "time_zone" in edits
    if is_other_zone and event.sales_start:
        lines.append(f"Sales still start {time_and_utc(event.sales_start, zone)}.")
    if (is_other_zone or "date" in edits) and event.sales_end and event.sales_end != edits.get("date"):
        end = time_and_utc(event.sales_end, zone)
        lines.append(f"Sales still end {end}; “Open or close sales” changes that.")
    return lines
