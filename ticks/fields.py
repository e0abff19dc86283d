"""Fields that every app's models and serializers share."""

import unicodedata
from datetime import UTC, datetime

from django.db import models
from django.utils.dateparse import parse_date
from rest_framework import serializers

MAX_ID = 2**63 - 1
MAX_TICKETS = 1_000_000
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 1, 1, tzinfo=UTC)


def parse_id(given: str) -> int | None:
    """An id from a path or a query string; None when no row can have it."""
    # The length first: int() refuses more than 4300 digits with an error of its own.
    if given.isascii() and given.isdigit() and len(given) <= len(str(MAX_ID)) and int(given) <= MAX_ID:
        return int(given)
    return None


class ExactCollation:
    """Compares code point by code point on every database.

    MySQL's and MariaDB's usual collations take different emoji, accents and cases for the same.
    """

    def db_parameters(self, connection):
        parameters = super().db_parameters(connection)
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters


class ExactCharField(ExactCollation, models.CharField):
    pass


class ExactEmailField(ExactCollation, models.EmailField):
    pass


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
        if not EARLIEST <= moment < LATEST:
            self.fail("overflow")
        return moment

    def to_representation(self, moment):
        return iso_milliseconds(moment) if moment else None


def iso_milliseconds(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
