"""Formats times, numbers, states and shares for people, and times for programs."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html

NEAR_DAYS = {-1: "yesterday", 0: "today", 1: "tomorrow"}


def iso_milliseconds(moment: datetime) -> str:
    return utc_milliseconds(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=256)
def utc_milliseconds(moment: datetime) -> str:
    """The text is cached, since the bookings of a batch have one time. It is only for UTC, since elsewhere two
    different moments can compare as equal."""
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def counted(number: int, thing: str) -> str:
    """A number with its noun, such as "1 ticket" or "1,200 tickets"."""
    return f"{number:,} {plural(number, thing)}"


def plural(number: int, thing: str) -> str:
    return thing if number == 1 else f"{thing}s"


def format_time(moment: datetime, now: datetime | None = None) -> str:
    """A time such as `today 14:05`, or `12 Dec 2026, 20:00`. It is in UTC, as all times of the staff's site."""
    days = (moment.date() - (now or timezone.now()).date()) // timedelta(days=1)
    if days in NEAR_DAYS:
        return f"{NEAR_DAYS[days]} {moment:%H:%M}"
    return date_format(moment, "j M Y, H:i")


def exact_time(moment: datetime) -> str:
    """A time such as `12 Dec 2026, 20:00 UTC`, for a sentence that is read later or elsewhere."""
    return f"{date_format(moment, 'j M Y, H:i')} UTC"


def time_tag(moment: datetime | None, now: datetime | None = None) -> str:
    """The same as HTML for a page. The tip and the machine's attribute have the full time. None gives no text."""
    if moment is None:
        return ""
    exact = f"{date_format(moment, 'l j F Y, H:i:s')} UTC"
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, format_time(moment, now))


def ago(moment: datetime) -> str:
    """How long ago a moment was. The moment itself is in the tip."""
    length = timezone.now() - moment
    if length < timedelta(minutes=1):
        return "just now"
    html = '<time datetime="{}" title="{}">{} ago</time>'
    return format_html(html, moment.isoformat(), exact_time(moment), format_duration(length))


def format_duration(length: timedelta) -> str:
    """A duration in the largest unit that it fills, such as "3 hours"; under a minute it is "moments"."""
    seconds = int(length.total_seconds())
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            return counted(seconds // size, unit)
    return "moments"


def with_unit(number: int, unit: str) -> str:
    """A number in a column. On a phone it shows its unit, since the column's heading is not shown there."""
    return format_html('{} <span class="unit">{}</span>', f"{number:,}", unit)


def badge(word: str, kind: str = "") -> str:
    """A label for a state. `kind` is good, warn, bad or quiet."""
    return format_html('<span class="badge {}">{}</span>', kind, word)


def fill(held: int, total: int) -> str:
    """A bar that shows how much of a total is held, with both numbers above it."""
    return format_html('<span class="fill-label">{} / {}</span>{}', f"{held:,}", f"{total:,}", bar(held, total))


def bar(held: int, total: int) -> str:
    """Only the bar. The page has its meaning as text beside it."""
    return format_html(
        '<svg class="fill{}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="held" width="{}" height="8"/></svg>',
        " full" if held >= total else "",
        round(100 * held / total, 1) if total else 0,
    )
