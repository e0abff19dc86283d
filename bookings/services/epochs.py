"""Bookings with their event and epoch. They are read in one statement by whoever may show tickets or links, so that
nobody gets those of somebody to whom a booking was just moved."""

from bookings.models import Booking, BookingQuerySet


def with_epochs() -> BookingQuerySet:
    return Booking.objects.select_related("event", "ticket_epoch").order_by()


def epoch_of(booking: Booking) -> int:
    row = getattr(booking, "ticket_epoch", None)
    return row.epoch if row else 0
