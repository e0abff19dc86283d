"""The page of one booking: its holder, its place in the waitlist, and its history."""

from django.http import HttpRequest

from bookings.admin.bookings.actions import CancelTickets, MoveInLine, ServeOutOfTurn, TransferBooking
from bookings.admin.events.page import waiting_reason
from bookings.models import Booking, LedgerEntry
from ticks.formatting import counted

BOOKING_ACTIONS = [CancelTickets, TransferBooking, MoveInLine, ServeOutOfTurn]
MAX_ENTRIES = 100


def booking_context(request: HttpRequest, booking: Booking) -> dict:
    position = booking.waitlist_position
    return {
        "title": f"{booking.full_name}, {counted(booking.tickets_reserved, 'ticket')}",
        "booking": booking,
        "event": booking.event,
        "name": booking.full_name,
        "waiting_reason": waiting_reason(booking.event, booking, position) if position else "",
        "entries": entries_of(booking) if request.user.has_perm("bookings.view_ledgerentry") else None,
    }


def entries_of(booking: Booking) -> list[LedgerEntry]:
    """The booking's ledger entries, oldest first. It has few, unless staff move it often."""
    entries = LedgerEntry.objects.filter(booking=booking).select_related("booking", "actor")
    return sorted(entries[:MAX_ENTRIES], key=lambda entry: entry.sequence)
