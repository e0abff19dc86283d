"""A mail address that the holder of a booking corrects."""

import json

from django.db import IntegrityError
from django.utils import timezone

from bookings.exceptions import BookingNotFound, HolderChanged, KeyReused
from bookings.models import Booking
from bookings.services import sql
from bookings.services.epochs import epoch_of, with_epochs
from bookings.services.idempotency import digest_of, find_key, fingerprint_of
from bookings.services.inventory import HOLDER, lock_event
from bookings.services.transfer import Holder, move_to
from ticks.db.transactions import in_one_transaction

REASON = "on the holder's page"


@in_one_transaction
def correct_address(seen: Booking, *, email: str, key: str) -> Booking:
    """Gives a booking another mail address of the same person. Links to the old address end; tickets stay valid.

    `seen` is the booking from `with_epochs` that its holder was shown. It is compared while the booking is locked, so
    that nobody takes back a booking that has just been moved to another person. With the idempotency `key` a repeated
    request changes nothing, and is answered only while the booking is as the first one left it. Raises
    `HolderChanged`, `AlreadyCancelled`, `KeyReused`, `EventNotFound`, `Busy`, and the refusals of
    `bookings.rules.transfer`.
    """
    event = lock_event(seen.event_id)
    [booking] = sql.read_bookings([seen.pk], is_locking=True)
    digest, fingerprint = digest_of(key, None), fingerprint_of(["correct address", seen.pk, email])
    known = find_key(digest, fingerprint)
    if known and not is_as_corrected(booking, known, email=email):
        raise HolderChanged
    if not known:
        if any(getattr(booking, name) != getattr(seen, name) for name in HOLDER):
            raise HolderChanged
        holder = Holder(booking.first_name, booking.last_name, email, is_same=True)
        booking = move_to(event, booking, holder, actor=None, reason=REASON)
        used = sql.NewKey(digest, fingerprint, {"epoch": epoch_of(seen)}, booking)
        try:
            sql.run_all(sql.insert_keys([used], {}, timezone.now()))
        except IntegrityError:
            # The booking of another event has been corrected with this key meanwhile, under another lock.
            raise KeyReused from None
    return with_epochs().get(pk=booking.pk)


def find_corrected(reference: str, *, email: str, key: str) -> Booking:
    """The booking whose address an earlier request with this key has corrected, if it is still the same person's.

    After a correction its own page is closed to a form that is sent a second time, by a double click or since the first
    answer was lost. Raises `BookingNotFound`, `KeyReused`.
    """
    booking = with_epochs().filter(reference=reference).first()
    known = booking and find_key(digest_of(key, None), fingerprint_of(["correct address", booking.pk, email]))
    if not known or not is_as_corrected(booking, known, email=email):
        raise BookingNotFound
    return booking


def is_as_corrected(booking: Booking, known: sql.KnownKey, *, email: str) -> bool:
    """Whether the booking is still the same person's, at the address that it was given with this key."""
    return json.loads(known.answer) == {"epoch": epoch_of(booking)} and booking.email == email
