"""The rules of booking: who gets tickets, who waits, who is served next.

Pure: no database, no clock, no request. One event's locked state goes in with any number of commands. Each command gets
its outcome, in order. The caller writes the state, the claims and the ledger entries that come out. A refused command
changes nothing, so the others of its batch stand.

A rule about other bookings belongs here too, since it must see the other commands of the same batch. The rule reads a
field of `Inventory`. `load` in `bookings.services.inventory` fills that field for every caller, previews included."""

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from bookings.commands import (
    Book,
    Cancel,
    CancelEvent,
    CancelSeat,
    ChangeTerms,
    Claim,
    Command,
    Entry,
    Inventory,
    Move,
    Note,
    Outcome,
    Serve,
    Transfer,
)
from bookings.enums import BookingStatus, LedgerKind
from bookings.exceptions import (
    AlreadyBooked,
    AlreadyCancelled,
    BookingChanged,
    BookingNotFound,
    CapacityBelowHeld,
    HolderChanged,
    MoreThanReserved,
    NotWaiting,
    PersonLimit,
    SalesClosed,
    SalesNotOpen,
    SoldOut,
    TooFewLeft,
    TooManyTickets,
)
from events.exceptions import EventNotFound
from ticks.exceptions import Refusal
from ticks.parsing import MAX_TICKETS

STRICT = "strict"
BY_NUMBER = attrgetter("waitlist_number")
COMPLETED, WAITLISTED, CANCELLED = BookingStatus.COMPLETED, BookingStatus.WAITLISTED, BookingStatus.CANCELLED
# The distance between the waitlist numbers of two arrivals. It leaves room to move twenty bookings into the same gap.
ROOM = 2**20
# The waitlist is divided into parts of this many numbers, and each part keeps a count of its bookings. A position is
# the sum of the counts of the parts ahead and of the places within its own part. With a million arrivals these are
# 4,000 rows and 128.
NUMBERS_A_PART = 256 * ROOM


@dataclass(slots=True, frozen=True)
class Reach:
    """How far into the waitlist some commands can get, so that only this much of it is loaded.

    At most `tickets` can be free at any moment. Under first fit at most `tickets // size` claims of one size can be
    served. Under strict at most `tickets` claims can be served, and the next head then stops the rest. `leaving` claims
    may drop out of the waitlist and let that many others move up.
    """

    tickets: int
    leaving: int
    policies: frozenset[str]

    def of_size(self, size: int) -> int:
        return self.tickets // size + self.leaving

    @property
    def heads(self) -> int:
        return self.tickets + 1 + self.leaving


def reach(inventory: Inventory, commands: Sequence[Command], *, now: datetime) -> Reach:
    # A new booking only takes tickets, and a transfer or a note moves none. So they serve nobody who waits. After the
    # end of sales only a change of that end can.
    idle = Book | Transfer | Note
    if inventory.has_ended(now):
        idle |= Cancel | CancelSeat | CancelEvent | Move | Serve
    if all(isinstance(command, idle) for command in commands):
        return Reach(0, 0, frozenset())
    free, leaving, policies, total = inventory.available, 0, {inventory.policy}, inventory.total
    for command in commands:
        match command:
            case Cancel(booking_id=booking_id, tickets=tickets) if claim := inventory.claims.get(booking_id):
                leaving += claim.status == WAITLISTED
                if claim.status == COMPLETED:
                    free += claim.tickets if tickets is None else min(tickets, claim.tickets)
            case CancelSeat(holder=holder):
                live = inventory.live_claims_of(holder)
                leaving += sum(claim.status == WAITLISTED for claim in live)
                free += sum(claim.tickets for claim in live if claim.status == COMPLETED)
            case Move():
                leaving += 1
            case Serve(booking_id=booking_id) if claim := inventory.claims.get(booking_id):
                leaving += 1
                free += claim.tickets
            case ChangeTerms():
                free += max(0, command.total - total)
                total = command.total
                policies.add(command.policy)
    return Reach(free, leaving, frozenset(policies))


def allocate(inventory: Inventory, commands: Sequence[Command], *, now: datetime) -> list[Outcome]:
    """Carries out the commands in order and changes `inventory` and the claims accordingly.

    All commands take effect at once. So the position of a booking that joined the waitlist is its position after the
    last command.
    """
    outcomes = []
    for command in commands:
        outcome = Outcome()
        try:
            if inventory.is_deleted:
                # The event's bookings were cancelled together with the event.
                raise AlreadyCancelled if isinstance(command, Cancel) else EventNotFound
            RULES[type(command)](inventory, command, outcome, now)
        except Refusal as refusal:
            outcome.error = refusal
        outcomes.append(outcome)
    if inventory.waitlisted:
        # The bookings that have just joined are at the end of the waitlist, in order.
        joined = [command.claim for command in commands if isinstance(command, Book)]
        joined = [claim for claim in joined if claim.status == WAITLISTED]
        for position, claim in enumerate(joined, inventory.waitlisted - len(joined) + 1):
            claim.position = position
    return outcomes


def book(inventory: Inventory, command: Book, outcome: Outcome, now: datetime) -> None:
    """Raises `AlreadyBooked`, `SalesNotOpen`, `SalesClosed`, `TooManyTickets`, `PersonLimit` and `SoldOut`."""
    claim = outcome.claim = command.claim
    if claim.is_one_ticket and inventory.live_claims_of(claim.holder):
        raise AlreadyBooked
    if inventory.sales_start and now < inventory.sales_start:
        raise SalesNotOpen(inventory.sales_start, inventory.time_zone)
    if inventory.has_ended(now):
        raise SalesClosed
    limit = min(inventory.total, inventory.max_tickets_per_booking or inventory.total)
    if claim.tickets > limit:
        raise TooManyTickets(limit)
    refuse_beyond_person_limit(inventory, claim.holder, claim.tickets)
    must_queue = inventory.policy == STRICT and inventory.waitlisted > 0
    if claim.tickets <= inventory.available and not must_queue:
        claim.status = COMPLETED
        inventory.available -= claim.tickets
        inventory.completed += 1
        kind = LedgerKind.BOOKED
    elif inventory.waitlist_enabled:
        claim.status = WAITLISTED
        claim.waitlist_number = number_of_arrival(inventory.sequence + 1)
        inventory.waitlisted += 1
        inventory.waitlisted_tickets += claim.tickets
        inventory.part_changes[part_of_waitlist(claim.waitlist_number)] += 1
        inventory.queue.append(claim)
        kind = LedgerKind.WAITLISTED
    else:
        raise SoldOut
    inventory.bookings += 1
    inventory.asked += claim.tickets
    if claim.holder in inventory.claims_by_holder:
        inventory.claims_by_holder[claim.holder].append(claim)
    record(inventory, outcome, kind, claim.tickets, command.actor, claim)


def refuse_beyond_person_limit(inventory: Inventory, holder: int | str | None, tickets: int) -> None:
    """Counts the live tickets of a person, waiting ones too, together with those of earlier commands of the batch.

    A guest without a mail address is nobody who is known, so each of their bookings counts by itself.
    """
    limit = inventory.max_tickets_per_person
    if limit is not None:
        has = sum(claim.tickets for claim in inventory.live_claims_of(holder))
        if has + tickets > limit:
            raise PersonLimit(limit, has)


def cancel(inventory: Inventory, command: Cancel, outcome: Outcome, now: datetime) -> None:
    claim = find_claim(inventory, command.booking_id)
    if command.held_by not in (None, claim.held_by):
        # The caller was allowed to see the booking. It was moved to somebody else while the command waited.
        raise HolderChanged
    if claim.status == CANCELLED:
        raise AlreadyCancelled
    if command.expected not in (None, claim.tickets):
        # If one page is confirmed twice, this keeps it from giving back twice as many tickets.
        raise BookingChanged
    give_back(inventory, claim, command.tickets, outcome, command.actor, now=now)


def cancel_seat(inventory: Inventory, command: CancelSeat, outcome: Outcome, now: datetime) -> None:
    # A booking without an id was made in this same batch. Nobody can know of it yet, and the order within a batch is
    # free.
    seats = [claim for claim in inventory.live_claims_of(command.holder) if claim.id is not None]
    if not seats:
        raise BookingNotFound("This user has no booking for this event.")
    # The first booking made by the one-ticket contract is cancelled; if there is none, the first booking.
    seat = min(seats, key=lambda claim: not claim.is_one_ticket)
    give_back(inventory, seat, None, outcome, command.actor, now=now)


def give_back(
    inventory: Inventory, claim: Claim, tickets: int | None, outcome: Outcome, actor: Any, *, now: datetime
) -> None:
    """Frees tickets of a live claim and serves the waitlist with them. None frees all of its tickets."""
    tickets = claim.tickets if tickets is None else tickets
    if tickets > claim.tickets:
        raise MoreThanReserved(claim.tickets)
    outcome.claim = claim
    waits = claim.status == WAITLISTED
    if waits and claim not in inventory.queue:
        insort(inventory.queue, claim, key=BY_NUMBER)
    if not waits:
        inventory.available += tickets
    if tickets < claim.tickets:
        claim.tickets -= tickets
        if waits:
            inventory.waitlisted_tickets -= tickets
        record(inventory, outcome, LedgerKind.REDUCED, tickets, actor, claim)
    else:
        claim.status = CANCELLED
        if waits:
            inventory.queue.remove(claim)
            leave_waitlist(inventory, claim)
        else:
            inventory.completed -= 1
        record(inventory, outcome, LedgerKind.CANCELLED, tickets, actor, claim)
    promote(inventory, outcome, actor, now=now)


def change_terms(inventory: Inventory, command: ChangeTerms, outcome: Outcome, now: datetime) -> None:
    if command.total < inventory.held:
        raise CapacityBelowHeld(inventory.held)
    inventory.policy, inventory.sales_end = command.policy, command.sales_end
    difference = command.total - inventory.total
    if difference:
        inventory.total += difference
        inventory.available += difference
        record(inventory, outcome, LedgerKind.CAPACITY_CHANGED, difference, command.actor)
    promote(inventory, outcome, command.actor, now=now)


def cancel_event(inventory: Inventory, command: CancelEvent, outcome: Outcome, now: datetime) -> None:
    """Takes the inventory to its state after the last booking is cancelled. There are too many bookings to load, so
    `cancel_next_bookings` in `bookings.services.events` writes their entries."""
    inventory.is_deleted = True
    # This entry moves nothing: each live booking has an entry after it, which moves the counts as always.
    record(inventory, outcome, LedgerKind.EVENT_CANCELLED, inventory.held, command.actor)
    inventory.sequence += inventory.completed + inventory.waitlisted
    inventory.available = inventory.total
    inventory.waitlisted = inventory.waitlisted_tickets = inventory.completed = 0
    inventory.queue.clear()
    inventory.part_changes.clear()


def move(inventory: Inventory, command: Move, outcome: Outcome, now: datetime) -> None:
    claim, number = find_claim(inventory, command.booking_id, must_wait=True), command.number
    outcome.claim = claim
    if claim in inventory.queue:
        inventory.queue.remove(claim)
    inventory.part_changes[part_of_waitlist(claim.waitlist_number)] -= 1
    inventory.part_changes[part_of_waitlist(number)] += 1
    claim.waitlist_number = number
    insort(inventory.queue, claim, key=BY_NUMBER)
    record(inventory, outcome, LedgerKind.MOVED, claim.tickets, command.actor, claim, note=command.note, place=number)
    if command.promotes:
        # Under strict the new head of the waitlist may fit.
        promote(inventory, outcome, command.actor, now=now)


def serve(inventory: Inventory, command: Serve, outcome: Outcome, now: datetime) -> None:
    claim = outcome.claim = find_claim(inventory, command.booking_id, must_wait=True)
    missing = claim.tickets - inventory.available
    if missing > 0:
        if not command.adds or inventory.total + missing > MAX_TICKETS:
            raise TooFewLeft(claim.tickets, inventory.available)
        inventory.total += missing
        inventory.available += missing
        record(inventory, outcome, LedgerKind.CAPACITY_CHANGED, missing, command.actor, note=command.note)
    if claim in inventory.queue:
        inventory.queue.remove(claim)
    give_tickets(inventory, claim, outcome, command.actor, note=command.note)
    # Under strict the new head of the waitlist may fit.
    promote(inventory, outcome, command.actor, now=now)


def transfer(inventory: Inventory, command: Transfer, outcome: Outcome, now: datetime) -> None:
    """Raises `PersonLimit`."""
    claim = outcome.claim = command.claim
    if command.holder != claim.holder:
        refuse_beyond_person_limit(inventory, command.holder, claim.tickets)
        known = inventory.claims_by_holder
        if claim in known.get(claim.holder, ()):
            known[claim.holder].remove(claim)
        if command.holder in known:
            known[command.holder].append(claim)
        claim.holder = command.holder
    record(inventory, outcome, LedgerKind.TRANSFERRED, claim.tickets, command.actor, claim, note=command.note)


def note(inventory: Inventory, command: Note, outcome: Outcome, now: datetime) -> None:
    record(inventory, outcome, command.kind, 0, command.actor, note=command.note)


# The rule for each kind of command.
RULES = {
    Book: book,
    Cancel: cancel,
    CancelSeat: cancel_seat,
    ChangeTerms: change_terms,
    CancelEvent: cancel_event,
    Move: move,
    Serve: serve,
    Transfer: transfer,
    Note: note,
}


def find_claim(inventory: Inventory, booking_id: int, *, must_wait: bool = False) -> Claim:
    claim = inventory.claims.get(booking_id)
    if claim is None:
        raise BookingNotFound
    if must_wait and claim.status != WAITLISTED:
        raise NotWaiting
    return claim


def promote(inventory: Inventory, outcome: Outcome, actor: Any, *, now: datetime) -> None:
    """Serves the waitlist from what is available, in order. After the end of sales it serves nobody.

    One pass is enough under first fit: the available tickets only get fewer on the way, so a claim that did not fit
    cannot fit later.
    """
    if inventory.has_ended(now):
        return
    kept: list[Claim] = []
    for position, claim in enumerate(inventory.queue):
        if claim.tickets <= inventory.available:
            give_tickets(inventory, claim, outcome, actor)
        else:
            kept.append(claim)
        if not inventory.available or (kept and inventory.policy == STRICT):
            kept += inventory.queue[position + 1 :]
            break
    inventory.queue = kept


def give_tickets(inventory: Inventory, claim: Claim, outcome: Outcome, actor: Any, note: str = "") -> None:
    inventory.available -= claim.tickets
    inventory.completed += 1
    leave_waitlist(inventory, claim)
    claim.status = COMPLETED
    outcome.promoted.append(claim)
    record(inventory, outcome, LedgerKind.PROMOTED, claim.tickets, actor, claim, note=note)


def leave_waitlist(inventory: Inventory, claim: Claim) -> None:
    inventory.waitlisted -= 1
    inventory.waitlisted_tickets -= claim.tickets
    inventory.part_changes[part_of_waitlist(claim.waitlist_number)] -= 1
    claim.waitlist_number = None


def record(
    inventory: Inventory,
    outcome: Outcome,
    kind: LedgerKind,
    tickets: int,
    actor: Any,
    claim: Claim | None = None,
    *,
    note: str = "",
    place: int | None = None,
) -> None:
    inventory.sequence += 1
    counts = inventory.available, inventory.waitlisted
    outcome.entries.append(Entry(inventory.sequence, kind, tickets, *counts, claim, actor, note, place))


def number_of_arrival(sequence: int) -> int:
    """The waitlist number of a booking that joins by this ledger entry. It rises with arrival."""
    return sequence * ROOM


def part_of_waitlist(number: int) -> int:
    """The first number of the part of the waitlist that this number is in."""
    return number - number % NUMBERS_A_PART
