"""Links by which whoever holds a booking opens its page, without an account.

A link's key is derived and not stored, as the codes of tickets are: a booking costs nothing for it, and a mail can have
it, although it is written out long after the booking. It is signed with `TICKET_SECRET`, and names the booking, its
epoch and its mail address. So it ends with the codes of the tickets (a transfer, or "void tickets"), and also if the
address is corrected: the mailbox of a wrong address may be a stranger's."""

import re
from base64 import urlsafe_b64encode
from hmac import compare_digest
from hmac import digest as hmac_digest

from django.conf import settings

from bookings.exceptions import BookingNotFound
from bookings.models import Booking
from bookings.services.epochs import epoch_of, with_epochs

# 256 bits.
KEY = re.compile(r"[\w-]{43}", re.ASCII)


def link_key(booking: Booking, secret: str | None = None) -> str:
    """The key of the link to a booking from `with_epochs`, signed with the present secret or with another."""
    named = f"ticks holder {booking.pk} {epoch_of(booking)} {booking.email}"
    signature = hmac_digest((secret or settings.TICKET_SECRET).encode(), named.encode(), "sha256")
    return urlsafe_b64encode(signature).rstrip(b"=").decode()


def link_to(booking: Booking) -> str:
    """The link for a mail to the address that the booking has, which must come from `with_epochs`."""
    return f"{settings.SITE_URL}/my/open/{booking.reference}?key={link_key(booking)}"


def open_by_link(reference: str, key: str) -> Booking:
    """The booking that a link opens, with its event and epoch: all from one statement, so that whoever has just lost a
    booking sees nothing of its new holder. Raises `BookingNotFound`."""
    booking = with_epochs().select_related("user").filter(reference=reference).first() if KEY.fullmatch(key) else None
    if booking is None or not is_link_key(booking, key):
        raise BookingNotFound
    return booking


def is_link_key(booking: Booking, key: str) -> bool:
    # Every secret is tried, so that the time does not tell which one has signed.
    secrets = [settings.TICKET_SECRET, *settings.TICKET_SECRET_FALLBACKS]
    is_signed = [compare_digest(link_key(booking, secret), key) for secret in secrets]
    return any(is_signed)
