"""Formats times, numbers, states and shares for people, and times for programs."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext

from ticks.zones import name_in

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


def usual_zone() -> ZoneInfo:
    """The time zone in which people are shown what belongs to no event."""
    return ZoneInfo(settings.EVENT_TIME_ZONE)


def local_time(moment: datetime, zone: tzinfo, pattern: str) -> str:
    """A moment as the clocks of a time zone show it, with the name of that time behind it, such as CEST."""
    return f"{date_format(moment.astimezone(zone), pattern)} {name_in(zone, moment)}"


def date_with_weekday(moment: datetime, zone: tzinfo) -> str:
    """A date such as `Sunday, 1 December 2030, 19:30 UTC`, in the language that is active."""
    # Translators: a date and a time in Django's letters, such as "Sunday, 1 December 2030, 19:30".
    return local_time(moment, zone, gettext("l, j F Y, H:i"))


def format_time(moment: datetime, now: datetime | None = None, *, zone: tzinfo | None = None) -> str:
    """A time such as `today 14:05 UTC`, or `12 Dec 2026, 20:00 CET`. Without a zone it is in the usual one."""
    zone = zone or usual_zone()
    now = now or timezone.now()
    days = (moment.astimezone(zone).date() - now.astimezone(zone).date()) // timedelta(days=1)
    if days in NEAR_DAYS:
        return f"{NEAR_DAYS[days]} {local_time(moment, zone, 'H:i')}"
    return exact_time(moment, zone)


def exact_time(moment: datetime, zone: tzinfo | None = None) -> str:
    """A time such as `12 Dec 2026, 20:00 CET`, for a sentence that is read later or elsewhere."""
    return local_time(moment, zone or usual_zone(), "j M Y, H:i")


def time_and_utc(moment: datetime, zone: tzinfo) -> str:
    """A time for a preview, such as `12 Dec 2026, 20:00 CET (19:00 UTC)`, with the day in UTC if it is another one."""
    local, utc = moment.astimezone(zone), moment.astimezone(UTC)
    if local.utcoffset() == timedelta(0):
        return exact_time(moment, zone)
    pattern = "H:i" if local.date() == utc.date() else "j M Y, H:i"
    return f"{exact_time(moment, zone)} ({local_time(moment, UTC, pattern)})"


def time_tag(moment: datetime | None, now: datetime | None = None, *, zone: tzinfo | None = None) -> str:
    """The same as `format_time` as HTML for a page. The tip has the full time, and the attribute for machines has it in
    UTC. None gives no text."""
    if moment is None:
        return ""
    exact = local_time(moment, zone or usual_zone(), "l j F Y, H:i:s")
    shown = format_time(moment, now, zone=zone)
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), exact, shown)


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
