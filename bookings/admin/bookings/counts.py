"""How many bookings a list has, and their tickets: from what is kept of events and their hours, never counted."""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from bookings.admin.bounds import Span
from bookings.enums import BookingStatus
from bookings.models import SalesHour
from events.models import Event
from ticks.formatting import counted

# Of all events. Each has rows of its own for its hours, so that more of them take longer to add up.
MOST_DAYS = timedelta(days=8)
COLUMNS = (
    "booking_count",
    "completed_count",
    "waitlisted_count",
    "total_tickets",
    "available_tickets",
    "waitlisted_tickets",
)


@dataclass(frozen=True, slots=True)
class Counts:
    bookings: int
    said: str

    def __str__(self):
        return self.said


def counts_of_events(event: Event | None, status: str) -> Counts:
    """Of one event or of all of them."""
    if event:
        of = {name: getattr(event, name) for name in COLUMNS}
    else:
        sums = Event.objects.aggregate(**{f"sum_{name}": Sum(name) for name in COLUMNS})
        of = {name: int(sums[f"sum_{name}"] or 0) for name in COLUMNS}
    held, waiting = of["completed_count"], of["waitlisted_count"]
    cancelled = of["booking_count"] - held - waiting
    tickets = of["total_tickets"] - of["available_tickets"]
    in_words = {
        BookingStatus.COMPLETED: f"{verb(held, 'hold')} {counted(tickets, 'ticket')}",
        BookingStatus.WAITLISTED: f"{verb(waiting, 'wait')} for {counted(of['waitlisted_tickets'], 'ticket')}",
        BookingStatus.CANCELLED: f"{cancelled:,} {'is' if cancelled == 1 else 'are'} cancelled",
    }
    counts = {
        BookingStatus.COMPLETED: held,
        BookingStatus.WAITLISTED: waiting,
        BookingStatus.CANCELLED: cancelled,
    }
    if status:
        return Counts(counts[status], f"{counted(counts[status], 'booking')}: {in_words[status]}")
    return Counts(of["booking_count"], f"{counted(of['booking_count'], 'booking')}: {', '.join(in_words.values())}")


def verb(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' if number == 1 else ''}"


def counts_of_hours(event: Event | None, span: Span) -> Counts | None:
    """Of the days that a booking was made in; None where there are too many to add up."""
    hours = SalesHour.objects.filter(event=event) if event else SalesHour.objects.all()
    if not event and (not span.since or (span.until or timezone.now()) - span.since > MOST_DAYS):
        return None
    if span.since:
        hours = hours.filter(hour__gte=span.since)
    if span.until:
        hours = hours.filter(hour__lt=span.until)
    made = hours.aggregate(bookings=Sum("bookings"), tickets=Sum("tickets"))
    bookings, tickets = int(made["bookings"] or 0), int(made["tickets"] or 0)
    return Counts(bookings, f"{counted(bookings, 'booking')} made, for {counted(tickets, 'ticket')}")
