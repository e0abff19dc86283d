"""Fields that every app's serializers share, and what the serializers of requests have in common."""

from collections.abc import Mapping
from difflib import get_close_matches

from django.conf import settings
from django.http import QueryDict
from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.fields import empty

from ticks.formatting import iso_milliseconds
from ticks.parsing import MAX_TICKETS, parse_time, parse_time_or_day
from ticks.text import BIDI_CONTROL, CONTROL, CONTROL_IN_TEXT, INVISIBLE, composed, fault_of_line, fault_of_text
from ticks.zones import fault_of_zone

# An answer names this many unknown names, each cut to this length.
MAX_UNKNOWN, MAX_UNKNOWN_LENGTH = 20, 100


class RequestSerializer(serializers.Serializer):
    """The fields of a request. A name that is not among them is refused: an event whose limit is misspelt would go on
    sale without it."""

    default_error_messages = {"invalid": "Send a JSON object: names and values in curly brackets."}
    # Sentences for names that clients may expect here.
    refused_names: dict[str, str] = {}

    def to_internal_value(self, data):
        unknown = self.unknown_names(data) if isinstance(data, Mapping) else {}
        try:
            values = super().to_internal_value(data)
        except ValidationError as error:
            raise ValidationError({**error.detail, **unknown}) from None
        if unknown:
            raise ValidationError(unknown)
        return values

    def unknown_names(self, data: Mapping) -> dict[str, list[str]]:
        """A sentence for each name that is no field."""
        # Forms of the browsable API have this name as well.
        form_names = {"csrfmiddlewaretoken"} if isinstance(data, QueryDict) else set()
        unknown = [
            str(name)[:MAX_UNKNOWN_LENGTH] for name in data if name not in self.fields and name not in form_names
        ]
        return {name: [self.refused_names.get(name) or self.suggestion_for(name)] for name in unknown[:MAX_UNKNOWN]}

    def suggestion_for(self, name: str) -> str:
        names = {plain_field_name(field): field for field in self.fields}
        for close in get_close_matches(plain_field_name(name), names, n=1):
            return f"There is no such field; did you mean {names[close]}?"
        return (
            f"There is no such field; use {', '.join(self.fields)}." if self.fields else "This request has no fields."
        )


def plain_field_name(name: str) -> str:
    """The letters of a name, which are the same for `totalTickets` and `total_tickets`."""
    return name.replace("_", "").replace("-", "").lower()


class RequestSchema(OpenApiSerializerExtension):
    target_class = RequestSerializer
    match_subclasses = True

    def map_serializer(self, auto_schema, direction):
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        # Its docstring is for those who read the code.
        schema.pop("description", None)
        return {**schema, "additionalProperties": False}


MAX_INT32 = 2**31 - 1


class WholeNumberField(serializers.IntegerField):
    """A whole number, as a JSON number or a decimal string. It accepts neither true nor 1.0."""

    default_error_messages = {"invalid": "Send a whole number."}

    def to_internal_value(self, value):
        if isinstance(value, str):
            value = value.strip()
            if not (value.isascii() and value.removeprefix("-").isdigit() and len(value) <= 30):
                self.fail("invalid")
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail("invalid")
        return value


@extend_schema_field({"type": "integer", "format": "int64"})
class IdField(serializers.IntegerField):
    """An id in an answer."""


class WholeNumberSchema(OpenApiSerializerFieldExtension):
    target_class = WholeNumberField

    def map_serializer_field(self, auto_schema, direction):
        low = 1 if self.target.min_value is None else self.target.min_value
        high = MAX_TICKETS if self.target.max_value is None else self.target.max_value
        # A decimal string is not published: with it the type would be a union, which few languages have.
        schema = {"type": "integer", "minimum": low, "maximum": high}
        return schema | ({"format": "int64"} if high > MAX_INT32 else {})


@extend_schema_field({"type": "boolean"})
class SwitchField(serializers.BooleanField):
    """true or false, or one of these words (forms send them); no other word, no 0 or 1.

    A form that does not name it has not answered, as in JSON. The browsable API names it in each of its forms.
    """

    default_error_messages = {"invalid": "Send true or false."}
    default_empty_html = empty

    def to_internal_value(self, value):
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.strip().lower())
        if not isinstance(value, bool):
            self.fail("invalid", input=value)
        return value


class WordField(serializers.ChoiceField):
    """One of a few words."""

    def __init__(self, choices, **kwargs):
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f"Send one of these: {', '.join(self.choices)}."


class LanguageField(WordField):
    """The code of a language that mails can be written in; null if none was chosen."""

    def __init__(self, **kwargs):
        super().__init__(settings.LANGUAGES, allow_null=True, **kwargs)

    def run_validation(self, data=empty):
        return super().run_validation(data) or ""

    def to_representation(self, value):
        return value or None


class StringField(serializers.CharField):
    """Text as it was sent. Other JSON values are not turned into text: the number 1e3 is no password.

    The length limit applies to the text as it was sent, with the white space around it.
    """

    def run_validation(self, data=empty):
        # DRF would take any amount of white space for an empty text.
        if isinstance(data, str) and self.max_length is not None and len(data) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().run_validation(data)

    def to_internal_value(self, value):
        if not isinstance(value, str):
            self.fail("invalid")
        return super().to_internal_value(value)


class TextField(StringField):
    """Text in NFC, so that one text has one spelling."""

    def to_internal_value(self, value):
        return composed(super().to_internal_value(value))


class LinesField(TextField):
    """Text of several lines that people can read."""

    def to_internal_value(self, value):
        text = super().to_internal_value(value)
        if fault := fault_of_text(text):
            raise ValidationError(fault)
        return text


class LineField(TextField):
    """One line of text that people can read, without lone surrogates (DRF refuses those)."""

    def to_internal_value(self, value):
        text = super().to_internal_value(value)
        if fault := fault_of_line(text):
            raise ValidationError(fault)
        return text


class TimeZoneField(StringField):
    """The IANA name of a time zone."""

    def to_internal_value(self, value):
        name = super().to_internal_value(value)
        if fault := fault_of_zone(name):
            raise ValidationError(fault)
        return name


class StringSchema(OpenApiSerializerFieldExtension):
    target_class = StringField
    match_subclasses = True

    def map_serializer_field(self, auto_schema, direction):
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if direction == "request":
            schema.setdefault("pattern", pattern_of(self.target))
        return schema


def pattern_of(field: StringField) -> str:
    """The pattern of the texts that are accepted, with the white space around them."""
    least = "*" if field.allow_blank else "+"
    if isinstance(field, LinesField):
        return rf"^[^{CONTROL_IN_TEXT}]{least}$"
    if not isinstance(field, LineField):
        return rf"^[^\x00]{least}$"
    refused = rf"{CONTROL}{BIDI_CONTROL}"
    # At least one character must be seen.
    line = rf"[^{refused}]*[^\s{refused}{INVISIBLE}][^{refused}]*"
    space = r"[\s\x1c-\x1f\x85]*"
    return f"^{space}({line})?{space}$" if field.allow_blank else f"^{space}{line}{space}$"


class MomentField(serializers.DateTimeField):
    """A time in ISO 8601. A bare date is midnight UTC. The output is UTC with milliseconds."""

    def __init__(self, **kwargs):
        # The browser's own picker knows no time zone, and DRF's renderer for it fails on a value that is not a date.
        kwargs.setdefault("style", {"input_type": "text", "placeholder": "2026-12-01T19:30:00Z"})
        super().__init__(**kwargs)

    parse = staticmethod(parse_time)

    def to_internal_value(self, value):
        try:
            return self.parse(value)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from None

    def to_representation(self, moment):
        return iso_milliseconds(moment) if moment else None


class MomentOrDayField(MomentField):
    """A time in ISO 8601, or a bare date, which only a time zone makes a moment (`ticks.parsing.moment_of`)."""

    parse = staticmethod(parse_time_or_day)


class MomentSchema(OpenApiSerializerFieldExtension):
    target_class = MomentField
    match_subclasses = True

    def map_serializer_field(self, auto_schema, direction):
        # A bare date is not published: with it the type would be a union, which generators of clients turn into "any".
        return {"type": "string", "format": "date-time"}
