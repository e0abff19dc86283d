"""Idempotency keys. A key is locked while its booking is made, and its row remembers the answer afterwards."""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from django.db import Error, connection
from django.utils import timezone

from bookings.exceptions import KeyReused
from bookings.models import Booking
from bookings.services import sql
from bookings.services.references import guest_token, is_token_of

ANSWERED = ("reference", "event_id", "user_id", "first_name", "last_name", "email", "tickets_reserved", "status")


@dataclass(slots=True)
class Receipt:
    """A booking as it was made. `token` is only for a guest; `is_replayed` is true if the key was known."""

    booking: Booking
    token: str | None = None
    is_replayed: bool = False


@contextmanager
def keys_in_hand(digests: Collection[str]) -> Iterator[Collection[str]]:
    """The keys that nobody else is booking with. Each key is locked by name, and the lock ends with the connection.

    The unique index alone makes sure that one key books once. The lock only saves the second of two simultaneous
    requests the wait. If the lock is not available (some clusters refuse it), the second request waits for the first,
    as on SQLite.
    """
    if not digests or connection.vendor != "mysql":
        yield digests
        return
    # Lock names are shared by all databases of the server, so they include the database's name. They have at most 64
    # characters, so they are hashed.
    names = {digest: sha256(f"{connection.settings_dict['NAME']} {digest}".encode()).hexdigest() for digest in digests}
    answers = call_for_each("GET_LOCK(%s, 0)", list(names.values()))
    locked = [name for name, answer in zip(names.values(), answers, strict=True) if answer]
    try:
        yield {digest for digest, answer in zip(names, answers, strict=True) if answer != 0}
    finally:
        if locked and connection.connection is not None:
            call_for_each("RELEASE_LOCK(%s)", locked)


def call_for_each(function: str, names: Sequence[str]) -> Sequence[int | None]:
    try:
        [answers] = sql.run(f"SELECT {', '.join([function] * len(names))}", names)
    except Error:
        # The booking is made or refused without the lock. A lock that was not released ends with the connection.
        connection.close()
        return [None] * len(names)
    return answers


def key_of(booking: Booking, *, digest: str, fingerprint: str, nonce: str | None) -> sql.NewKey:
    """The row that remembers the booking as the answer shows it now."""
    answer = {name: getattr(booking, name) for name in ANSWERED}
    answer |= {"position": booking.waitlist_position, "created_at": booking.created_at.isoformat()}
    return sql.NewKey(digest, fingerprint, answer, nonce, booking.reference)


def replay(known: sql.KnownKey, *, fingerprint: str) -> Receipt:
    if known.fingerprint != fingerprint:
        raise KeyReused
    answer = json.loads(known.answer)
    position = answer.pop("position")
    created = timezone.datetime.fromisoformat(answer.pop("created_at"))
    booking = Booking(pk=known.booking_id, created_at=created, updated_at=created, **answer)
    booking.waitlist_position = position
    token = guest_token(known.token_nonce) if known.token_nonce else None
    if token and not is_token_of(known, token):
        # SECRET_KEY has changed since the first answer. The token of the first answer still works, but this one does
        # not.
        token = None
    return Receipt(booking, token, is_replayed=True)
