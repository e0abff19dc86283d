import json
from dataclasses import dataclass

from accounts.models import User
from bookings.commands import Cancel, CancelSeat, Outcome
from bookings.models import Booking
from bookings.outbox import MailOptions
from bookings.services import sql
from bookings.services.batches import TicketJob, run_job
from bookings.services.idempotency import digest_of, find_key, fingerprint_of
from bookings.services.inventory import held_by


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A booking after tickets of it were given back, and the number of waiting bookings that were promoted by it.

    `is_replayed` is true if the key was known; then the booking is as it is now.
    """

    booking: Booking
    promoted: int
    is_replayed: bool = False


def cancel_tickets(
    booking: Booking,
    *,
    tickets: int | None = None,
    actor: User | None = None,
    expected: int | None = None,
    key: str | None = None,
    session_id: int | None = None,
    api_key_id: int | None = None,
    mails: MailOptions | None = None,
) -> Cancellation:
    """Gives back `tickets` of a booking, or all of them, and serves the waitlist with the freed tickets.

    A waiting booking that gets smaller keeps its place, and is served at once if it now fits. `expected` is how many
    tickets the booking must still have. The booking must still have the holder that its caller has seen. With an
    idempotency `key` a repeated request frees them once. The login `session_id` of the actor is looked up in the same
    transaction, for a caller whom only a token names, and so is the API key `api_key_id`. Raises `SessionEnded`,
    `ApiKeyRefused`, `AlreadyCancelled`, `MoreThanReserved`, `BookingChanged`, `HolderChanged`, `KeyReused`,
    `KeyInFlight`, `Busy`.
    """
    command = Cancel(booking.pk, tickets, actor, expected, held_by(booking))
    digest = key and digest_of(key, actor)
    job = CancelJob(booking.event_id, command, digest=digest, session_id=session_id, api_key_id=api_key_id, mails=mails)
    return run_job(job)


def find_cancellation(booking: Booking, *, tickets: int | None, key: str) -> Cancellation | None:
    """What an earlier request of a guest with this key did; None if there was none. Raises `KeyReused`."""
    job = CancelJob(booking.event_id, Cancel(booking.pk, tickets), digest=digest_of(key, None))
    known = find_key(job.digest, job.fingerprint)
    return job.replay(known) if known else None


def cancel_seat(event_id: int, *, user: User, actor: User, key: str | None = None) -> Cancellation:
    """Cancels the user's whole live booking of an event. One made by the one-ticket contract goes first.

    Raises `EventNotFound`, `BookingNotFound`, `KeyReused`, `KeyInFlight`, `Busy`.
    """
    return run_job(CancelJob(event_id, CancelSeat(user.pk, actor), digest=key and digest_of(key, actor)))


class CancelJob(TicketJob):
    def __init__(
        self,
        event_id: int,
        command: Cancel | CancelSeat,
        *,
        digest: str | None = None,
        session_id: int | None = None,
        api_key_id: int | None = None,
        mails: MailOptions | None = None,
    ):
        super().__init__(event_id)
        self.cancel, self.digest, self.mails = command, digest, mails
        self.session_id, self.api_key_id = session_id, api_key_id
        self.user_id = command.actor and command.actor.pk
        self.fingerprint = fingerprint_of(self.asked()) if digest else None

    def asked(self) -> list:
        command = self.cancel
        if isinstance(command, CancelSeat):
            return ["cancel one ticket", self.event_id, command.holder]
        return ["cancel", command.booking_id, command.tickets]

    def command(self) -> Cancel | CancelSeat:
        return self.cancel

    def answer(self, outcome: Outcome) -> Cancellation:
        return Cancellation(outcome.claim.booking, len(outcome.promoted))

    def key(self, outcome: Outcome) -> sql.NewKey:
        # The stored name is that of the rows of earlier versions, which are replayed too.
        answer = {"served": len(outcome.promoted)}
        return sql.NewKey(self.digest, self.fingerprint, answer, outcome.claim.booking)

    def replay(self, known: sql.KnownKey) -> Cancellation:
        return Cancellation(sql.read_booking(known.booking_id), json.loads(known.answer)["served"], is_replayed=True)

    def again(self) -> "CancelJob":
        return CancelJob(
            self.event_id,
            self.cancel,
            digest=self.digest,
            session_id=self.session_id,
            api_key_id=self.api_key_id,
            mails=self.mails,
        )
