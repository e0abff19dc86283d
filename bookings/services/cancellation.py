from dataclasses import dataclass

from django.utils import timezone

from accounts.models import User
from bookings.allocation import Cancel
from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.desk import claim_of, lock_event, settle
from events.exceptions import EventNotFound
from events.models import Event
from ticks.transactions import in_one_transaction


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A booking after tickets of it were given back, and how many waiting bookings they served."""

    booking: Booking
    served: int


@in_one_transaction
def cancel_tickets(booking: Booking, *, tickets: int | None = None, actor: User | None = None) -> Cancellation:
    """Gives back `tickets` of a booking, or all, and serves the waitlist with what that frees.

    A waiting booking that gets smaller keeps its place, and is served at once if it now fits.
    Raises `AlreadyCancelled`, `MoreThanReserved`, `Busy`.
    """
    event = lock_event(booking.event_id)
    locked = Booking.objects.select_for_update().get(pk=booking.pk)
    return give_back(event, locked, tickets=tickets, actor=actor)


@in_one_transaction
def cancel_seat(event_id: int, *, user: User, actor: User) -> Cancellation:
    """Cancels the user's live booking of an event whole; the one made by the one-ticket contract goes first.

    Raises `EventNotFound`, `BookingNotFound`, `Busy`.
    """
    event = lock_event(event_id)
    if event.deleted_at:
        raise EventNotFound
    live = Booking.objects.live().filter(event=event, user=user).select_for_update()
    booking = live.order_by("-one_ticket_holder", "pk").first()
    if booking is None:
        raise BookingNotFound("This user has no booking for this event.")
    return give_back(event, booking, tickets=None, actor=actor)


def give_back(event: Event, booking: Booking, *, tickets: int | None, actor: User | None) -> Cancellation:
    [outcome] = settle(event, [Cancel(claim_of(booking), tickets, actor)], now=timezone.now())
    if outcome.error:
        raise outcome.error
    return Cancellation(booking, len(outcome.promoted))
