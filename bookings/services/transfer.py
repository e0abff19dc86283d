from typing import NamedTuple

from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from bookings.commands import Transfer
from bookings.enums import BookingStatus
from bookings.exceptions import AlreadyCancelled
from bookings.models import MAX_NOTE, Booking
from bookings.outbox import FormerHolder, MailOptions
from bookings.services.inventory import apply, claim_of, holder_of, lock_event
from bookings.services.sql import read_bookings
from bookings.services.tickets import raise_epoch
from events.models import Event
from ticks.db.transactions import in_one_transaction
from ticks.search import search_text
from ticks.text import normalise_email


class Holder(NamedTuple):
    """The person that a booking is for. `is_same`: the same person as before, spelled differently."""

    first_name: str
    last_name: str = ""
    email: str = ""
    is_same: bool = False
    # None leaves the booking's language as it is.
    language: str | None = None


@in_one_transaction
def transfer_booking(
    booking: Booking, *, holder: Holder, actor: User, reason: str = "", mails: MailOptions | None = None
) -> Booking:
    """Moves a booking to another name or mail address; its tickets and its place in the waitlist stay.

    If the booking goes to another person, the account that made it, the guest's token and links in mails no longer open
    it, and the codes of its tickets are void. An account that has verified the booking's address sees it, though. A new
    address of the same person ends the links alone.
    Values that the booking already has are no change. Raises `AlreadyCancelled`, `EventNotFound`, `Busy`, and the
    refusals of `bookings.rules.transfer`.
    """
    event = lock_event(booking.event_id)
    [booking] = read_bookings([booking.pk], is_locking=True)
    return move_to(event, booking, holder, actor=actor, reason=reason, mails=mails)


def move_to(
    event: Event,
    booking: Booking,
    holder: Holder,
    *,
    actor: User | None,
    reason: str,
    mails: MailOptions | None = None,
) -> Booking:
    """Must run while the event and the booking are locked."""
    if booking.status == BookingStatus.CANCELLED:
        raise AlreadyCancelled
    changes = changes_to(booking, holder)
    if not changes:
        return booking
    now = timezone.now()
    summary = f"{transfer_summary(booking, changes)}{f': {reason}' if reason else ''}"
    note = Truncator(summary).chars(MAX_NOTE)
    apply(event, [transfer_command(booking, changes, note=note, actor=actor)], now=now, mails=mails)
    if "email" in changes and not holder.is_same:
        # The ledger has no mail addresses, and from now on the booking has another one.
        FormerHolder.objects.create(
            booking=booking,
            sequence=event.ledger_sequence,
            name=f"{booking.first_name} {booking.last_name}".strip(),
            email=booking.email,
            account=booking.user_id,
            language=booking.language,
            created_at=now,
        )
    for name, value in changes.items():
        setattr(booking, name, value)
    booking.updated_at = now
    booking.search_text = search_text(booking.first_name, booking.last_name, booking.email)
    booking.save(update_fields=[*changes, "updated_at", "search_text"])
    if not holder.is_same:
        raise_epoch(booking)
    return booking


def transfer_command(booking: Booking, changes: dict, *, note: str = "", actor: User | None = None) -> Transfer:
    """The command for the rules: to move the booking, or for a preview."""
    account, email = (changes.get(name, getattr(booking, name)) for name in ("user_id", "email"))
    return Transfer(claim_of(booking), holder_of(account, email), note, actor)


def changes_to(booking: Booking, holder: Holder) -> dict:
    wanted = {
        "first_name": holder.first_name,
        "last_name": holder.last_name,
        "email": normalise_email(holder.email) or "",
    }
    if holder.language is not None:
        wanted["language"] = holder.language
    if not holder.is_same:
        wanted |= {"user_id": None, "token_hash": None, "one_ticket_holder_id": None}
    return {name: value for name, value in wanted.items() if getattr(booking, name) != value}


def transfer_summary(booking: Booking, changes: dict) -> str:
    """The text for the ledger. It has names but no mail addresses, since nobody can erase a ledger entry."""
    parts = []
    if {"first_name", "last_name"} & changes.keys():
        first, last = (changes.get(name, getattr(booking, name)) for name in ("first_name", "last_name"))
        parts.append(f"{booking.full_name} → {f'{first} {last}'.strip()}")
    if "email" in changes:
        parts.append("another mail address")
    if "language" in changes:
        parts.append("another language")
    if "user_id" in changes:
        parts.append("taken from its account")
    if "token_hash" in changes:
        parts.append("its token ended")
    return ", ".join(parts)
