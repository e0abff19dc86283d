"""What was sold when, from the hours that the services keep: never from the bookings."""

from datetime import datetime
from typing import NamedTuple

from django.db.models import Sum

from bookings.models import SalesHour
from bookings.services.periods import Hour, Sales, in_periods
from events.models import Event


class Sold(NamedTuple):
    """Bookings made and the tickets that they asked for, waitlisted ones too."""

    bookings: int
    tickets: int


def sales_of(event: Event, *, now: datetime) -> Sales:
    """From the first booking's hour until now, or until sales ended, in periods that a chart can show."""
    hours = SalesHour.objects.filter(event=event).order_by("hour")
    hours = hours.values_list("hour", "bookings", "tickets", "held", "waiting")
    ends = [now, event.sales_end, event.deleted_at]
    return in_periods(map(Hour._make, hours), until=min(end for end in ends if end))


def sold_since(midnight: datetime) -> Sold:
    """Of all events, from a whole hour on."""
    found = SalesHour.objects.filter(hour__gte=midnight).aggregate(
        bookings=Sum("bookings", default=0), tickets=Sum("tickets", default=0)
    )
    return Sold(int(found["bookings"]), int(found["tickets"]))


def tickets_since(midnight: datetime, event_ids: list[int]) -> dict[int, int]:
    """Tickets asked for, by event, from a whole hour on."""
    hours = SalesHour.objects.filter(event__in=event_ids, hour__gte=midnight).order_by()
    return dict(hours.values("event").annotate(n=Sum("tickets")).values_list("event", "n"))
