"""The rules of booking: who gets tickets, who waits, who is served next.

Pure: no database, no clock, no request. One event's locked state goes in with any number of
commands; each command gets its outcome, in order, and the state, the claims and the ledger
entries that come out are what has to be written (and all live bookings, where the event was
cancelled). A refused command changes nothing, so the others of its group stand.
"""

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from bookings.enums import BookingStatus, LedgerKind
from bookings.exceptions import (
    AlreadyCancelled,
    CapacityBelowHeld,
    MoreThanReserved,
    NotWaiting,
    SalesClosed,
    SalesNotOpen,
    SoldOut,
    TooFewLeft,
    TooManyTickets,
)
from bookings.line import number_of_arrival, part_of_line
from events.exceptions import EventNotFound
from ticks.db.fields import MAX_TICKETS
from ticks.exceptions import Refusal

STRICT = "strict"


@dataclass(slots=True, eq=False)
class Claim:
    """One booking as the rules see it. `booking` is the caller's; the rules never look inside."""

    tickets: int
    status: BookingStatus | None = None
    waitlist_number: int | None = None
    booking: Any = None


class Entry(NamedTuple):
    """One line of the event's ledger: what moved, and the counts after it.

    `tickets` is how many the entry speaks of: the total when opened, the signed difference when
    the capacity changed, the tickets given back when the event was cancelled. `note` is why, or what was
    edited; `place` the waitlist number that somebody was moved to.
    """

    sequence: int
    kind: LedgerKind
    tickets: int
    available: int
    waitlisted: int
    claim: Claim | None
    actor: Any
    note: str = ""
    place: int | None = None


class Book(NamedTuple):
    claim: Claim
    actor: Any = None


class Cancel(NamedTuple):
    """Gives back `tickets` of a claim; None gives back all."""

    claim: Claim
    tickets: int | None = None
    actor: Any = None


@dataclass(slots=True, frozen=True)
class ChangeTerms:
    """Staff change how many tickets there are or how the waitlist is served."""

    total: int
    policy: str
    actor: Any = None


@dataclass(slots=True, frozen=True)
class CancelEvent:
    actor: Any = None


class Move(NamedTuple):
    """Gives a waiting claim another number, which nobody has: out of the order of arrival, so with a reason.

    `serves` nobody while others of the line have still to move: who is the head meanwhile need not stay it.
    """

    claim: Claim
    number: int
    note: str = ""
    actor: Any = None
    serves: bool = True


class Serve(NamedTuple):
    """Gives a waiting claim its tickets whoever waits ahead of it; `adds` what is missing to the capacity first."""

    claim: Claim
    adds: bool = False
    note: str = ""
    actor: Any = None


class Note(NamedTuple):
    """Puts into the ledger what moves no ticket."""

    kind: LedgerKind
    note: str
    claim: Claim | None = None
    actor: Any = None


Command = Book | Cancel | ChangeTerms | CancelEvent | Move | Serve | Note


@dataclass(slots=True)
class Outcome:
    """What became of one command: `error`, or its entries, whom it promoted, and a newcomer's position in the line."""

    error: Refusal | None = None
    entries: list[Entry] = field(default_factory=list)
    promoted: list[Claim] = field(default_factory=list)
    newcomer: Claim | None = None
    position: int | None = None


@dataclass(slots=True)
class Inventory:
    """One event's locked state.

    `queue` holds waiting claims in order: not necessarily all, but all that the commands at hand
    could get to (`reach` says which those are). `line_moves` says how many joined or left each part of
    the line, by the first waitlist number of the part.
    """

    total: int
    available: int
    waitlisted: int
    # What those who wait want.
    waitlisted_tickets: int = 0
    # All bookings ever made, and those of them that hold tickets.
    bookings: int = 0
    completed: int = 0
    sequence: int = 0
    policy: str = "first_fit"
    waitlist_enabled: bool = True
    sales_start: datetime | None = None
    sales_end: datetime | None = None
    max_tickets_per_booking: int | None = None
    is_deleted: bool = False
    queue: list[Claim] = field(default_factory=list)
    line_moves: Counter[int] = field(default_factory=Counter)

    @property
    def held(self) -> int:
        return self.total - self.available


@dataclass(slots=True, frozen=True)
class Reach:
    """How far into the waitlist some commands can get, so that no more of it is loaded.

    At most `tickets` can be free at any moment. Under first fit at most `tickets // size` claims
    of one size can be served; under strict at most as many as there are tickets, and one more
    head stops the rest. `leaving` claims may drop out of the line and let that many others up.
    """

    tickets: int
    leaving: int
    policies: frozenset[str]

    def of_size(self, size: int) -> int:
        return self.tickets // size + self.leaving

    @property
    def heads(self) -> int:
        return self.tickets + 1 + self.leaving


def reach(inventory: Inventory, commands: Sequence[Command]) -> Reach:
    if all(isinstance(command, Book | Note) for command in commands):
        # Who books only takes, and a note moves nothing: nobody who waits is served by it.
        return Reach(0, 0, frozenset())
    free, leaving, policies, total = inventory.available, 0, {inventory.policy}, inventory.total
    for command in commands:
        match command:
            case Cancel(claim=claim, tickets=tickets):
                if claim.status == BookingStatus.WAITLISTED:
                    leaving += 1
                elif claim.status == BookingStatus.COMPLETED:
                    free += claim.tickets if tickets is None else min(tickets, claim.tickets)
            case Move():
                leaving += 1
            case Serve(claim=claim):
                leaving += 1
                free += claim.tickets
            case ChangeTerms():
                free += max(0, command.total - total)
                total = command.total
                policies.add(command.policy)
    return Reach(free, leaving, frozenset(policies))


def allocate(inventory: Inventory, commands: Iterable[Command], *, now: datetime) -> list[Outcome]:
    """Carries out the commands in order and changes `inventory` and the claims accordingly.

    All of them become true at once, so a newcomer's position is the one after the last command.
    """
    outcomes = []
    for command in commands:
        outcome = Outcome()
        try:
            carry_out(inventory, command, outcome, now)
        except Refusal as refusal:
            outcome.error = refusal
        outcomes.append(outcome)
    number_newcomers(inventory, outcomes)
    return outcomes


def carry_out(inventory: Inventory, command: Command, outcome: Outcome, now: datetime) -> None:
    if inventory.is_deleted:
        # Its bookings were cancelled with it.
        raise AlreadyCancelled if isinstance(command, Cancel) else EventNotFound
    match command:
        case Book():
            book(inventory, command, outcome, now)
        case Cancel():
            cancel(inventory, command, outcome)
        case ChangeTerms():
            change_terms(inventory, command, outcome)
        case CancelEvent():
            cancel_event(inventory, command, outcome)
        case Move():
            move(inventory, command, outcome)
        case Serve():
            serve(inventory, command, outcome)
        case Note(kind=kind, claim=claim):
            tickets = claim.tickets if claim else 0
            record(inventory, outcome, kind, tickets, command.actor, claim, note=command.note)


def number_newcomers(inventory: Inventory, outcomes: Sequence[Outcome]) -> None:
    """They are the end of the line, in order."""
    position = inventory.waitlisted
    for outcome in reversed(outcomes):
        if outcome.newcomer and outcome.newcomer.status == BookingStatus.WAITLISTED:
            outcome.position = position
            position -= 1


def book(inventory: Inventory, command: Book, outcome: Outcome, now: datetime) -> None:
    claim = command.claim
    if inventory.sales_start and now < inventory.sales_start:
        raise SalesNotOpen
    if inventory.sales_end and now >= inventory.sales_end:
        raise SalesClosed
    limit = min(inventory.total, inventory.max_tickets_per_booking or inventory.total)
    if claim.tickets > limit:
        raise TooManyTickets(limit)
    must_queue = inventory.policy == STRICT and inventory.waitlisted > 0
    if claim.tickets <= inventory.available and not must_queue:
        claim.status = BookingStatus.COMPLETED
        inventory.available -= claim.tickets
        inventory.bookings += 1
        inventory.completed += 1
        record(inventory, outcome, LedgerKind.BOOKED, claim.tickets, command.actor, claim)
        return
    if not inventory.waitlist_enabled:
        raise SoldOut
    claim.status = BookingStatus.WAITLISTED
    claim.waitlist_number = number_of_arrival(inventory.sequence + 1)
    inventory.bookings += 1
    join_line(inventory, claim)
    inventory.queue.append(claim)
    outcome.newcomer = claim
    record(inventory, outcome, LedgerKind.WAITLISTED, claim.tickets, command.actor, claim)


def cancel(inventory: Inventory, command: Cancel, outcome: Outcome) -> None:
    claim = command.claim
    if claim.status == BookingStatus.CANCELLED:
        raise AlreadyCancelled
    tickets = claim.tickets if command.tickets is None else command.tickets
    if tickets > claim.tickets:
        raise MoreThanReserved(claim.tickets)
    waits = claim.status == BookingStatus.WAITLISTED
    if waits and claim not in inventory.queue:
        insort(inventory.queue, claim, key=place)
    if not waits:
        inventory.available += tickets
    if tickets < claim.tickets:
        claim.tickets -= tickets
        if waits:
            inventory.waitlisted_tickets -= tickets
        record(inventory, outcome, LedgerKind.REDUCED, tickets, command.actor, claim)
    else:
        claim.status = BookingStatus.CANCELLED
        if waits:
            inventory.queue.remove(claim)
            leave_line(inventory, claim)
        else:
            inventory.completed -= 1
        record(inventory, outcome, LedgerKind.CANCELLED, tickets, command.actor, claim)
    promote(inventory, outcome, command.actor)


def change_terms(inventory: Inventory, command: ChangeTerms, outcome: Outcome) -> None:
    if command.total < inventory.held:
        raise CapacityBelowHeld(inventory.held)
    inventory.policy = command.policy
    difference = command.total - inventory.total
    if difference:
        inventory.total += difference
        inventory.available += difference
        record(inventory, outcome, LedgerKind.CAPACITY_CHANGED, difference, command.actor)
    promote(inventory, outcome, command.actor)


def cancel_event(inventory: Inventory, command: CancelEvent, outcome: Outcome) -> None:
    held = inventory.held
    inventory.is_deleted = True
    inventory.available = inventory.total
    inventory.waitlisted = inventory.waitlisted_tickets = inventory.completed = 0
    inventory.queue.clear()
    # The whole line goes with its event.
    inventory.line_moves.clear()
    record(inventory, outcome, LedgerKind.EVENT_CANCELLED, held, command.actor)


def move(inventory: Inventory, command: Move, outcome: Outcome) -> None:
    claim = waiting(command.claim)
    if claim in inventory.queue:
        inventory.queue.remove(claim)
    inventory.line_moves[part_of_line(place(claim))] -= 1
    claim.waitlist_number = command.number
    inventory.line_moves[part_of_line(command.number)] += 1
    insort(inventory.queue, claim, key=place)
    record(
        inventory,
        outcome,
        LedgerKind.MOVED,
        claim.tickets,
        command.actor,
        claim,
        note=command.note,
        place=command.number,
    )
    if command.serves:
        # Under strict another head may fit.
        promote(inventory, outcome, command.actor)


def serve(inventory: Inventory, command: Serve, outcome: Outcome) -> None:
    claim = waiting(command.claim)
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
    # Under strict another head may fit.
    promote(inventory, outcome, command.actor)


def waiting(claim: Claim) -> Claim:
    if claim.status != BookingStatus.WAITLISTED:
        raise NotWaiting
    return claim


def promote(inventory: Inventory, outcome: Outcome, actor: Any) -> None:
    """Serves the waitlist from what is available, in order.

    One pass is enough under first fit: what is available only shrinks on the way, so nobody who
    was passed over fits later.
    """
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
    leave_line(inventory, claim)
    claim.status = BookingStatus.COMPLETED
    outcome.promoted.append(claim)
    record(inventory, outcome, LedgerKind.PROMOTED, claim.tickets, actor, claim, note=note)


def join_line(inventory: Inventory, claim: Claim) -> None:
    inventory.waitlisted += 1
    inventory.waitlisted_tickets += claim.tickets
    inventory.line_moves[part_of_line(place(claim))] += 1


def leave_line(inventory: Inventory, claim: Claim) -> None:
    inventory.waitlisted -= 1
    inventory.waitlisted_tickets -= claim.tickets
    inventory.line_moves[part_of_line(place(claim))] -= 1
    claim.waitlist_number = None


def place(claim: Claim) -> int:
    return claim.waitlist_number or 0


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
