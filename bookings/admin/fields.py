"""Form fields that the forms of staff share."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, tzinfo

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from bookings.services.search import number_in
from events.models import BOUNDS, Event, default_time_zone
from ticks.forms import EmailField, LineField, TimeZoneInput, WholeNumberField
from ticks.languages import language_name
from ticks.parsing import MAX_TICKETS, OUT_OF_RANGE, is_day, read_time
from ticks.search import fold_words, search_text
from ticks.text import MAX_NAME
from ticks.zones import moment_in, start_of_day

MAX_REASON = 200
# A new booking's names have at most this length, as in the API.
MAX_PERSON_NAME = 100
# The one-ticket contract copies the names of accounts, which may be longer.
MAX_ACCOUNT_NAME = 150
# Otherwise the browser would fill in the name of the person who types.
NO_AUTOCOMPLETE = {"autocomplete": "off"}
MAX_EVENTS_MEANT = 10
SWITCH_WORDS = {"yes": True, "on": True, "true": True, "1": True, "no": False, "off": False, "false": False, "0": False}


class MomentField(forms.DateTimeField):
    """A time as the clocks of a time zone show it, typed to the minute in the browser's own picker. Seconds that the
    picker drops are not an edit.

    A time that the clocks show twice is the first of the two, unless it is typed with an offset. A day is its
    beginning.
    """

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    default_error_messages = {"invalid": "Enter a date and time such as 2026-12-31 20:00."}
    default_validators = BOUNDS
    # The form sets the zone in which its times are typed.
    zone: tzinfo = UTC

    def prepare_value(self, value):
        # A hidden input has the offset too, so that it says the same moment if another zone is typed.
        return value.astimezone(self.zone) if isinstance(value, datetime) else value

    def to_python(self, value):
        if value in self.empty_values:
            return None
        try:
            found = value if isinstance(value, datetime) else read_time(str(value).strip())
            if found is None:
                raise ValidationError(self.error_messages["invalid"], code="invalid")
            return self.moment_of(found)
        except ValueError as error:
            raise ValidationError(str(error)) from None
        except OverflowError:
            raise ValidationError(OUT_OF_RANGE) from None

    def moment_of(self, found: datetime | date) -> datetime:
        if is_day(found):
            return start_of_day(found, self.zone)
        return found.astimezone(UTC) if found.tzinfo else moment_in(self.zone, found)

    def has_changed(self, initial, data):
        try:
            return self.in_minutes(initial) != self.in_minutes(self.to_python(data))
        except ValidationError:
            return True

    def in_minutes(self, value) -> str:
        return self.widget.format_value(self.prepare_value(value)) or ""


class SwitchInput(forms.CheckboxInput):
    """A checkbox that passes the word that was sent to its field. Django's own checkbox takes every word for on."""

    def value_from_datadict(self, data, files, name):
        return data.get(name, False)


class SwitchField(forms.BooleanField):
    """A checkbox, or one of the words for on and off in a file."""

    widget = SwitchInput

    def to_python(self, value):
        if isinstance(value, bool):
            return value
        switch = SWITCH_WORDS.get(str(value or "no").strip().casefold())
        if switch is None:
            raise ValidationError(f"“{value}” is neither yes nor no.")
        return switch


class EventField(forms.CharField):
    """An event by its number or a part of its name: there are too many to choose from a list. `several` is the sentence
    about a text that may mean several, with `%(events)s` for their numbers and names."""

    # The events that the text may mean, if there are several.
    events: Sequence[Event] = ()

    def __init__(self, *, several: str, **options):
        super().__init__(required=False, max_length=200, label="Event", **options)
        self.several = several

    def clean(self, value) -> Event | None:
        text = super().clean(value)
        if not text:
            return None
        found = events_meant(text)
        if len(found) == 1:
            return found[0]
        if not found:
            raise ValidationError("No event has this number, or this in its name.")
        self.events = found
        raise ValidationError(self.several, params={"events": ", ".join(f"{event.pk} ({event})" for event in found)})


def events_meant(value: str) -> list[Event]:
    """The event with this number or name, or some with this in their names."""
    event = Event.objects.filter(pk=number_in(value)).first()
    if event:
        return [event]
    words = fold_words(value)
    # The search looks at venues and descriptions too. A description is long, and many events may match.
    found = Event.objects.search(value).order_by("-pk").only("name", "date", "time_zone")
    events = [event for event in found if all(word in search_text(event.name) for word in words)][:MAX_EVENTS_MEANT]
    same = [event for event in events if fold_words(event.name) == words]
    if len(events) == 1 or len(same) == 1:
        return [Event.objects.get(pk=(same or events)[0].pk)]
    return events


def first_name(*, max_length: int = MAX_PERSON_NAME) -> LineField:
    return LineField(max_length=max_length, label="First name", widget=forms.TextInput(NO_AUTOCOMPLETE))


def last_name(*, max_length: int = MAX_PERSON_NAME) -> LineField:
    """Optional, since some people have only one name."""
    widget = forms.TextInput(NO_AUTOCOMPLETE)
    return LineField(max_length=max_length, label="Last name", required=False, widget=widget)


def time_zone(**options) -> LineField:
    """The model says whether there is such a zone."""
    return LineField(max_length=64, label="Time zone", initial=default_time_zone, widget=TimeZoneInput, **options)


def email() -> EmailField:
    """Optional, since some callers have no mail address."""
    return EmailField(max_length=MAX_NAME, label="Mail address", required=False)


def language() -> forms.ChoiceField:
    default = language_name("")
    return forms.ChoiceField(
        label="Language",
        required=False,
        choices=[("", f"As usual here ({default})"), *settings.LANGUAGES],
        help_text="Of the mails and tickets. If the booking is in an account that has a language, that one counts.",
    )


def tickets(**options) -> WholeNumberField:
    options = {"label": "Tickets", "min_value": 1, "max_value": MAX_TICKETS, **options}
    return WholeNumberField(widget=forms.NumberInput(attrs={"inputmode": "numeric"}), **options)


def reason(**options) -> LineField:
    return LineField(max_length=MAX_REASON, label="Reason", help_text="The ledger keeps it, with your name.", **options)
