import json
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import User
from bookings.commands import Book, Claim, Outcome
from bookings.models import Booking
from bookings.outbox import MailOptions
from bookings.services import sql
from bookings.services.batches import TicketJob, run_job
from bookings.services.idempotency import digest_of, find_key, fingerprint_of
from bookings.services.inventory import holder_of
from bookings.services.references import guest_token, hash_token, is_token_of, new_nonce, new_reference
from ticks.search import search_text
from ticks.text import normalise_email

# A replay answers these columns of the booking as they were first answered. A server of the version before, which may
# run beside this one, replays none but these. A replay reads what later versions answer from the booking.
ANSWERED = ("reference", "event_id", "user_id", "first_name", "last_name", "email", "tickets_reserved", "status")


@dataclass(slots=True)
class Receipt:
    """A booking as it was made. `token` is only for a guest; `is_replayed` is true if the key was known."""

    booking: Booking
    token: str | None = None
    is_replayed: bool = False


@dataclass(slots=True)
class BookingRequest:
    """A caller's request. `user` is the holder (None: a guest). `actor` is who asks, if it is not the holder: staff, or
    the account of an API key."""

    event_id: int
    tickets: int
    first_name: str
    last_name: str = ""
    email: str = ""
    user: User | None = None
    actor: User | None = None
    # The language that the request likes best; empty if it names none of ours.
    language: str = ""
    # The one-ticket contract allows a user at most one live booking of an event.
    is_only_one: bool = False
    # What staff who book for a caller chose for the mail.
    mails: MailOptions | None = None

    def __post_init__(self):
        self.email = normalise_email(self.email) or ""

    def fingerprint(self) -> str:
        if self.is_only_one:
            # The names and the mail address are the account's, so they may change before the request is repeated.
            return fingerprint_of(["book one ticket", self.event_id, self.user.pk])
        asked = [self.event_id, self.tickets, self.first_name, self.last_name, self.email]
        if self.actor:
            asked.append(self.user and self.user.pk)
        if self.mails:
            asked.append(self.mails)
        return fingerprint_of(asked)

    def key_digest(self, key: str) -> str:
        return digest_of(key, self.actor or self.user)

    def command(self, booking: Booking | None = None) -> Book:
        """The command for the rules: for the new booking, or for a preview, which has no booking."""
        holder = holder_of(self.user and self.user.pk, self.email)
        claim = Claim(self.tickets, holder=holder, is_one_ticket=self.is_only_one, booking=booking)
        return Book(claim, self.actor or self.user)


def book_tickets(
    request: BookingRequest, *, key: str | None = None, session_id: int | None = None, api_key_id: int | None = None
) -> Receipt:
    """Books whole tickets of one event for one person, or puts the whole booking on the waitlist.

    With an idempotency `key` a repeated request gets the same answer, however often it is sent. The login `session_id`
    is looked up in the same transaction, for a caller whom only a token names, and so is the API key `api_key_id`.
    Raises the refusals of `bookings.rules.book`, `EventNotFound`, `SessionEnded`, `ApiKeyRefused`, `KeyReused`,
    `KeyInFlight`, and what `in_one_transaction` raises; `OutcomeUnknown` with a key only as `find_or_repeat` does.
    Rules: docs/api.md, Bookings.
    """
    digest = key and request.key_digest(key)
    return run_job(BookingJob(request, digest=digest, session_id=session_id, api_key_id=api_key_id))


def find_booked(request: BookingRequest, *, key: str) -> Receipt | None:
    """The booking that the same request with this key has made; None if it was not carried out. Raises `KeyReused`."""
    known = find_key(request.key_digest(key), request.fingerprint())
    return known and replay(known)


def replay(known: sql.KnownKey) -> Receipt:
    """The booking and the token as they were first answered, in the language that the booking has now."""
    answer = json.loads(known.answer)
    created = timezone.datetime.fromisoformat(answer["created_at"])
    columns = {name: answer[name] for name in ANSWERED}
    booking = Booking(
        pk=known.booking_id, created_at=created, updated_at=created, language=known.language or "", **columns
    )
    booking.waitlist_position = answer["position"]
    token = guest_token(known.token_nonce) if known.token_nonce else None
    if token and not is_token_of(known, token):
        # SECRET_KEY has changed since the first answer. The token of the first answer still works, but this one does
        # not.
        token = None
    return Receipt(booking, token, is_replayed=True)


class BookingJob(TicketJob):
    """A job that books. It draws and hashes everything it can before the event is locked."""

    def __init__(
        self,
        request: BookingRequest,
        *,
        digest: str | None = None,
        session_id: int | None = None,
        api_key_id: int | None = None,
    ):
        super().__init__(request.event_id)
        self.request, self.digest, self.session_id, self.api_key_id = request, digest, session_id, api_key_id
        self.user_id = request.user.pk if request.user else None
        self.mails = request.mails
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
            language=request.language,
            search_text=search_text(request.first_name, request.last_name, request.email),
            token_hash=self.token and hash_token(self.token),
            one_ticket_holder_id=self.user_id if request.is_only_one else None,
        )

    def command(self) -> Book:
        return self.request.command(self.booking)

    def answer(self, outcome: Outcome) -> Receipt:
        return Receipt(self.booking, self.token)

    def replay(self, known: sql.KnownKey) -> Receipt:
        return replay(known)

    def key(self, outcome: Outcome) -> sql.NewKey:
        booking = self.booking
        answer = {name: getattr(booking, name) for name in ANSWERED}
        answer |= {"position": booking.waitlist_position, "created_at": booking.created_at.isoformat()}
        return sql.NewKey(self.digest, self.fingerprint, answer, booking, self.nonce)

    def again(self) -> "BookingJob":
        return BookingJob(self.request, digest=self.digest, session_id=self.session_id, api_key_id=self.api_key_id)
