from dataclasses import dataclass

from accounts.models import User
from bookings.exceptions import BookingChanged, BookingNotFound
from bookings.models import Booking
from bookings.rules import Cancel, Outcome
from bookings.services.batches import Found, TicketJob, run_job
from bookings.services.inventory import LockedEvent, claim_of
from events.exceptions import EventNotFound


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A booking after tickets of it were given back, and how many waiting bookings they served."""

    booking: Booking
    served: int


def cancel_tickets(
    booking: Booking,
    *,
    tickets: int | None = None,
    actor: User | None = None,
    session_id: int | None = None,
    of: int | None = None,
) -> Cancellation:
    """Gives back `tickets` of a booking, or all, and serves the waitlist with what that frees.

    A waiting booking that gets smaller keeps its place, and is served at once if it now fits.
    `session_id`: the actor's login, where it is still to be confirmed. `of`: how many the booking must have for it.
    Raises `AlreadyCancelled`, `MoreThanReserved`, `BookingChanged`, `SessionEnded`, `Busy`.
    """
    return run_job(CancelJob(booking, tickets=tickets, actor=actor, session_id=session_id, of=of))


def cancel_seat(event_id: int, *, user: User, actor: User) -> Cancellation:
    """Cancels the user's live booking of an event whole; the one made by the one-ticket contract goes first.

    Raises `EventNotFound`, `BookingNotFound`, `Busy`.
    """
    return run_job(SeatJob(event_id, user=user, actor=actor))


class CancelJob(TicketJob):
    of: int | None = None

    def __init__(
        self,
        booking: Booking,
        *,
        tickets: int | None,
        actor: User | None,
        session_id: int | None = None,
        of: int | None = None,
    ):
        super().__init__(booking.event_id)
        self.of = of
        self.session_id, self.user_id = session_id, actor and actor.pk
        self.booking_id, self.tickets, self.actor = booking.pk, tickets, actor
        self.writes = (("booking", booking.pk),)
        if booking.user_id:
            self.reads = (("seat", (booking.event_id, booking.user_id)),)

    def command(self, event: LockedEvent, found: Found) -> Cancel:
        return self.give_back(found.by_id.get(self.booking_id))

    def give_back(self, booking: Booking | None) -> Cancel:
        if booking is None:
            raise BookingNotFound
        if self.of is not None and booking.tickets_reserved != self.of:
            # Two confirmations of one page would give back twice as many.
            raise BookingChanged
        self.booking = booking
        return Cancel(claim_of(booking), self.tickets, self.actor)

    def answer(self, outcome: Outcome) -> Cancellation:
        return Cancellation(self.booking, len(outcome.promoted))


class SeatJob(CancelJob):
    tickets = None

    def __init__(self, event_id: int, *, user: User, actor: User):
        TicketJob.__init__(self, event_id)
        self.actor = actor
        self.seat = (event_id, user.pk)
        self.writes = (("seat", self.seat),)

    def command(self, event: LockedEvent, found: Found) -> Cancel:
        if event.deleted_at:
            raise EventNotFound
        # In the order of their ids, so the first of those made by the one-ticket contract, else the first.
        seats = sorted(found.seats.get(self.seat, []), key=lambda booking: booking.one_ticket_holder_id is None)
        if not seats:
            raise BookingNotFound("This user has no booking for this event.")
        return self.give_back(seats[0])
