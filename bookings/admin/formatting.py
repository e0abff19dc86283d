"""Describes in words for staff what happens to an event's tickets."""

from collections.abc import Sequence

from bookings.commands import Claim
from bookings.enums import BookingStatus
from bookings.models import Booking
from bookings.services.inventory import EventWork
from events.models import Event
from ticks.formatting import badge, counted

MAX_NAMES = 8
STATUSES = {
    BookingStatus.COMPLETED: ("holds", "good"),
    BookingStatus.WAITLISTED: ("waits", "warn"),
    BookingStatus.CANCELLED: ("cancelled", "quiet"),
}


def status_badge(booking: Booking) -> str:
    return badge(*STATUSES[booking.status])


def served(claims: Sequence[Claim], *, verb: str) -> str:
    """A sentence such as "Promotes 3 bookings, 17 tickets: Ada Lovelace (4), ..."; empty if nobody is promoted."""
    if not claims:
        return ""
    tickets = sum(claim.tickets for claim in claims)
    bookings = Booking.objects.in_bulk([claim.id for claim in claims[:MAX_NAMES]])
    named = [bookings[claim.id] for claim in claims[:MAX_NAMES] if claim.id in bookings]
    names = [f"{booking.full_name} ({booking.tickets_reserved})" for booking in named]
    more = f" and {len(claims) - MAX_NAMES:,} more" if len(claims) > MAX_NAMES else ""
    return f"{verb} {counted(len(claims), 'booking')}, {counted(tickets, 'ticket')}: {', '.join(names)}{more}."


def promotes(forecast: EventWork) -> str:
    """The bookings that a preview promotes from the waitlist."""
    if forecast.promoted or not forecast.event.waitlisted_count:
        return served(forecast.promoted, verb="Promotes")
    return "No waiting booking is served by it."


def waiting_reason(event: Event, *, tickets: int, position: int) -> str:
    """The reason why a waiting booking of so many tickets is not served yet."""
    if tickets > event.available_tickets:
        return f"needs {tickets:,}, {event.available_tickets:,} available"
    if event.waitlist_policy == Event.WaitlistPolicy.STRICT and position > 1:
        return f"would fit, but nobody passes number 1: {counted(position - 1, 'booking')} ahead"
    return "is served next"


def counts(available: int, waitlisted: int, waitlisted_tickets: int) -> str:
    """A text such as "3 tickets available, 2 bookings (5 tickets) waiting"."""
    left = f"{counted(available, 'ticket')} available"
    if not waitlisted:
        return f"{left}, nobody waiting"
    return f"{left}, {counted(waitlisted, 'booking')} ({counted(waitlisted_tickets, 'ticket')}) waiting"


def counts_of(event: Event) -> str:
    return counts(event.available_tickets, event.waitlisted_count, event.waitlisted_tickets)


def counts_after(forecast: EventWork) -> str:
    inventory = forecast.inventory
    return f"Then {counts(inventory.available, inventory.waitlisted, inventory.waitlisted_tickets)}."
