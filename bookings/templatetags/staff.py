"""Filters of the staff's pages."""

from django import template
from django.utils import timezone

from bookings.admin.formatting import status_badge
from bookings.admin.ledger import describe_entry
from bookings.enums import LedgerKind
from bookings.models import Booking, LedgerEntry
from ticks.formatting import bar, format_duration, time_tag

register = template.Library()

ENTRY_TONES = {
    LedgerKind.BOOKED: "good",
    LedgerKind.PROMOTED: "good",
    LedgerKind.WAITLISTED: "warn",
    LedgerKind.REDUCED: "quiet",
    LedgerKind.CANCELLED: "quiet",
    LedgerKind.EVENT_CANCELLED: "bad",
}

register.filter("bar", bar)
register.filter("moment", time_tag)
register.filter("status_badge", status_badge)
register.filter("description", describe_entry)


@register.filter
def entry_tone(entry: LedgerEntry) -> str:
    return ENTRY_TONES.get(entry.kind, "")


@register.filter
def waited(booking: Booking) -> str:
    return format_duration(timezone.now() - booking.created_at)


@register.filter
def number(value: int) -> str:
    """A number with a comma between thousands."""
    return f"{value:,}"
