from django.utils import timezone

from accounts.models import User
from bookings.allocation import Cancel
from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.desk import claim_of, lock_event, settle
from ticks.transactions import in_one_transaction


@in_one_transaction
def cancel_tickets(booking_id: int, *, tickets: int | None = None, actor: User | None = None) -> Booking:
    """Gives back `tickets` of a booking, or all, and serves the waitlist with what that frees.

    A waiting booking that gets smaller keeps its place, and is served at once if it now fits.
    Raises `BookingNotFound`, `AlreadyCancelled`, `MoreThanReserved`, `Busy`.
    """
    event_id = Booking.objects.filter(pk=booking_id).values_list("event_id", flat=True).first()
    if event_id is None:
        raise BookingNotFound
    event = lock_event(event_id)
    booking = Booking.objects.select_for_update().get(pk=booking_id)
    [outcome] = settle(event, [Cancel(claim_of(booking), tickets, actor)], now=timezone.now())
    if outcome.error:
        raise outcome.error
    return booking
