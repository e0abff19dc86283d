from dataclasses import dataclass

from accounts.models import User
from bookings.commands import Cancel, CancelSeat, Outcome
from bookings.models import Booking
from bookings.services.batches import TicketJob, run_job


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A booking after tickets of it were given back, and the number of waiting bookings that they served."""

    booking: Booking
    served: int


def cancel_tickets(
    booking: Booking,
    *,
    tickets: int | None = None,
    actor: User | None = None,
    expected: int | None = None,
) -> Cancellation:
    """Gives back `tickets` of a booking, or all of them, and serves the waitlist with the freed tickets.

    A waiting booking that gets smaller keeps its place, and is served at once if it now fits. `expected` is how many
    tickets the booking must still have. Raises `AlreadyCancelled`, `MoreThanReserved`, `BookingChanged`, `Busy`.
    """
    return run_job(CancelJob(booking.event_id, Cancel(booking.pk, tickets, actor, expected)))


def cancel_seat(event_id: int, *, user: User, actor: User) -> Cancellation:
    """Cancels the user's whole live booking of an event. One made by the one-ticket contract goes first.

    Raises `EventNotFound`, `BookingNotFound`, `Busy`.
    """
    return run_job(CancelJob(event_id, CancelSeat(user.pk, actor)))


class CancelJob(TicketJob):
    def __init__(self, event_id: int, command: Cancel | CancelSeat):
        super().__init__(event_id)
        self.cancel = command

    def command(self) -> Cancel | CancelSeat:
        return self.cancel

    def answer(self, outcome: Outcome) -> Cancellation:
        return Cancellation(outcome.claim.booking, len(outcome.promoted))
