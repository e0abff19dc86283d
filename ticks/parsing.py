"""Reads ids and times, in bodies, addresses and forms."""

import re
from datetime import UTC, date, datetime, tzinfo

from django.utils.dateparse import parse_date, parse_datetime

from ticks.zones import start_of_day

MAX_ID = 2**63 - 1
# No event has more tickets.
MAX_TICKETS = 1_000_000
# This limits the characters of a search, since every word is a condition on every searched column.
MAX_SEARCH = 200
# Every database and every time zone can hold these times.
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)
NO_TIME = "Send a date or time in ISO 8601, such as 2024-12-01 or 2024-12-01T19:30:00Z."
OUT_OF_RANGE = "Send a time from the year 1900 to the year 9998."
# Python accepts any character between the date and the time, so it reads a date with a time zone as a date with a time.
MISREAD_ZONE = re.compile(r"\s*[\dW-]{7,10}+(?![Tt ]|\s*$)")
NO_SEPARATOR = "Write a T or a space between the date and the time; a date alone takes no time zone."
# A fraction of hours or minutes. Python reads 20.30 as twenty hours and a fraction of a second.
MISREAD_TIME = re.compile(r"\s*[\dW-]{7,10}[T\s]+(\d{1,2})(:?\d\d)?[.,](\d\d)?")


def parse_id(text: str) -> int | None:
    """An id from a path or a query string; None when no row can have it."""
    # The length comes first, since int() refuses more than 4300 digits with an error of its own.
    if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_ID)) and int(text) <= MAX_ID:
        return int(text)
    return None


def find(queryset, text: str):
    """The row whose id a path names; None when there is none, or when it is no id at all."""
    pk = parse_id(text)
    return None if pk is None else queryset.filter(pk=pk).first()


def refuse_misread_time(text: str) -> None:
    """Raises ValueError if Python reads another time than the one that was meant, with a sentence for the sender."""
    if MISREAD_ZONE.match(text):
        raise ValueError(NO_SEPARATOR)
    if misread := MISREAD_TIME.match(text):
        hour, minute_before, minute = misread.groups()
        example = f"{hour:0>2}:{minute}" if minute and not minute_before else "20:30 or 20:30:00"
        raise ValueError(f"Write the time with colons, as {example}.")


def read_time(text: str) -> datetime | date | None:
    """What a text says in ISO 8601: a time, with or without an offset, or a day; None if it says neither.

    Raises ValueError with a sentence for the sender if Python would read another time than the one that was meant.
    """
    if isinstance(text, str):
        refuse_misread_time(text)
    try:
        return parse_date(text) or parse_datetime(text)
    except (ValueError, TypeError):
        return None


def parse_time_or_day(text: str) -> datetime | date:
    """A time in ISO 8601, in UTC if it names no offset; or a day, which begins at another moment in each zone.

    Raises ValueError with a sentence for the sender.
    """
    found = read_time(text)
    if found is None:
        raise ValueError(NO_TIME)
    try:
        moment = start_of_day(found, UTC) if is_day(found) else in_utc(found)
    except OverflowError:
        raise ValueError(OUT_OF_RANGE) from None
    if not EARLIEST <= moment <= LATEST:
        raise ValueError(OUT_OF_RANGE)
    return found if is_day(found) else moment


def parse_time(text: str) -> datetime:
    """A time as `parse_time_or_day` reads it. A bare date is its midnight in UTC."""
    return moment_of(parse_time_or_day(text), UTC)


def in_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def is_day(value) -> bool:
    return isinstance(value, date) and not isinstance(value, datetime)


def moment_of(value: datetime | date, zone: tzinfo) -> datetime:
    """A moment as it is, and a day's beginning in a zone."""
    # The first and the last day begin outside of the bounds in some zones.
    return min(max(EARLIEST, start_of_day(value, zone)), LATEST) if is_day(value) else value
