import json
import secrets
from dataclasses import dataclass, replace
from hashlib import sha256

from django.db import IntegrityError
from django.utils import timezone

from accounts.models import User, normalise_email
from bookings.allocation import Book, Claim
from bookings.exceptions import AlreadyBooked, KeyReused
from bookings.models import Booking, IdempotencyKey
from bookings.services.desk import lock_event, settle
from bookings.services.references import guest_token, hash_token, is_token_of, new_reference
from ticks.transactions import in_one_transaction

ANSWERED = ("reference", "event_id", "user_id", "first_name", "last_name", "email", "tickets_reserved", "status")


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

    def fingerprint(self) -> str:
        asked = [self.event_id, self.tickets, self.first_name, self.last_name, self.email]
        return sha256(json.dumps(asked).encode()).hexdigest()

    def key_digest(self, key: str) -> str:
        """A key is the caller's own. All guests are one caller: a guest who retries from another
        address must find the booking again, and clients draw keys at random."""
        caller = f"user {self.user.pk}" if self.user else "guest"
        return sha256(f"{caller}\n{key}".encode()).hexdigest()


@dataclass(slots=True)
class Receipt:
    """A booking as it was made; `token` only for a guest, `is_replayed` when the key was known."""

    booking: Booking
    token: str | None = None
    is_replayed: bool = False


def book_tickets(request: BookingRequest, *, key: str | None = None) -> Receipt:
    """Books whole tickets of one event for one person, or puts them on the waitlist whole.

    With an idempotency `key` the same request answers the same again, however often it is sent.
    Raises `EventNotFound`, `TooManyTickets`, `SalesNotOpen`, `SalesClosed`, `SoldOut`, `KeyReused`,
    `AlreadyBooked`, and `Busy` when the database stays contended. Rules: API.md, Bookings.
    """
    request = replace(request, email=normalise_email(request.email) or "")
    digest = key and request.key_digest(key)
    try:
        return book_once(request, digest=digest, nonce=secrets.token_hex(32), reference=new_reference())
    except IntegrityError:
        # The key was committed meanwhile on another event, or the reference is taken (one in 10^14).
        # Nothing of this attempt was kept; the second finds the key, or draws another reference.
        return book_once(request, digest=digest, nonce=secrets.token_hex(32), reference=new_reference())


@in_one_transaction
def book_once(request: BookingRequest, *, digest: str | None, nonce: str, reference: str) -> Receipt:
    # Hashed before the lock.
    token = None if request.user else guest_token(nonce)
    token_hash = token and hash_token(token)
    fingerprint = request.fingerprint() if digest else None
    event = lock_event(request.event_id)
    if digest:
        known = IdempotencyKey.objects.select_related("booking").filter(digest=digest).first()
        if known:
            return replay(known, fingerprint=fingerprint)
    if request.is_only_one and Booking.objects.live().filter(event=event, user=request.user).exists():
        raise AlreadyBooked
    booking = Booking(
        reference=reference,
        event=event,
        user=request.user,
        first_name=request.first_name,
        last_name=request.last_name,
        email=request.email,
        token_hash=token_hash,
        one_ticket_holder=request.user if request.is_only_one else None,
    )
    actor = request.actor or request.user
    [outcome] = settle(event, [Book(Claim(request.tickets, booking=booking), actor)], now=timezone.now())
    if outcome.error:
        raise outcome.error
    booking.waitlist_position = outcome.position
    if digest:
        remember(booking, digest=digest, fingerprint=fingerprint, nonce=nonce if token else None)
    return Receipt(booking, token)


def remember(booking: Booking, *, digest: str, fingerprint: str, nonce: str | None) -> None:
    answer = {name: getattr(booking, name) for name in ANSWERED}
    answer |= {"position": booking.waitlist_position, "created_at": booking.created_at.isoformat()}
    IdempotencyKey.objects.create(
        digest=digest, fingerprint=fingerprint, booking=booking, answer=answer, token_nonce=nonce
    )


def replay(known: IdempotencyKey, *, fingerprint: str) -> Receipt:
    if known.fingerprint != fingerprint:
        raise KeyReused
    answer = dict(known.answer)
    position = answer.pop("position")
    created = timezone.datetime.fromisoformat(answer.pop("created_at"))
    booking = Booking(pk=known.booking_id, created_at=created, updated_at=created, **answer)
    booking.waitlist_position = position
    token = guest_token(known.token_nonce) if known.token_nonce else None
    if token and not is_token_of(known.booking, token):
        # SECRET_KEY has changed since: the token of the first answer is still good, this one is not.
        token = None
    return Receipt(booking, token, is_replayed=True)
