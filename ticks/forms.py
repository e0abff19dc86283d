"""Form fields of the staff's pages that read text and numbers as people type them."""

import re

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext

from ticks.text import composed, fault_of_line, fault_of_text, normalise_email, validate_email
from ticks.zones import zone_names

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,30}")
# Several groups of digits, the last of three: 1.000, 1,000,000, 1 000, 1'000, 1_000 or 1,00,000.
GROUPED_NUMBER = re.compile(r"[+-]?[0-9]{1,3}(?:[.,'\u2019_\s][0-9]{2,3})*[.,'\u2019_\s][0-9]{3}")
SEPARATORS = re.compile(r"[^0-9-]")


class LineField(forms.CharField):
    """One line of text that people can read, as in the API."""

    def to_python(self, value):
        return composed(super().to_python(value))

    def clean(self, value):
        text = super().clean(value)
        if fault := fault_of_line(text):
            raise ValidationError(fault)
        return text


class LinesField(forms.CharField):
    """Text with the API's line breaks, so that the CRLF of a browser is not an edit. Of the control characters it may
    have line breaks and tabs."""

    widget = forms.Textarea(attrs={"rows": 4})

    def to_python(self, value):
        return composed(super().to_python(value).replace("\r\n", "\n").replace("\r", "\n"))

    def clean(self, value):
        text = super().clean(value)
        if fault := fault_of_text(text):
            raise ValidationError(fault)
        return text


class EmailField(forms.EmailField):
    """A mail address, normalised before it is checked, since its lower case can be longer."""

    default_validators = [validate_email]

    def to_python(self, value):
        return normalise_email(super().to_python(value)) or self.empty_value


class WholeNumberField(forms.IntegerField):
    """A whole number in digits alone. Django's own field takes 1.000 for 1."""

    def to_python(self, value):
        text = value.strip() if isinstance(value, str) else ""
        if GROUPED_NUMBER.fullmatch(text):
            plain = {"number": SEPARATORS.sub("", text)}
            raise ValidationError(gettext("Write %(number)s, without separators.") % plain)
        if text and not WHOLE_NUMBER.fullmatch(text):
            raise ValidationError(self.error_messages["invalid"])
        return super().to_python(value)


class TimeZoneInput(forms.TextInput):
    """The name of a time zone, which the browser completes: there are too many to choose from a list on a phone."""

    template_name = "ticks/zone_input.html"

    def get_context(self, name, value, attrs):
        context = super().get_context(name, value, {**(attrs or {}), "list": f"{name}-zones", "spellcheck": "false"})
        return {**context, "zones": zone_names()}
