from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from bookings.commands import Transfer
from bookings.enums import BookingStatus
from bookings.exceptions import NoTickets
from bookings.models import MAX_NOTE, VOIDED_NOTE, Booking
from bookings.outbox import MailOptions
from bookings.services.inventory import apply, claim_of, lock_event
from bookings.services.sql import read_bookings
from bookings.services.tickets import raise_epoch
from ticks.db.transactions import in_one_transaction


@in_one_transaction
def void_tickets(booking: Booking, *, actor: User, reason: str, mails: MailOptions | None = None) -> Booking:
    """Voids the codes of a booking's tickets that are out; the booking keeps its tickets, and they have new codes.

    Raises `NoTickets`, `EventNotFound`, `Busy`.
    """
    event = lock_event(booking.event_id)
    [booking] = read_bookings([booking.pk], is_locking=True)
    if booking.status != BookingStatus.COMPLETED:
        raise NoTickets
    raise_epoch(booking)
    claim = claim_of(booking)
    note = Truncator(f"{VOIDED_NOTE}{reason}").chars(MAX_NOTE)
    apply(event, [Transfer(claim, claim.holder, note, actor)], now=timezone.now(), mails=mails)
    return booking
