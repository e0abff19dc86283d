"""What staff do to the waitlist out of its order, each with a reason that the ledger keeps."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone

from accounts.models import User
from bookings.exceptions import NotInLine, NotWaiting
from bookings.line import number_of_arrival, numbers_between
from bookings.models import Booking, LinePart
from bookings.rules import Claim, Command, Move, Serve
from bookings.services.inventory import claim_of, lock_event, settle
from bookings.services.sql import lock_bookings
from events.models import Event
from ticks.db.transactions import in_one_transaction

# Who follows is moved as well where no number is left between two; then for a while nobody has to.
ENOUGH_ROOM = 2**10
PAGE = 50
MADE_ROOM = "Made room for another"


@dataclass(frozen=True, slots=True)
class Served:
    """A booking after staff acted on it, and the claims that were served on the way, its own included."""

    booking: Booking
    served: list[Claim]


@in_one_transaction
def move_in_line(booking: Booking, *, position: int, reason: str, actor: User) -> Served:
    """Moves a waiting booking to a place in its event's waitlist, from 1; who stood there waits behind it.

    Under strict the new head is served at once if it fits. Raises `NotWaiting`, `NotInLine`, `EventNotFound`, `Busy`.
    """
    event, booking = locked(booking)
    return Served(booking, settled(event, moves(event, booking, position=position, note=reason, actor=actor)))


@in_one_transaction
def serve_out_of_turn(booking: Booking, *, reason: str, actor: User, adds: bool = False) -> Served:
    """Gives a waiting booking its tickets, whoever waits ahead; `adds` those that are missing to the capacity first.

    Raises `NotWaiting`, `TooFewLeft`, `EventNotFound`, `Busy`.
    """
    event, booking = locked(booking)
    total = event.total_tickets
    served = settled(event, [Serve(claim_of(booking), adds=adds, note=reason, actor=actor)])
    if event.total_tickets != total:
        # Whoever edits the event at the moment has an older total before them.
        event.version += 1
        event.updated_at = timezone.now()
        event.save(update_fields=["version", "updated_at"])
    return Served(booking, served)


def locked(booking: Booking) -> tuple[Event, Booking]:
    event = lock_event(booking.event_id)
    [booking] = lock_bookings([booking.pk])
    return event, booking


def settled(event: Event, commands: list[Command]) -> list[Claim]:
    """Whom the commands served."""
    return [claim for outcome in settle(event, commands, now=timezone.now()) for claim in outcome.promoted]


def moves(event: Event, booking: Booking, *, position: int, note: str, actor: User) -> list[Command]:
    """The commands that bring a waiting booking to a position; none where it is there."""
    if booking.waitlist_number is None:
        raise NotWaiting
    if not 1 <= position <= event.waitlisted_count:
        raise NotInLine(event.waitlisted_count)
    now_at = booking.waitlist_position
    if position == now_at:
        return []
    # In the line without it, so many stand ahead of the place.
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
        # It still has this one when another gets it.
        numbers = [number - 1 for number in numbers]
    # From the end on, where each gets a number that nobody has any more.
    return [
        Move(claim_of(one), number, note if one is booking else MADE_ROOM, actor, serves=one is booking)
        for one, number in reversed(list(zip(moved, numbers, strict=True)))
    ]


def following(event: Event, before: int) -> Iterator[Booking]:
    """Who waits behind a number, in order."""
    while True:
        line = Booking.objects.filter(event=event, waitlist_number__gt=before).order_by("waitlist_number")
        page = list(line[:PAGE])
        yield from page
        if len(page) < PAGE:
            return
        before = page[-1].waitlist_number


def number_at(event: Event, position: int) -> int:
    """Of who stands at a position: counted by the parts of the line, then one by one.

    Raises `NotInLine` where fewer wait: without the event's lock some may have left since it was read.
    """
    line = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    parts = LinePart.objects.filter(event=event).order_by("first_number").values_list("first_number", "waiting")
    left = position
    for first, waiting in parts:
        if left <= waiting:
            numbers = line.filter(waitlist_number__gte=first).values_list("waitlist_number", flat=True)
            for number in numbers[left - 1 : left]:
                return number
            break
        left -= waiting
    raise NotInLine(line.count())
