"""The forms over the lists: each field is a filter, all of them optional."""

from datetime import UTC, datetime, time, timedelta

from django import forms
from django.utils import timezone

from bookings.admin.bookings.search import bookings_named
from bookings.admin.bounds import Span
from bookings.enums import LedgerKind
from events.admin import STATES
from events.models import Event
from ticks.db.fields import MAX_TICKETS
from ticks.parsing import EARLIEST, LATEST, MAX_SEARCH, parse_id

SHOWN_EVENTS = 10
STATUSES = [("", "Any"), ("completed", "Holds tickets"), ("waitlisted", "Waits"), ("cancelled", "Cancelled")]


class FilterForm(forms.Form):
    use_required_attribute = False
    search_name = "q"
    # Those that what was typed may mean.
    events: tuple[Event, ...] = ()

    def __init__(self, given: dict[str, str]):
        super().__init__(given, auto_id="filter-%s", label_suffix="")

    @property
    def filters(self) -> list[forms.BoundField]:
        """All but the search, which stands before them."""
        return [field for field in self if field.name != self.search_name]

    @property
    def search(self) -> forms.BoundField:
        return self[self.search_name]


def search_field(label: str, placeholder: str) -> forms.CharField:
    # Found by `/`.
    shown = {"id": "searchbar", "placeholder": placeholder}
    widget = forms.TextInput(attrs={"type": "search", **shown})
    return forms.CharField(label=label, required=False, max_length=MAX_SEARCH, widget=widget)


def date_field(label: str) -> forms.DateField:
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
    return forms.DateField(label=label, required=False, input_formats=["%Y-%m-%d"], widget=widget)


class SpanForm(FilterForm):
    """Days in UTC, both included."""

    since = date_field("From")
    until = date_field("to")

    def clean(self):
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        for name, day in (("since", since), ("until", until)):
            if day and not EARLIEST.date() < day < LATEST.date():
                self.add_error(name, "Choose a day from 1900 on.")
        if since and until and until < since:
            self.add_error("until", "This is before the first day.")
        return self.cleaned_data

    def span(self) -> Span:
        since, until = self.cleaned_data["since"], self.cleaned_data["until"]
        return Span(
            since and datetime.combine(since, time(), UTC),
            until and datetime.combine(until + timedelta(days=1), time(), UTC),
        )


class OfEventForm(SpanForm):
    """With an event, by its number or a part of its name: a list of thousands is nothing to choose from."""

    event = forms.CharField(label="Event", required=False, max_length=200)

    def clean_event(self) -> Event | None:
        given = self.cleaned_data["event"].strip()
        if not given:
            return None
        number = parse_id(given.removeprefix("#"))
        event = number is not None and Event.objects.filter(pk=number).first()
        return event or self.event_named(given)

    def event_named(self, name: str) -> Event:
        events = list(Event.objects.filter(name__icontains=name).order_by("-pk")[: SHOWN_EVENTS + 1])
        same = [event for event in events if event.name.casefold() == name.casefold()]
        if len(events) == 1 or len(same) == 1:
            return (same or events)[0]
        self.events = tuple(events[:SHOWN_EVENTS])
        if not events:
            raise forms.ValidationError("No event has this number, or this in its name.")
        if len(events) > SHOWN_EVENTS:
            raise forms.ValidationError("Many events have this in their names. Type more of it, or choose a new one:")
        raise forms.ValidationError("Several events have this in their names. Choose one:")


class BookingFilterForm(OfEventForm):
    q = search_field("Search", "Reference, name, mail address or number")
    since = date_field("Made from")
    until = date_field("to")
    status = forms.ChoiceField(label="Status", choices=STATUSES, required=False)
    least = forms.IntegerField(label="Tickets from", required=False, min_value=1, max_value=MAX_TICKETS)
    most = forms.IntegerField(label="to", required=False, min_value=1, max_value=MAX_TICKETS)
    field_order = ("q", "event", "status", "since", "until", "least", "most")


class LedgerFilterForm(OfEventForm):
    search_name = "booking"

    booking = search_field("Search", "Reference or number of a booking")
    kind = forms.ChoiceField(label="What", choices=[("", "Anything"), *LedgerKind.choices], required=False)
    field_order = ("booking", "event", "kind", "since", "until")

    def clean_booking(self) -> list[int] | None:
        given = self.cleaned_data["booking"].strip()
        if not given:
            return None
        named = bookings_named(given)
        if not named:
            raise forms.ValidationError("No booking has this number or reference.")
        return named


class EventFilterForm(SpanForm):
    q = search_field("Search", "Name, venue or number")
    since = date_field("Date from")
    until = date_field("to")
    state = forms.ChoiceField(label="State", choices=[("", "Not cancelled"), *STATES], required=False)
    waits = forms.BooleanField(label="Somebody waits", required=False)
    field_order = ("q", "state", "since", "until", "waits")


def past_days() -> list[tuple[str, dict]]:
    """Names of spans up to now, and the filters that choose them."""
    today = timezone.now().date()
    return [
        ("Today", {"since": today, "until": None}),
        ("7 days", {"since": today - timedelta(days=6), "until": None}),
    ]


def coming_days() -> list[tuple[str, dict]]:
    today = timezone.now().date()
    return [
        ("Today", {"since": today, "until": today}),
        ("Next 7 days", {"since": today, "until": today + timedelta(days=6)}),
        ("Past", {"since": None, "until": today - timedelta(days=1)}),
    ]
