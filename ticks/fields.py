"""Fields that every app's serializers share."""

import unicodedata
from datetime import UTC, datetime

from django.utils.dateparse import parse_date
from rest_framework import serializers

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


class LineField(serializers.CharField):
    """One line of text: no control characters, and no lone surrogates (DRF refuses those)."""

    default_error_messages = {"control": "Control characters such as line breaks are not allowed."}

    def to_internal_value(self, given):
        text = super().to_internal_value(given)
        if any(unicodedata.category(character) == "Cc" for character in text):
            self.fail("control")
        return text


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
