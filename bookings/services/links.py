"""Links by which whoever holds a booking opens its page, without an account.

A link's key is derived and not stored, as the codes of tickets are: a booking costs nothing for it, and a mail can have
it, although it is written out long after the booking. It is signed with `TICKET_SECRET`, and names the booking, its
epoch and its mail address. So it ends with the codes of the tickets (a transfer, or "void tickets"), and also if the
address is corrected: the mailbox of a wrong address may be a stranger's."""

import re
from base64 import urlsafe_b64encode
from functools import partial

from django.conf import settings

from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.epochs import epoch_of, with_epochs
from bookings.services.references import is_signed, signature_of

# 256 bits.
LINK_KEY_PATTERN = re.compile(r"[\w-]{43}", re.ASCII)


def link_key(booking: Booking, secret: str | None = None) -> str:
    """The key of the link to a booking from `with_epochs`, signed with the present secret or with another."""
    named = f"ticks holder {booking.pk} {epoch_of(booking)} {booking.email}"
    return urlsafe_b64encode(signature_of(named, secret)).rstrip(b"=").decode()


def link_to(booking: Booking) -> str:
    """The link for a mail to the address that the booking has, which must come from `with_epochs`."""
    return f"{settings.SITE_URL}/my/open/{booking.reference}?key={link_key(booking)}"


def open_by_link(reference: str, key: str) -> Booking:
    """The booking that a link opens, with its event and epoch: all from one statement, so that whoever has just lost a
    booking sees nothing of its new holder. Raises `BookingNotFound`."""
    bookings = with_epochs().select_related("user").filter(reference=reference)
    booking = bookings.first() if LINK_KEY_PATTERN.fullmatch(key) else None
    if booking is None or not is_signed(key, partial(link_key, booking)):
        raise BookingNotFound
    return booking
