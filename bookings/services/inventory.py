"""Between the rules and the database: lock an event, load what the rules need, write what they decide."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache

from django.db import connection

from bookings.enums import ARRIVALS, BookingStatus
from bookings.models import Booking
from bookings.rules import Claim, Command, Entry, Inventory, Outcome, Reach, allocate, reach
from bookings.services import sql
from bookings.services.hours import hour_moves
from bookings.services.line import line_moves
from events.exceptions import EventNotFound
from events.models import Event

# Up to this many free tickets every size is looked up; beyond, only those that somebody waits for.
FEW_SIZES = 16
# SQLite takes at most 500 parts in one compound query.
SIZES_A_QUERY = 64
# The event's name of each count, and the rules'.
COUNTS = {
    "available_tickets": "available",
    "total_tickets": "total",
    "booking_count": "bookings",
    "completed_count": "completed",
    "waitlisted_count": "waitlisted",
    "waitlisted_tickets": "waitlisted_tickets",
    "ledger_sequence": "sequence",
}
WAITING = str(BookingStatus.WAITLISTED)
WAITERS = f"SELECT id, tickets_reserved, waitlist_number FROM {Booking._meta.db_table} WHERE event_id = %s"  # noqa: S608
# The number is set exactly while waiting.
LINE = f"{WAITERS} AND waitlist_number IS NOT NULL ORDER BY waitlist_number LIMIT %s"
HEADS_OF_SIZE = f"({WAITERS} AND status = %s AND tickets_reserved = %s ORDER BY waitlist_number LIMIT %s)"
NEXT_SIZE = (
    f"SELECT MIN(tickets_reserved) FROM {Booking._meta.db_table}"  # noqa: S608
    " WHERE event_id = %s AND status = %s AND tickets_reserved > %s AND tickets_reserved <= %s"
)


@dataclass(slots=True)
class Work:
    """What is to be done with one locked event, and afterwards what became of each command."""

    event: "Event | LockedEvent"
    commands: Sequence[Command]
    inventory: Inventory | None = None
    outcomes: list[Outcome] = field(default_factory=list)


@dataclass(slots=True)
class LockedEvent:
    """What the rules need of an event's row, by the model's names: a model instance costs ten times as much."""

    pk: int
    total_tickets: int
    available_tickets: int
    booking_count: int
    completed_count: int
    waitlisted_count: int
    waitlisted_tickets: int
    ledger_sequence: int
    waitlist_policy: str
    waitlist_enabled: bool
    sales_start: datetime | None
    sales_end: datetime | None
    max_tickets_per_booking: int | None
    deleted_at: datetime | None


LOCKED_COLUMNS = [field.name for field in fields(LockedEvent)]


def lock_event(event_id: int) -> Event:
    """The event's row, locked until the transaction ends: the first query of whatever moves tickets."""
    event = Event.objects.select_for_update().filter(pk=event_id).first()
    if event is None:
        raise EventNotFound
    return event


def lock_events(event_ids: Collection[int]) -> dict[int, LockedEvent]:
    """Those that there are, by id, locked in the order of their ids: two batches never wait for each other."""
    events = [LockedEvent(*row) for row in sql.run(lock_statement(len(event_ids)), event_ids)]
    for event in events:
        event.sales_start = sql.aware(event.sales_start)
        event.sales_end = sql.aware(event.sales_end)
    return {event.pk: event for event in events}


@cache
def lock_statement(events: int) -> str:
    """`select_for_update()` on primary keys, compiled once: it is in every booking's way."""
    chosen = Event.objects.select_for_update().filter(pk__in=range(events)).order_by("pk").values_list(*LOCKED_COLUMNS)
    statement, _ = chosen.query.sql_with_params()
    return statement


def settle(event: Event, commands: Sequence[Command], *, now: datetime) -> list[Outcome]:
    """Carries out commands on a locked event and writes all that follows from them.

    Raises the first refusal: all of them or, once the transaction is rolled back, none.
    """
    work = Work(event, commands)
    settle_all([work], now=now)
    for outcome in work.outcomes:
        if outcome.error:
            raise outcome.error
    return work.outcomes


def settle_all(
    works: Sequence[Work],
    *,
    now: datetime,
    keys: Callable[[], Sequence[sql.Key]] = lambda: (),
    check: "Check | None" = None,
) -> None:
    """The same for several locked events. `keys` are asked for when all is decided, and written with the rest.

    All is written in one go, the `check` with it: each by itself would keep the events locked for a round trip
    more. What the check raises takes all of it back.
    """
    for work in works:
        work.inventory = inventory_of(work.event)
        load_queue(work.inventory, work.event, work.commands)
        work.outcomes = allocate(work.inventory, work.commands, now=now)
    moved = [work for work in works if any(outcome.entries for outcome in work.outcomes)]
    changed = changes_of(moved, now)
    writes = [*sql.booking_insertions(changed.new), *other_writes(moved, changed, keys, now)] if moved else []
    found = sql.run_all([*writes, *([check.statement] if check else [])])
    if check:
        check.look(found.pop())
    sql.take_ids(changed.new, found)


def other_writes(
    works: Sequence[Work], changed: "Changes", keys: Callable[[], Sequence[sql.Key]], now: datetime
) -> list[sql.Statement]:
    new = {booking.reference: sql.New(place, booking.reference) for place, booking in enumerate(changed.new)}
    return [
        *sql.endings(changed.ended, now),
        *sql.reductions(changed.reduced, now),
        *sql.moves(changed.moved, now),
        *sql.servings(changed.served, now),
        *sql.entry_insertions(ledger_of(works, new), now),
        *sql.key_insertions(keys(), new, now),
        *count_writes(works),
        *line_writes(works),
        *hour_writes(works, now),
    ]


@dataclass(slots=True)
class Check:
    """A query, and what judges the rows that it finds."""

    statement: sql.Statement
    look: Callable[[Sequence[tuple]], None]


def inventory_of(event: Event | LockedEvent) -> Inventory:
    return Inventory(
        total=event.total_tickets,
        available=event.available_tickets,
        waitlisted=event.waitlisted_count,
        waitlisted_tickets=event.waitlisted_tickets,
        bookings=event.booking_count,
        completed=event.completed_count,
        sequence=event.ledger_sequence,
        policy=event.waitlist_policy,
        waitlist_enabled=event.waitlist_enabled,
        sales_start=event.sales_start,
        sales_end=event.sales_end,
        max_tickets_per_booking=event.max_tickets_per_booking,
        is_deleted=event.deleted_at is not None,
    )


def claim_of(booking: Booking) -> Claim:
    return Claim(booking.tickets_reserved, BookingStatus(booking.status), booking.waitlist_number, booking)


def load_queue(inventory: Inventory, event: Event | LockedEvent, commands: Sequence[Command]) -> None:
    """Puts those waiting bookings in the queue that the commands can get to."""
    within = reach(inventory, commands)
    if not inventory.waitlisted or not within.tickets:
        return
    known = {}
    for command in commands:
        claim = getattr(command, "claim", None)
        if claim is not None and claim.status == BookingStatus.WAITLISTED:
            known[claim.booking.pk] = claim
    found = {row[0]: row for policy in within.policies for row in waiting_rows(event, within, policy)}
    inventory.queue = [
        known.get(pk) or Claim(tickets, BookingStatus.WAITLISTED, number, pk)
        for pk, tickets, number in sorted(found.values(), key=lambda row: row[2])
    ]


def waiting_rows(event: Event | LockedEvent, within: Reach, policy: str) -> Sequence[tuple[int, int, int]]:
    """(id, tickets, waitlist number) of the waiting bookings in reach."""
    if policy == Event.WaitlistPolicy.STRICT:
        return sql.run(LINE, [event.pk, within.heads])
    sizes = sizes_waiting(event, at_most=within.tickets)
    return [row for some in sql.batched(sizes, SIZES_A_QUERY) for row in heads_of_sizes(event, within, some)]


def sizes_waiting(event: Event | LockedEvent, *, at_most: int) -> list[int]:
    """The numbers of tickets that somebody may wait for; when it could be many, only those that somebody does."""
    if at_most <= FEW_SIZES:
        return list(range(1, at_most + 1))
    sizes: list[int] = []
    while True:
        # One row each from the index. DISTINCT reads every waiting booking on MariaDB.
        [(larger,)] = sql.run(NEXT_SIZE, [event.pk, WAITING, sizes[-1] if sizes else 0, at_most])
        if larger is None:
            return sizes
        sizes.append(larger)


def heads_of_sizes(event: Event | LockedEvent, within: Reach, sizes: Sequence[int]) -> Sequence[tuple[int, int, int]]:
    # SQLite takes no LIMIT in a part of a UNION; a derived table costs MariaDB half as much again.
    heads = HEADS_OF_SIZE if connection.vendor == "mysql" else f"SELECT * FROM {HEADS_OF_SIZE} AS heads"  # noqa: S608
    return sql.run(
        " UNION ALL ".join([heads] * len(sizes)),
        [value for size in sizes for value in (event.pk, WAITING, size, within.of_size(size))],
    )


@dataclass(slots=True)
class Changes:
    """Of bookings: new ones, the ids of those that ended and of those served, and by id what is left of those made
    smaller and the numbers of those moved in the line."""

    new: list[Booking] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    reduced: list[tuple[int, int]] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)


def changes_of(works: Sequence[Work], now: datetime) -> Changes:
    """What has to be written of bookings; those at hand are brought up to date."""
    changes = Changes()
    touched = {id(entry.claim): entry.claim for entry in entries_of(works) if entry.claim is not None}
    promoted = {id(claim) for work in works for outcome in work.outcomes for claim in outcome.promoted}
    for identity, claim in touched.items():
        booking = claim.booking
        is_new = isinstance(booking, Booking) and booking.pk is None
        # New ones are inserted as what they have become.
        if identity in promoted and claim.status == BookingStatus.COMPLETED and not is_new:
            changes.served.append(booking_id(claim))
        if not isinstance(booking, Booking):
            continue
        if is_new:
            changes.new.append(booking)
            booking.created_at = now
        elif claim.status == BookingStatus.CANCELLED:
            changes.ended.append(booking.pk)
            booking.one_ticket_holder_id = None
        elif claim.tickets != booking.tickets_reserved:
            changes.reduced.append((booking.pk, claim.tickets))
        elif claim.status == BookingStatus.WAITLISTED and claim.waitlist_number != booking.waitlist_number:
            changes.moved.append((booking.pk, claim.waitlist_number))
        booking.tickets_reserved = claim.tickets
        booking.status = claim.status
        booking.waitlist_number = claim.waitlist_number
        booking.updated_at = now
    return changes


def ledger_of(works: Sequence[Work], new: Mapping[str, sql.New]) -> list[sql.Entry]:
    return [
        (
            work.event.pk,
            entry.sequence,
            entry.kind,
            entry.tickets,
            entry.available,
            entry.waitlisted,
            entry.actor and entry.actor.pk,
            entry.claim and (booking_id(entry.claim) or new[entry.claim.booking.reference]),
            entry.note,
            entry.place,
        )
        for work in works
        for outcome in work.outcomes
        for entry in outcome.entries
    ]


def count_writes(works: Sequence[Work]) -> list[sql.Statement]:
    """The update of the counts: of those alone that moved, for any of the events."""
    moved = set()
    for work in works:
        for name, of_inventory in COUNTS.items():
            count = getattr(work.inventory, of_inventory)
            if getattr(work.event, name) != count:
                setattr(work.event, name, count)
                moved.add(name)
    return [sql.counts_update([work.event for work in works], [name for name in COUNTS if name in moved])]


def line_writes(works: Sequence[Work]) -> list[sql.Statement]:
    return line_moves(
        {(work.event.pk, part): by for work in works for part, by in work.inventory.line_moves.items() if by}
    )


def hour_writes(works: Sequence[Work], now: datetime) -> list[sql.Statement]:
    sold = []
    for work in works:
        new = [entry.tickets for entry in entries_of([work]) if entry.kind in ARRIVALS]
        inventory = work.inventory
        sold.append((work.event.pk, len(new), sum(new), inventory.held, inventory.waitlisted))
    return hour_moves(sold, now)


def entries_of(works: Sequence[Work]) -> Iterable[Entry]:
    return (entry for work in works for outcome in work.outcomes for entry in outcome.entries)


def booking_id(claim: Claim) -> int:
    return getattr(claim.booking, "pk", claim.booking)
