"""Idempotency keys: one is taken while its booking is made, and remembers the answer afterwards."""

from dataclasses import dataclass
from hashlib import sha256

from django.db import Error, connection
from django.utils import timezone

from bookings.exceptions import KeyInFlight, KeyReused
from bookings.models import Booking, IdempotencyKey
from bookings.services.references import guest_token, is_token_of
from ticks.outage import drop_if_lost

ANSWERED = ("reference", "event_id", "user_id", "first_name", "last_name", "email", "tickets_reserved", "status")


@dataclass(slots=True)
class Receipt:
    """A booking as it was made; `token` only for a guest, `is_replayed` when the key was known."""

    booking: Booking
    token: str | None = None
    is_replayed: bool = False


def take_key(digest: str, *, fingerprint: str) -> Receipt | None:
    """The booking that the key made, or None: then it is this connection's until `release_key`.

    Raises `KeyReused`, `KeyInFlight`. Comes before the event's lock: who only asks again waits for nobody.
    """
    is_taken = try_to_lock(digest)
    known = IdempotencyKey.objects.select_related("booking").filter(digest=digest).first()
    if known:
        return replay(known, fingerprint=fingerprint)
    if not is_taken:
        raise KeyInFlight
    return None


def try_to_lock(digest: str) -> bool:
    """Locks the key by name, which ends with the connection at the latest, without waiting for it.

    It only spares the second of two at once the wait: that one key books once is up to its unique index.
    On SQLite, where one transaction writes at a time, the second has waited for the first already.
    """
    if connection.vendor != "mysql":
        return True
    # Names are the server's, whichever the database, and at most 64 characters long.
    name = sha256(f"{connection.settings_dict['NAME']} {digest}".encode()).hexdigest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", [name])
        return cursor.fetchone()[0] == 1


def release_key() -> None:
    if connection.vendor != "mysql" or connection.connection is None:
        return
    try:
        with connection.cursor() as cursor:
            # All, since a retried transaction has locked the same one again.
            cursor.execute("DO RELEASE_ALL_LOCKS()")
    except Error as error:
        # The booking is made, or refused, all the same. The lock ends with the connection.
        connection.close()
        drop_if_lost(error)


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
