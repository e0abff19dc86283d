import json
import time
from dataclasses import dataclass
from hashlib import sha256

from django.db import Error

from accounts.models import User, normalise_email
from bookings.exceptions import AlreadyBooked
from bookings.models import Booking
from bookings.rules import Book, Claim, Outcome
from bookings.services.batches import Found, TicketJob, run_job
from bookings.services.idempotency import KnownKey, Receipt, key_of, known_keys, replay
from bookings.services.inventory import LockedEvent
from bookings.services.references import guest_token, hash_token, new_nonce, new_reference
from bookings.services.sql import Key
from ticks.db.transactions import OutcomeUnknown
from ticks.exceptions import Refusal

# With a key, a COMMIT that was not answered is tried again: once to find it, and once more in case that is
# lost too. Not by whom a time-out has kept waiting, and the next one would again.
ATTEMPTS = 3
PATIENCE_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """What a caller asks for. `user` is the holder (None: a guest), `actor` who asks, if another."""

    event_id: int
    tickets: int
    first_name: str
    last_name: str = ""
    email: str = ""
    user: User | None = None
    actor: User | None = None
    # The one-ticket contract: at most one live booking a user and event.
    is_only_one: bool = False

    def __post_init__(self):
        object.__setattr__(self, "email", normalise_email(self.email) or "")

    def fingerprint(self) -> str:
        asked = [self.event_id, self.tickets, self.first_name, self.last_name, self.email]
        return sha256(json.dumps(asked).encode()).hexdigest()

    def key_digest(self, key: str) -> str:
        """A key is the caller's own. All guests are one caller: a guest who retries from another
        address must find the booking again, and clients draw keys at random."""
        caller = f"user {self.user.pk}" if self.user else "guest"
        return sha256(f"{caller}\n{key}".encode()).hexdigest()


def book_tickets(request: BookingRequest, *, key: str | None = None, session_id: int | None = None) -> Receipt:
    """Books whole tickets of one event for one person, or puts them on the waitlist whole.

    With an idempotency `key` the same request answers the same again, however often it is sent. `session_id`: the
    user's login, where it is still to be confirmed; then this raises `SessionEnded` too.
    Raises `EventNotFound`, `TooManyTickets`, `SalesNotOpen`, `SalesClosed`, `SoldOut`, `KeyReused`,
    `KeyInFlight`, `AlreadyBooked`, and what `in_one_transaction` raises; `OutcomeUnknown` with a key
    only when the database stays away. Rules: API.md, Bookings.
    """
    if key is None:
        return run_job(BookingJob(request, session_id=session_id))
    return book_by_key(BookingJob(request, digest=request.key_digest(key), session_id=session_id))


def find_booked(request: BookingRequest, *, key: str) -> Receipt | None:
    """What the same request with this key has booked, if it was carried out. Raises `KeyReused`."""
    known = known_keys([request.key_digest(key)])
    return replay(*known.values(), fingerprint=request.fingerprint()) if known else None


def book_by_key(job: "BookingJob") -> Receipt:
    try:
        return run_job(job)
    except OutcomeUnknown as unknown:
        return book_or_find(job, unknown)


def book_or_find(job: "BookingJob", unknown: OutcomeUnknown) -> Receipt:
    """Carries out again a job with a key whose COMMIT was not answered.

    If it was committed, the key is there: the next attempt finds it and books nothing.
    """
    try:
        for _ in range(ATTEMPTS - 1):
            if time.monotonic() - job.arrived > PATIENCE_SECONDS:
                break
            try:
                return run_job(BookingJob(job.request, digest=job.digest, session_id=job.session_id))
            except OutcomeUnknown as error:
                unknown = error
    except (Refusal, Error):
        # They know only of their own attempt; over another node of a cluster the first may just not be visible yet.
        raise unknown from None
    raise unknown


class BookingJob(TicketJob):
    """All that can be drawn and hashed before the event is locked is made here."""

    def __init__(self, request: BookingRequest, *, digest: str | None = None, session_id: int | None = None):
        super().__init__(request.event_id)
        self.request, self.digest, self.session_id = request, digest, session_id
        self.fingerprint = request.fingerprint() if digest else None
        keys = (("key", digest),) if digest else ()
        if request.user:
            self.user_id = request.user.pk
            holder = (request.event_id, self.user_id)
            if request.is_only_one:
                self.seat = holder
                self.writes = (("seat", holder), *keys)
            else:
                self.reads, self.writes = (("seat", holder),), keys
        else:
            self.writes = keys
        self.draw_anew()

    def draw_anew(self) -> None:
        request = self.request
        self.nonce = None if request.user else new_nonce()
        self.token = self.nonce and guest_token(self.nonce)
        self.booking = Booking.drafted(
            reference=new_reference(),
            event_id=request.event_id,
            user_id=self.user_id,
            first_name=request.first_name,
            last_name=request.last_name,
            email=request.email,
            token_hash=self.token and hash_token(self.token),
            one_ticket_holder_id=self.user_id if request.is_only_one else None,
        )

    def replay(self, known: KnownKey) -> Receipt:
        return replay(known, fingerprint=self.fingerprint)

    def command(self, event: LockedEvent, found: Found) -> Book:
        request = self.request
        if request.is_only_one and found.seats.get(self.seat):
            raise AlreadyBooked
        # An attempt that was rolled back may have given it an id.
        self.booking.id = None
        return Book(Claim(request.tickets, booking=self.booking), request.actor or request.user)

    def key(self, outcome: Outcome) -> Key:
        self.booking.waitlist_position = outcome.position
        return key_of(self.booking, digest=self.digest, fingerprint=self.fingerprint, nonce=self.nonce)

    def answer(self, outcome: Outcome) -> Receipt:
        self.booking.waitlist_position = outcome.position
        return Receipt(self.booking, self.token)
