"""Form fields that the forms of staff share."""

from datetime import UTC

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError

from events.models import BOUNDS
from ticks.forms import EmailField, LineField, WholeNumberField
from ticks.languages import language_name
from ticks.parsing import MAX_TICKETS, refuse_misread_time
from ticks.text import MAX_NAME

MAX_REASON = 200
# A new booking's names have at most this length, as in the API.
MAX_PERSON_NAME = 100
# The one-ticket contract copies the names of accounts, which may be longer.
MAX_ACCOUNT_NAME = 150
# Otherwise the browser would fill in the name of the person who types.
NO_AUTOCOMPLETE = {"autocomplete": "off"}
SWITCH_WORDS = {"yes": True, "on": True, "true": True, "1": True, "no": False, "off": False, "false": False, "0": False}


class MomentField(forms.DateTimeField):
    """A time in UTC, typed to the minute in the browser's own picker. Seconds that the picker drops are not an edit."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    # These are accepted besides ISO 8601. Django's own list reads 03/04/2030 in the American order.
    input_formats = ["%Y-%m-%d"]
    default_error_messages = {"invalid": "Enter a date and time such as 2026-12-31 20:00, in UTC."}
    default_validators = BOUNDS

    def to_python(self, value):
        try:
            refuse_misread_time(str(value))
        except ValueError as error:
            raise ValidationError(str(error)) from None
        moment = super().to_python(value)
        return moment and moment.astimezone(UTC)

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


def first_name(*, max_length: int = MAX_PERSON_NAME) -> LineField:
    return LineField(max_length=max_length, label="First name", widget=forms.TextInput(NO_AUTOCOMPLETE))


def last_name(*, max_length: int = MAX_PERSON_NAME) -> LineField:
    """Optional, since some people have only one name."""
    widget = forms.TextInput(NO_AUTOCOMPLETE)
    return LineField(max_length=max_length, label="Last name", required=False, widget=widget)


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
