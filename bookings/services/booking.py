import json
import secrets
import time
from dataclasses import dataclass, replace
from hashlib import sha256

from django.db import Error, IntegrityError
from django.utils import timezone

from accounts.models import User, normalise_email
from bookings.allocation import Book, Claim
from bookings.exceptions import AlreadyBooked, KeyInFlight
from bookings.models import Booking
from bookings.services.desk import lock_event, settle
from bookings.services.keys import Receipt, key_in_hand, receipt_of, remember
from bookings.services.references import guest_token, hash_token, new_reference
from ticks.refusals import Refusal
from ticks.transactions import OutcomeUnknown, in_one_transaction

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

    def fingerprint(self) -> str:
        asked = [self.event_id, self.tickets, self.first_name, self.last_name, self.email]
        return sha256(json.dumps(asked).encode()).hexdigest()

    def key_digest(self, key: str) -> str:
        """A key is the caller's own. All guests are one caller: a guest who retries from another
        address must find the booking again, and clients draw keys at random."""
        caller = f"user {self.user.pk}" if self.user else "guest"
        return sha256(f"{caller}\n{key}".encode()).hexdigest()


def book_tickets(request: BookingRequest, *, key: str | None = None) -> Receipt:
    """Books whole tickets of one event for one person, or puts them on the waitlist whole.

    With an idempotency `key` the same request answers the same again, however often it is sent.
    Raises `EventNotFound`, `TooManyTickets`, `SalesNotOpen`, `SalesClosed`, `SoldOut`, `KeyReused`,
    `KeyInFlight`, `AlreadyBooked`, and what `in_one_transaction` raises; `OutcomeUnknown` with a key
    only when the database stays away. Rules: API.md, Bookings.
    """
    request = replace(request, email=normalise_email(request.email) or "")
    if key is None:
        return book_with_new_reference(request)
    digest = request.key_digest(key)
    with key_in_hand(digest) as is_in_hand:
        return book_by_key(request, digest=digest, is_in_hand=is_in_hand)


def book_by_key(request: BookingRequest, *, digest: str, is_in_hand: bool) -> Receipt:
    unknown: OutcomeUnknown | None = None
    began = time.monotonic()
    try:
        for _ in range(ATTEMPTS):
            try:
                return book_with_new_reference(request, digest=digest, is_in_hand=is_in_hand)
            except OutcomeUnknown as error:
                # If it was committed, the key is there: the next attempt finds it and books nothing.
                unknown = error
            if time.monotonic() - began > PATIENCE_SECONDS:
                break
    except (Refusal, Error):
        # They know only of their own attempt; over another node of a cluster the first may just not be visible yet.
        if unknown is None:
            raise
    raise unknown


def book_with_new_reference(request: BookingRequest, **key) -> Receipt:
    try:
        return book_once(request, nonce=secrets.token_hex(32), reference=new_reference(), **key)
    except IntegrityError:
        # The key was committed meanwhile over another node, or the reference is taken (one in 10^14).
        # Nothing of this attempt was kept; the second finds the key, or draws another reference.
        return book_once(request, nonce=secrets.token_hex(32), reference=new_reference(), **key)


@in_one_transaction
def book_once(
    request: BookingRequest, *, nonce: str, reference: str, digest: str | None = None, is_in_hand: bool = True
) -> Receipt:
    # Hashed before the lock.
    token = None if request.user else guest_token(nonce)
    token_hash = token and hash_token(token)
    fingerprint = request.fingerprint() if digest else None
    if digest and (known := receipt_of(digest, fingerprint=fingerprint)):
        return known
    if not is_in_hand:
        raise KeyInFlight
    event = lock_event(request.event_id)
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
