"""Fields that staff's forms share."""

from django import forms
from django.core.exceptions import ValidationError

from events.models import BOUNDS
from ticks.db.fields import MAX_TICKETS
from ticks.parsing import CONTROL_CHARACTERS, has_control_character

MAX_REASON = 200


class LineField(forms.CharField):
    """One line of text, as the API takes it: no control characters."""

    def clean(self, value):
        text = super().clean(value)
        if has_control_character(text):
            raise ValidationError(CONTROL_CHARACTERS)
        return text


def first_name(**options) -> LineField:
    return LineField(max_length=100, label="First name", widget=typed_anew(), **options)


def last_name(**options) -> LineField:
    return LineField(max_length=100, label="Last name", widget=typed_anew(), **options)


def email(**options) -> forms.EmailField:
    return forms.EmailField(max_length=254, label="Mail address", **options)


def tickets(**options) -> forms.IntegerField:
    options = {"label": "Tickets", "min_value": 1, "max_value": MAX_TICKETS, **options}
    return forms.IntegerField(widget=forms.NumberInput(attrs={"inputmode": "numeric"}), **options)


def reason(**options) -> LineField:
    options = {"label": "Reason", "help_text": "The ledger keeps it, with your name.", **options}
    return LineField(max_length=MAX_REASON, **options)


class MomentField(forms.DateTimeField):
    """A time in UTC to the minute, picked by the browser's own means. The seconds that one has are no edit."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def has_changed(self, initial, data):
        try:
            return self.shown(initial) != self.shown(self.to_python(data))
        except ValidationError:
            return True

    def shown(self, value) -> str:
        return self.widget.format_value(self.prepare_value(value)) or ""


def moment(**options) -> MomentField:
    return MomentField(validators=BOUNDS, **options)


def typed_anew() -> forms.TextInput:
    # The browser would fill in the staff's own name.
    return forms.TextInput(attrs={"autocomplete": "off"})
