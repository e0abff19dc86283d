"""What was sold when: read from the counts of each hour (`SalesHour`), never from the bookings. Times are in UTC."""

from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from django.db.models import Sum

from bookings.models import SalesHour
from events.models import Event

UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}
HOUR = UNITS["hour"]
# Weeks begin on Mondays, so periods are counted from one.
MONDAY = datetime(2024, 1, 1, tzinfo=UTC)


class Period(NamedTuple):
    """Bookings made and tickets asked for in an hour, a day or a week; tickets held and bookings waiting at its end."""

    start: datetime
    bookings: int
    tickets: int
    held: int
    waiting: int


class Sales(NamedTuple):
    """Periods without gaps, each as long as the unit: `hour`, `day` or `week`."""

    unit: str
    periods: list[Period]


class Sold(NamedTuple):
    """Bookings made and the tickets that they asked for, waitlisted ones too."""

    bookings: int
    tickets: int


def sales_over_time(event: Event, *, now: datetime) -> Sales:
    """Sales from the first booking until now, or until they ended, in periods that a chart can show."""
    rows = SalesHour.objects.filter(event=event).order_by("hour")
    hours = [Period(*row) for row in rows.values_list("hour", "bookings", "tickets", "held", "waiting")]
    if not hours:
        return Sales("hour", [])
    end = min(moment for moment in (now, event.sales_end, event.deleted_at) if moment)
    # Bookings can still be cancelled after sales have ended.
    end = max(end, hours[-1].start + HOUR)
    length = end - hours[0].start
    unit = "hour" if length <= timedelta(days=3) else "day" if length <= timedelta(days=60) else "week"
    return Sales(unit, in_periods(hours, UNITS[unit], end))


def in_periods(hours: list[Period], length: timedelta, end: datetime) -> list[Period]:
    """Hours with bookings, added up to longer periods; one without bookings ends as the one before it."""
    hours_of = {start: list(group) for start, group in groupby(hours, key=lambda hour: start_of(hour.start, length))}
    periods, held, waiting = [], 0, 0
    start = start_of(hours[0].start, length)
    while start < end:
        within = hours_of.get(start, [])
        if within:
            held, waiting = within[-1].held, within[-1].waiting
        bookings, tickets = sum(hour.bookings for hour in within), sum(hour.tickets for hour in within)
        periods.append(Period(start, bookings, tickets, held, waiting))
        start += length
    return periods


def start_of(moment: datetime, length: timedelta) -> datetime:
    return moment - (moment - MONDAY) % length


def sold_since(midnight: datetime) -> Sold:
    """Bookings of all events from a whole hour on."""
    found = SalesHour.objects.filter(hour__gte=midnight).aggregate(
        bookings=Sum("bookings", default=0), tickets=Sum("tickets", default=0)
    )
    return Sold(int(found["bookings"]), int(found["tickets"]))


def tickets_since(midnight: datetime, event_ids: list[int]) -> dict[int, int]:
    """Tickets asked for from a whole hour on, by event."""
    hours = SalesHour.objects.filter(event__in=event_ids, hour__gte=midnight).order_by()
    return dict(hours.values("event").annotate(n=Sum("tickets")).values_list("event", "n"))
