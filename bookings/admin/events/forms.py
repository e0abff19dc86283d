"""The forms of an event's fields, and what their values are in words."""

from datetime import datetime

from django import forms
from django.db import models
from django.utils import timezone

from bookings.admin.fields import MomentField, SwitchField
from bookings.exceptions import InvalidTerms
from bookings.services.events import new_event_fields
from events.models import EDITABLE_FIELDS, Event, default_sales_end
from ticks.formatting import exact_time
from ticks.forms import LineField, LinesField, WholeNumberField
from ticks.parsing import is_day
from ticks.staff_actions import ActionForm

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
            "date": "In UTC. Leave it empty if the date is not known yet, or if there is none.",
            "max_tickets_per_booking": "If it is empty, there is no limit.",
            "max_tickets_per_person": (
                "Counts what one account, or one mail address of guests, holds and waits for. "
                "If it is empty, there is no limit."
            ),
            "sales_start": "In UTC. If it is empty, sales start at once.",
            "sales_end": (
                "In UTC. If it is empty, sales end at the event's date, if that lies ahead, or at the end of that day, "
                "if it has no time. Sales can be opened without an end later."
            ),
        }
        widgets = {"description": LinesField.widget, "waitlist_policy": forms.RadioSelect}

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Django would ask the database about each constraint, but the fields and `clean` check the same.
        self.instance.validate_constraints = lambda exclude=None: None

    def clean(self):
        values = super().clean()
        if "sales_end" in self.fields and not self["sales_end"].data and values.get("date"):
            values["default_sales_end"] = default_sales_end(values["date"], is_day=is_day(self["date"].data))
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


LABELS = {name: field.label for name, field in EventForm.base_fields.items() if name in EDITABLE_FIELDS}


def format_value(name: str, value) -> str:
    """The value of a field in words."""
    if value in (None, ""):
        return EMPTY.get(name, "nothing")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, datetime):
        return exact_time(value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(Event.WaitlistPolicy(value).label) if name == "waitlist_policy" else value


def sales_window(sales_start: datetime | None, sales_end: datetime | None) -> str:
    """Whether anybody can book now, and until when."""
    now = timezone.now()
    if sales_end and sales_end <= now:
        return f"Sales have been closed since {exact_time(sales_end)}: nobody can book."
    if sales_start and sales_start > now:
        end = f" and end {exact_time(sales_end)}" if sales_end else ""
        return f"Sales open {exact_time(sales_start)}{end}; nobody can book before."
    until = f" until {exact_time(sales_end)}" if sales_end else ""
    return f"Sales are open{until}: anybody can book."
