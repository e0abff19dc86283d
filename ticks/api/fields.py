"""Fields that every app's serializers share."""

import unicodedata
from datetime import UTC, datetime

from django.utils.dateparse import parse_date
from drf_spectacular.extensions import OpenApiSerializerFieldExtension
from rest_framework import serializers

from ticks.db.fields import MAX_TICKETS
from ticks.moments import EARLIEST, LATEST, iso_milliseconds


class WholeNumberField(serializers.IntegerField):
    """A whole number, as a JSON number or a decimal string; neither true nor 1.0."""

    default_error_messages = {"invalid": "Send a whole number."}

    def to_internal_value(self, given):
        if isinstance(given, str):
            given = given.strip()
            if not (given.isascii() and given.removeprefix("-").isdigit() and len(given) <= 30):
                self.fail("invalid")
            given = int(given)
        if isinstance(given, bool) or not isinstance(given, int):
            self.fail("invalid")
        return given


class WholeNumberSchema(OpenApiSerializerFieldExtension):
    target_class = WholeNumberField

    def map_serializer_field(self, auto_schema, direction):
        low, high = self.target.min_value or 1, self.target.max_value or MAX_TICKETS
        # As many digits as are in bounds whatever they are: a pattern cannot compare.
        digits = f"^[1-9][0-9]{{0,{len(str(high)) - 2}}}$"
        return {"type": ["integer", "string"], "minimum": low, "maximum": high, "pattern": digits}


class SwitchField(serializers.BooleanField):
    """true or false, or one of these words (forms send them); no other word, no 0 or 1."""

    def to_internal_value(self, given):
        if isinstance(given, str):
            given = {"true": True, "false": False}.get(given.strip().lower())
        if not isinstance(given, bool):
            self.fail("invalid", input=given)
        return given


class SwitchSchema(OpenApiSerializerFieldExtension):
    target_class = SwitchField

    def map_serializer_field(self, auto_schema, direction):
        return {"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}]}


class TextField(serializers.CharField):
    """Text, and nothing that could be turned into text: 1e3 is no password.

    The limit is of what is sent, white space around it included.
    """

    def to_internal_value(self, given):
        if not isinstance(given, str):
            self.fail("invalid")
        if self.max_length is not None and len(given) > self.max_length:
            self.fail("max_length", max_length=self.max_length)
        return super().to_internal_value(given)


class LineField(TextField):
    """One line of text: no control characters, and no lone surrogates (DRF refuses those)."""

    default_error_messages = {"control": "Control characters such as line breaks are not allowed."}

    def to_internal_value(self, given):
        text = super().to_internal_value(given)
        if any(unicodedata.category(character) == "Cc" for character in text):
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
    """What a text may be, before the white space around it is cut off."""
    least = "*" if field.allow_blank else "+"
    if not isinstance(field, LineField):
        return rf"^[^\x00]{least}$"
    first = "" if field.allow_blank else r"[^\s\x00-\x1f\x7f-\x9f]"
    return rf"^[\s\x1c-\x1f\x85]*{first}[^\x00-\x1f\x7f-\x9f]*[\s\x1c-\x1f\x85]*$"


class MomentField(serializers.DateTimeField):
    """A time in ISO 8601; out: UTC with milliseconds. A bare date is midnight UTC."""

    default_error_messages = {
        "invalid": "Send a date or time in ISO 8601, such as 2024-12-01 or 2024-12-01T19:30:00Z.",
        # DRF's own word for a time that no datetime can hold.
        "overflow": "Send a time from the year 1900 to the year 9998.",
    }

    def __init__(self, **kwargs):
        # Not the browser's picker: it knows no time zone, and its renderer fails on what is no date.
        kwargs.setdefault("style", {"input_type": "text", "placeholder": "2026-12-01T19:30:00Z"})
        super().__init__(default_timezone=UTC, **kwargs)

    def to_internal_value(self, given):
        if isinstance(given, str):
            try:
                bare = parse_date(given)
            except ValueError:
                self.fail("invalid")
            if bare:
                given = datetime(bare.year, bare.month, bare.day, tzinfo=UTC)
        moment = super().to_internal_value(given).astimezone(UTC)
        if not EARLIEST <= moment <= LATEST:
            self.fail("overflow")
        return moment

    def to_representation(self, moment):
        return iso_milliseconds(moment) if moment else None


class MomentSchema(OpenApiSerializerFieldExtension):
    target_class = MomentField

    def map_serializer_field(self, auto_schema, direction):
        if direction == "response":
            return {"type": "string", "format": "date-time"}
        return {"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}
