"""The forms over the lists: each field is a filter, all of them optional."""

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone

from bookings.admin.bookings.search import ids_by_reference
from bookings.enums import LedgerKind
from events.models import STATES, Event
from ticks.db.fields import MAX_TICKETS
from ticks.parsing import EARLIEST, LATEST, MAX_SEARCH, find

MAX_CHOICES = 10
STATUSES = [("", "Any"), ("completed", "Holds tickets"), ("waitlisted", "Waits"), ("cancelled", "Cancelled")]


class FilterForm(forms.Form):
    use_required_attribute = False
    search_name = "q"
    # These are the events that the text in the field may mean.
    events: Sequence[Event] = ()

    def __init__(self, values: dict[str, str]):
        super().__init__(values, auto_id="filter-%s", label_suffix="")

    @property
    def filters(self) -> list[forms.BoundField]:
        """The fields except the search, which stands before them."""
        return [field for field in self if field.name != self.search_name]

    @property
    def search(self) -> forms.BoundField:
        return self[self.search_name]


def search_field(label: str, placeholder: str) -> forms.CharField:
    # The key `/` moves the focus to this id.
    attributes = {"type": "search", "id": "searchbar", "placeholder": placeholder}
    return forms.CharField(label=label, required=False, max_length=MAX_SEARCH, widget=forms.TextInput(attrs=attributes))


def day_field(label: str) -> forms.DateField:
    message = "Choose a day from 1900 on."
    return forms.DateField(
        label=label,
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        # The days before and after must be valid moments as well.
        validators=[
            MinValueValidator(EARLIEST.date() + timedelta(days=1), message),
            MaxValueValidator(LATEST.date() - timedelta(days=1), message),
        ],
    )


class SpanForm(FilterForm):
    """Takes two days, both included, and returns two moments in UTC: rows are from the first on and before the
    second."""

    since = day_field("From")
    until = day_field("to")

    def clean(self):
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and until < since:
            self.add_error("until", "This is before the first day.")
        self.cleaned_data["since"] = since and datetime.combine(since, time(), UTC)
        self.cleaned_data["until"] = until and datetime.combine(until + timedelta(days=1), time(), UTC)
        return self.cleaned_data

    @staticmethod
    def quick_spans() -> list[tuple[str, dict]]:
        """The names of spans, and the filters that choose each."""
        today = timezone.now().date()
        return [
            ("Today", {"since": today, "until": None}),
            ("7 days", {"since": today - timedelta(days=6), "until": None}),
        ]


class EventSpanForm(SpanForm):
    """Takes an event by its number or a part of its name as well: there are too many to choose from a list."""

    event = forms.CharField(label="Event", required=False, max_length=200)

    def clean_event(self) -> Event | None:
        value = self.cleaned_data["event"].strip()
        if not value:
            return None
        event = find(Event.objects, value.removeprefix("#"))
        if event:
            return event
        events = list(Event.objects.filter(name__icontains=value).order_by("-pk")[:MAX_CHOICES])
        same = [event for event in events if event.name.casefold() == value.casefold()]
        if len(events) == 1 or len(same) == 1:
            return (same or events)[0]
        self.events = events
        if not events:
            raise forms.ValidationError("No event has this number, or this in its name.")
        raise forms.ValidationError("Several events have this in their names. Type more of it, or choose one:")


class BookingFilterForm(EventSpanForm):
    q = search_field("Search", "Reference, name, mail address or number")
    since = day_field("Made from")
    until = day_field("to")
    status = forms.ChoiceField(label="Status", choices=STATUSES, required=False)
    least = forms.IntegerField(label="Tickets from", required=False, min_value=1, max_value=MAX_TICKETS)
    most = forms.IntegerField(label="to", required=False, min_value=1, max_value=MAX_TICKETS)
    field_order = ("q", "event", "status", "since", "until", "least", "most")


class LedgerFilterForm(EventSpanForm):
    search_name = "booking"

    booking = search_field("Search", "Reference or number of a booking")
    kind = forms.ChoiceField(label="What", choices=[("", "Anything"), *LedgerKind.choices], required=False)
    field_order = ("booking", "event", "kind", "since", "until")

    def clean_booking(self) -> list[int] | None:
        value = self.cleaned_data["booking"].strip()
        if not value:
            return None
        ids = ids_by_reference(value)
        if not ids:
            raise forms.ValidationError("No booking has this number or reference.")
        return ids


class EventFilterForm(SpanForm):
    q = search_field("Search", "Name, venue or number")
    since = day_field("Date from")
    until = day_field("to")
    state = forms.ChoiceField(label="State", choices=[("", "Not cancelled"), *STATES], required=False)
    waits = forms.BooleanField(label="Somebody waits", required=False)
    field_order = ("q", "state", "since", "until", "waits")

    @staticmethod
    def quick_spans() -> list[tuple[str, dict]]:
        today = timezone.now().date()
        return [
            ("Today", {"since": today, "until": today}),
            ("Next 7 days", {"since": today, "until": today + timedelta(days=6)}),
            ("Past", {"since": None, "until": today - timedelta(days=1)}),
        ]
