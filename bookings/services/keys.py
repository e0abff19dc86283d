"""Idempotency keys: one is taken while its booking is made, and remembers the answer afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from django.db import Error, connection
from django.utils import timezone

from bookings.exceptions import KeyReused
from bookings.models import Booking, IdempotencyKey
from bookings.services.references import guest_token, is_token_of

ANSWERED = ("reference", "event_id", "user_id", "first_name", "last_name", "email", "tickets_reserved", "status")


@dataclass(slots=True)
class Receipt:
    """A booking as it was made; `token` only for a guest, `is_replayed` when the key was known."""

    booking: Booking
    token: str | None = None
    is_replayed: bool = False


def receipt_of(digest: str, *, fingerprint: str) -> Receipt | None:
    """The booking that the key made before, if it did. Raises `KeyReused`.

    Looked for before the event is locked: who only asks again waits for nobody.
    """
    known = IdempotencyKey.objects.select_related("booking").filter(digest=digest).first()
    return known and replay(known, fingerprint=fingerprint)


@contextmanager
def key_in_hand(digest: str) -> Iterator[bool]:
    """Whether nobody else is booking with the key; it is then locked by name, which ends with the connection.

    It only spares the second of two at once the wait: that one key books once is up to its unique index. So where
    it cannot be had (some clusters refuse it) the second waits for the first, as on SQLite, where one writes at a time.
    """
    # Names are the server's, whichever the database, and at most 64 characters long.
    name = sha256(f"{connection.settings_dict['NAME']} {digest}".encode()).hexdigest()
    locked = ask_for("SELECT GET_LOCK(%s, 0)", name) if connection.vendor == "mysql" else None
    try:
        yield locked != 0
    finally:
        if locked and connection.connection is not None:
            ask_for("SELECT RELEASE_LOCK(%s)", name)


def ask_for(statement: str, name: str) -> int | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement, [name])
            return cursor.fetchone()[0]
    except Error:
        # The booking is made, or refused, all the same. A lock that is not let go ends with the connection.
        connection.close()
        return None


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
