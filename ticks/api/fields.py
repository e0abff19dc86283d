"""Fields that every app's serializers share."""

from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from ticks.db.fields import MAX_TICKETS
from ticks.formatting import iso_milliseconds
from ticks.parsing import CONTROL_CHARACTERS, has_control_character, parse_time


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


class WholeNumberSchema(OpenApiSerializerFieldExtension):
    target_class = WholeNumberField

    def map_serializer_field(self, auto_schema, direction):
        low = 1 if self.target.min_value is None else self.target.min_value
        high = MAX_TICKETS if self.target.max_value is None else self.target.max_value
        # The pattern allows one digit less than the maximum has, since a pattern cannot compare.
        digits = f"[1-9][0-9]{{0,{len(str(high)) - 2}}}"
        pattern = f"^{digits}$" if low else f"^(0|{digits})$"
        return {"type": ["integer", "string"], "minimum": low, "maximum": high, "pattern": pattern}


@extend_schema_field({"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}]})
class SwitchField(serializers.BooleanField):
    """true or false, or one of these words (forms send them); no other word, no 0 or 1."""

    def to_internal_value(self, value):
        if isinstance(value, str):
            value = {"true": True, "false": False}.get(value.strip().lower())
        if not isinstance(value, bool):
            self.fail("invalid", input=value)
        return value


class TextField(serializers.CharField):
    """Text. Other JSON values are not turned into text: the number 1e3 is no password.

    The length limit applies to the text as it was sent, with the white space around it.
    """

    def to_internal_value(self, value):
        if not isinstance(value, str):
            self.fail("invalid")
        if self.max_length is not None and len(value) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(value)


class LineField(TextField):
    """One line of text: no control characters, and no lone surrogates (DRF refuses those)."""

    default_error_messages = {"control": CONTROL_CHARACTERS}

    def to_internal_value(self, value):
        text = super().to_internal_value(value)
        if has_control_character(text):
            self.fail("control")
        return text


class TextSchema(OpenApiSerializerFieldExtension):
    target_class = TextField
    match_subclasses = True

    def map_serializer_field(self, auto_schema, direction):
        schema = auto_schema._map_serializer_field(self.target, direction, bypass_extensions=True)
        if direction == "request":
            schema.setdefault("pattern", pattern_of(self.target))
        return schema


def pattern_of(field: TextField) -> str:
    """The pattern of the texts that are accepted, with the white space around them."""
    least = "*" if field.allow_blank else "+"
    if not isinstance(field, LineField):
        return rf"^[^\x00]{least}$"
    first = "" if field.allow_blank else r"[^\s\x00-\x1f\x7f-\x9f]"
    return rf"^[\s\x1c-\x1f\x85]*{first}[^\x00-\x1f\x7f-\x9f]*[\s\x1c-\x1f\x85]*$"


class MomentField(serializers.DateTimeField):
    """A time in ISO 8601. A bare date is midnight UTC. The output is UTC with milliseconds."""

    def __init__(self, **kwargs):
        # The browser's own picker knows no time zone, and DRF's renderer for it fails on a value that is not a date.
        kwargs.setdefault("style", {"input_type": "text", "placeholder": "2026-12-01T19:30:00Z"})
        super().__init__(**kwargs)

    def to_internal_value(self, value):
        try:
            return parse_time(value)
        except ValueError as error:
            raise serializers.ValidationError(str(error), code="invalid") from None

    def to_representation(self, moment):
        return iso_milliseconds(moment) if moment else None


class MomentSchema(OpenApiSerializerFieldExtension):
    target_class = MomentField

    def map_serializer_field(self, auto_schema, direction):
        if direction == "response":
            return {"type": "string", "format": "date-time"}
        return {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
