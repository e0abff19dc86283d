import json
import time
from dataclasses import dataclass
from hashlib import sha256

from django.db import Error

from accounts.models import User, normalise_email
from bookings.commands import Book, Claim, Outcome
from bookings.models import Booking
from bookings.services import sql
from bookings.services.batches import TicketJob, run_job
from bookings.services.idempotency import Receipt, key_of, replay
from bookings.services.references import guest_token, hash_token, new_nonce, new_reference
from ticks.db.transactions import OutcomeUnknown
from ticks.exceptions import Refusal
from ticks.search import search_text

# If the COMMIT of a job with a key was not answered, the job is tried again: once to find its booking, and once more in
# case that answer is lost too. A caller who has already waited for a time-out does not get another attempt, since it
# would take as long again.
ATTEMPTS = 3
RETRY_SECONDS = 0.8


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """A caller's request. `user` is the holder (None: a guest). `actor` is who asks, if it is not the holder."""

    event_id: int
    tickets: int
    first_name: str
    last_name: str = ""
    email: str = ""
    user: User | None = None
    actor: User | None = None
    # The one-ticket contract allows a user at most one live booking of an event.
    is_only_one: bool = False

    def __post_init__(self):
        object.__setattr__(self, "email", normalise_email(self.email) or "")

    def fingerprint(self) -> str:
        asked = [self.event_id, self.tickets, self.first_name, self.last_name, self.email]
        return sha256(json.dumps(asked).encode()).hexdigest()

    def key_digest(self, key: str) -> str:
        """A key belongs to its caller. All guests count as one caller: a guest who retries from another address must
        find the booking again, and clients draw keys at random."""
        caller = f"user {self.user.pk}" if self.user else "guest"
        return sha256(f"{caller}\n{key}".encode()).hexdigest()

    def command(self, booking: Booking | None = None) -> Book:
        """The command for the rules: for the new booking, or for a preview, which has no booking."""
        holder = self.user.pk if self.user else None
        claim = Claim(self.tickets, holder=holder, is_one_ticket=self.is_only_one, booking=booking)
        return Book(claim, self.actor or self.user)


def book_tickets(request: BookingRequest, *, key: str | None = None) -> Receipt:
    """Books whole tickets of one event for one person, or puts the whole booking on the waitlist.

    With an idempotency `key` a repeated request gets the same answer, however often it is sent. Raises
    `EventNotFound`, `TooManyTickets`, `SalesNotOpen`, `SalesClosed`, `SoldOut`, `KeyReused`, `KeyInFlight`,
    `AlreadyBooked`, and what `in_one_transaction` raises; `OutcomeUnknown` with a key only when the database stays
    away. Rules: docs/api.md, Bookings.
    """
    job = BookingJob(request, digest=key and request.key_digest(key))
    try:
        return run_job(job)
    except OutcomeUnknown as unknown:
        if key is None:
            raise
        return book_or_find(job, unknown)


def find_booked(request: BookingRequest, *, key: str) -> Receipt | None:
    """The booking that the same request with this key has made; None if it was not carried out. Raises `KeyReused`."""
    known = sql.read_keys([request.key_digest(key)])
    return replay(*known.values(), fingerprint=request.fingerprint()) if known else None


def book_or_find(job: "BookingJob", unknown: OutcomeUnknown) -> Receipt:
    """Carries out a job again. The job has a key, and its COMMIT was not answered.

    If it was committed, the key is there: the next attempt finds it and books nothing.
    """
    try:
        for _ in range(ATTEMPTS - 1):
            if time.monotonic() - job.arrived > RETRY_SECONDS:
                break
            try:
                return run_job(BookingJob(job.request, digest=job.digest, session_id=job.session_id))
            except OutcomeUnknown as error:
                unknown = error
    except (Refusal, Error):
        # The error is only about this attempt. The first one may have been committed over another node of a cluster,
        # and not be visible here yet.
        raise unknown from None
    raise unknown


class BookingJob(TicketJob):
    """A job that books. It draws and hashes everything it can before the event is locked."""

    def __init__(self, request: BookingRequest, *, digest: str | None = None, session_id: int | None = None):
        super().__init__(request.event_id)
        self.request, self.digest, self.session_id = request, digest, session_id
        self.user_id = request.user.pk if request.user else None
        self.fingerprint = request.fingerprint() if digest else None
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
            search_text=search_text(request.first_name, request.last_name, request.email),
            token_hash=self.token and hash_token(self.token),
            one_ticket_holder_id=self.user_id if request.is_only_one else None,
        )

    def command(self) -> Book:
        return self.request.command(self.booking)

    def answer(self, outcome: Outcome) -> Receipt:
        return Receipt(self.booking, self.token)

    def replay(self, known: sql.KnownKey) -> Receipt:
        return replay(known, fingerprint=self.fingerprint)

    def key(self) -> sql.NewKey:
        return key_of(self.booking, digest=self.digest, fingerprint=self.fingerprint, nonce=self.nonce)
