"""Changes by staff to the order of the waitlist. The ledger keeps a reason for each."""

from collections.abc import Iterator
from typing import NamedTuple

from django.utils import timezone

from accounts.models import User
from bookings.commands import Claim, Command, Move, Serve
from bookings.exceptions import NoSuchPlace, NotWaiting
from bookings.models import Booking, LinePart
from bookings.outbox import MailOptions
from bookings.rules import number_of_arrival
from bookings.services.inventory import apply, lock_event
from bookings.services.sql import read_booking
from events.models import Event
from ticks.db.transactions import in_one_transaction

# If no number is left between two bookings, those that follow are moved too, until there is enough room again.
ENOUGH_ROOM = 2**10
PAGE = 50
MADE_ROOM = "Made room for another"


class WaitlistChange(NamedTuple):
    """A booking after a change by staff, and the claims that were promoted by it, perhaps its own too."""

    booking: Booking
    promoted: list[Claim]


@in_one_transaction
def move_in_waitlist(
    booking: Booking, *, position: int, reason: str, actor: User, mails: MailOptions | None = None
) -> WaitlistChange:
    """Moves a waiting booking to a place in its event's waitlist, from 1. The booking there then waits behind it.

    Under strict the new head is promoted at once if it fits. Raises `NotWaiting`, `NoSuchPlace`, `EventNotFound`,
    `Busy`.
    """
    event = lock_event(booking.event_id)
    booking = read_booking(booking.pk)
    commands = moves(event, booking, position=position, note=reason, actor=actor)
    return change_waitlist(event, booking, commands, mails=mails)


@in_one_transaction
def serve_out_of_turn(
    booking: Booking, *, reason: str, actor: User, adds: bool = False, mails: MailOptions | None = None
) -> WaitlistChange:
    """Gives a waiting booking its tickets, even if others wait ahead. `adds` first adds the missing tickets to the
    capacity.

    Raises `NotWaiting`, `TooFewLeft`, `EventNotFound`, `Busy`.
    """
    event = lock_event(booking.event_id)
    total = event.total_tickets
    change = change_waitlist(event, booking, [Serve(booking.pk, adds=adds, note=reason, actor=actor)], mails=mails)
    if event.total_tickets != total:
        # A page that edits the event shows the total from before, so the version must change too.
        event.version += 1
        event.updated_at = timezone.now()
        event.save(update_fields=["version", "updated_at"])
    return change


def change_waitlist(
    event: Event, booking: Booking, commands: list[Command], *, mails: MailOptions | None
) -> WaitlistChange:
    work = apply(event, commands, now=timezone.now(), mails=mails)
    claim = work.inventory.claims.get(booking.pk)
    return WaitlistChange(claim.booking if claim else booking, work.promoted)


def moves(event: Event, booking: Booking, *, position: int, note: str, actor: User) -> list[Command]:
    """The commands that bring a waiting booking to a position; no commands if it is there already."""
    if booking.waitlist_number is None:
        raise NotWaiting
    if not 1 <= position <= event.waitlisted_count:
        raise NoSuchPlace(event.waitlisted_count)
    now_at = booking.waitlist_position
    if now_at is None:
        # It has left the waitlist since it was read.
        raise NotWaiting
    if position == now_at:
        return []
    # Without this booking, so many others stand ahead of the new place.
    ahead = position - 1 if position < now_at else position
    before = number_at(event, ahead) if ahead else 0
    moved, numbers = [booking], []
    for other in following(event, before):
        if other.pk == booking.pk:
            continue
        numbers = numbers_between(before, other.waitlist_number, len(moved))
        if numbers and (len(moved) == 1 or numbers[0] - before >= ENOUGH_ROOM):
            break
        moved.append(other)
    else:
        numbers = numbers_between(before, number_of_arrival(event.ledger_sequence + 1), len(moved))
    if booking.waitlist_number in numbers:
        # The booking still has this number while another booking gets one. So all numbers are shifted by one.
        numbers = [number - 1 for number in numbers]
    # The bookings move from the end on, so that each gets a number that nobody has any more.
    return [
        Move(one.pk, number, note if one is booking else MADE_ROOM, actor, promotes=one is booking)
        for one, number in reversed(list(zip(moved, numbers, strict=True)))
    ]


def numbers_between(before: int, after: int, count: int) -> list[int]:
    """`count` numbers between two others, in order and evenly apart; an empty list if they do not fit."""
    step = (after - before) // (count + 1)
    return [before + step * place for place in range(1, count + 1)] if step else []


def following(event: Event, before: int) -> Iterator[Booking]:
    """The bookings that wait behind a number, in order."""
    while True:
        waiting = Booking.objects.filter(event=event, waitlist_number__gt=before).order_by("waitlist_number")
        page = list(waiting[:PAGE])
        yield from page
        if len(page) < PAGE:
            return
        before = page[-1].waitlist_number


def number_at(event: Event, position: int) -> int:
    """The number of the booking at a position: it is found by the counts of the parts, then row by row.

    Raises `NoSuchPlace` if fewer wait. Without the event's lock, some may have left since the event was read.
    """
    waiting = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    parts = LinePart.objects.filter(event=event).order_by("first_number").values_list("first_number", "waiting")
    left = position
    for first, count in parts:
        if left <= count:
            numbers = waiting.filter(waitlist_number__gte=first).values_list("waitlist_number", flat=True)
            for number in numbers[left - 1 : left]:
                return number
            break
        left -= count
    raise NoSuchPlace(waiting.count())
