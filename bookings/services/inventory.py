"""Between the rules and the database: locks an event, loads what the rules need, writes what they decide."""

from collections import namedtuple
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from operator import attrgetter

from django.utils import timezone

from bookings.commands import Book, CancelSeat, Claim, Command, Inventory, Outcome, Transfer
from bookings.enums import BookingStatus
from bookings.models import Booking, LinePart, SalesHour
from bookings.outbox import MailChoice, MailOptions
from bookings.rules import BY_NUMBER, STRICT, Reach, allocate, reach
from bookings.services import sql
from events.exceptions import EventNotFound
from events.models import Event
from ticks.exceptions import Refusal

# Up to this many free tickets, bookings of every size are looked up. Beyond, only the sizes that somebody waits for
# are.
FEW_SIZES = 16
# This maps an event's counts to the names that the rules use.
COUNTS = {
    "available_tickets": "available",
    "total_tickets": "total",
    "booking_count": "bookings",
    "completed_count": "completed",
    "waitlisted_count": "waitlisted",
    "waitlisted_tickets": "waitlisted_tickets",
    "ledger_sequence": "sequence",
}
# These say who holds a booking.
HOLDER = ("first_name", "last_name", "email", "user_id", "token_hash")
held_by = attrgetter(*HOLDER)
TERMS = (
    *("time_zone", "waitlist_enabled", "sales_start", "sales_end"),
    *("max_tickets_per_booking", "max_tickets_per_person"),
)
# These are the columns of an event's row that the rules need, by the model's names. A model instance costs ten times as
# much.
LockedEvent = namedtuple("LockedEvent", ["pk", *COUNTS, *TERMS, "waitlist_policy", "deleted_at"])


@dataclass(slots=True)
class EventWork:
    """An event, the commands for it, and the outcomes from the rules."""

    event: Event | LockedEvent
    commands: Sequence[Command]
    inventory: Inventory | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def refusal(self) -> Refusal | None:
        return next((outcome.error for outcome in self.outcomes if outcome.error), None)

    @property
    def promoted(self) -> list[Claim]:
        return [claim for outcome in self.outcomes for claim in outcome.promoted]


@dataclass(slots=True)
class Plan:
    """All that has to be written: new bookings, ids of changed ones (some with new values), and idempotency keys."""

    works: list[EventWork]
    now: datetime
    new: list[Booking] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    promoted: list[int] = field(default_factory=list)
    reduced: list[tuple[int, int]] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)
    keys: list[sql.NewKey] = field(default_factory=list)


def lock_event(event_id: int) -> Event:
    """The event's row, locked until the transaction ends. Every service that moves tickets does this first."""
    event = Event.objects.select_for_update().filter(pk=event_id).first()
    if event is None:
        raise EventNotFound
    return event


def lock_events(event_ids: Collection[int]) -> dict[int, LockedEvent]:
    """The events that exist, by id, locked in the order of their ids, so that two batches cannot deadlock on them."""
    events = {}
    for row in sql.run(lock_statement(len(event_ids)), event_ids):
        event = LockedEvent._make(row)
        events[event.pk] = event._replace(
            sales_start=sql.aware(event.sales_start), sales_end=sql.aware(event.sales_end)
        )
    return events


@cache
def lock_statement(events: int) -> str:
    """`select_for_update()` on primary keys, compiled once, since every booking needs it."""
    chosen = Event.objects.select_for_update().filter(pk__in=range(events)).order_by("pk")
    return chosen.values_list(*LockedEvent._fields).query.sql_with_params()[0]


def apply(event: Event, commands: Sequence[Command], *, now: datetime, mails: MailOptions | None = None) -> EventWork:
    """Carries out commands on a locked event and writes all results. Raises the first refusal."""
    work, known = EventWork(event, commands), event.ledger_sequence
    plan = plan_writes([work], now=now)
    if work.refusal:
        raise work.refusal
    write(plan)
    for column, name in COUNTS.items():
        setattr(event, column, getattr(work.inventory, name))
    MailChoice.keep(event.pk, mails, first=known + 1, last=event.ledger_sequence)
    return work


def simulate(event: Event, commands: Sequence[Command]) -> EventWork:
    """Shows what commands would do: the same rules on the present state, without a lock, and nothing is written.

    A change may come in between, so the report says what really happened. Raises the first refusal.
    """
    work = EventWork(event, commands)
    ask_rules([work], now=timezone.now(), is_locking=False)
    if work.refusal:
        raise work.refusal
    return work


def ask_rules(works: Sequence[EventWork], *, now: datetime, is_locking: bool = True) -> None:
    """Loads what the rules need, and keeps their outcomes. Writes nothing, so previews do it too."""
    load(works, now=now, is_locking=is_locking)
    for work in works:
        work.outcomes = allocate(work.inventory, work.commands, now=now)


def load(works: Sequence[EventWork], *, now: datetime, is_locking: bool) -> None:
    """Gives each work its inventory, with all bookings that the rules look at."""
    ids = set()
    for work in works:
        work.inventory = inventory_of(work.event)
        for command in work.commands:
            ids.add(getattr(command, "booking_id", None))
            if (holder := holder_asked_about(command, work.inventory)) is not None:
                work.inventory.claims_by_holder[holder] = []
    ids.discard(None)
    inventories = {work.event.pk: work.inventory for work in works}
    holders = {pk: list(one.claims_by_holder) for pk, one in inventories.items() if one.claims_by_holder}
    if ids:
        for booking in sql.read_bookings(sorted(ids), is_locking=is_locking):
            inventories[booking.event_id].claims[booking.pk] = claim_of(booking)
    if holders:
        for booking in sql.read_live_bookings(holders):
            inventory = inventories[booking.event_id]
            claim = inventory.claims.setdefault(booking.pk, claim_of(booking))
            inventory.claims_by_holder[claim.holder].append(claim)
    for work in works:
        if work.inventory.waitlisted:
            load_queue(work, now=now)


def holder_asked_about(command: Command, inventory: Inventory) -> int | str | None:
    """The person whose live bookings of the event the rules read for this command; None for most commands."""
    has_limit = inventory.max_tickets_per_person is not None
    match command:
        case Book(claim=claim) if has_limit or claim.is_one_ticket:
            return claim.holder
        case Transfer(holder=holder) if has_limit:
            return holder
        case CancelSeat(holder=holder):
            return holder
    return None


def inventory_of(event: Event | LockedEvent) -> Inventory:
    return Inventory(
        **{name: getattr(event, column) for column, name in COUNTS.items()},
        **{name: getattr(event, name) for name in TERMS},
        policy=event.waitlist_policy,
        is_deleted=event.deleted_at is not None,
    )


def claim_of(booking: Booking) -> Claim:
    return Claim(
        booking.tickets_reserved,
        BookingStatus(booking.status),
        booking.waitlist_number,
        booking.pk,
        holder_of(booking.user_id, booking.email),
        booking.one_ticket_holder_id is not None,
        booking,
        held_by=held_by(booking),
    )


def holder_of(account: int | None, email: str) -> int | str | None:
    """The person that a booking is for, as `Claim.holder` has it."""
    return account if account is not None else email or None


def load_queue(work: EventWork, *, now: datetime) -> None:
    """Puts into the queue the waiting bookings that the commands can reach."""
    inventory = work.inventory
    within = reach(inventory, work.commands, now=now)
    if within.tickets:
        claims = [claim for policy in within.policies for claim in claims_within_reach(work.event.pk, within, policy)]
        # A booking that a command names must be one claim object, even if the queue contains it too.
        claims = {claim.id: inventory.claims.get(claim.id, claim) for claim in claims}
        inventory.queue = sorted(claims.values(), key=BY_NUMBER)


def claims_within_reach(event_id: int, within: Reach, policy: str) -> list[Claim]:
    """The waiting bookings in reach under a policy."""
    if policy == STRICT:
        return sql.read_heads(event_id, within.heads)
    few = within.tickets <= FEW_SIZES
    sizes = range(1, within.tickets + 1) if few else sql.read_sizes(event_id, at_most=within.tickets)
    return sql.read_heads_of_sizes(event_id, [(size, within.of_size(size)) for size in sizes])


def plan_writes(works: Sequence[EventWork], *, now: datetime) -> Plan:
    """Asks the rules about locked events, and updates the loaded booking objects with the outcomes."""
    ask_rules(works, now=now)
    plan = Plan([work for work in works if work.inventory.sequence != work.event.ledger_sequence], now)
    entries = (entry for work in plan.works for outcome in work.outcomes for entry in outcome.entries)
    for claim in {id(entry.claim): entry.claim for entry in entries if entry.claim}.values():
        plan_booking(plan, claim)
    return plan


def plan_booking(plan: Plan, claim: Claim) -> None:
    booking = claim.booking
    if booking is None:
        # The claim was loaded only for the queue, so the only change that it can have is that it was promoted.
        plan.promoted.append(claim.id)
        return
    if claim.id is None:
        plan.new.append(booking)
        booking.created_at = plan.now
        booking.waitlist_position = claim.position
    else:
        if claim.status != booking.status:
            (plan.cancelled if claim.status == BookingStatus.CANCELLED else plan.promoted).append(claim.id)
        elif claim.waitlist_number != booking.waitlist_number:
            plan.moved.append((claim.id, claim.waitlist_number))
        if claim.tickets != booking.tickets_reserved:
            plan.reduced.append((claim.id, claim.tickets))
    if claim.status == BookingStatus.CANCELLED:
        booking.one_ticket_holder_id = None
    booking.tickets_reserved = claim.tickets
    booking.status = claim.status
    booking.waitlist_number = claim.waitlist_number
    booking.updated_at = plan.now


def write(plan: Plan, *, queries: Mapping[str, sql.Statement] | None = None) -> dict[str, Sequence[tuple]]:
    """Writes a whole plan in one round trip. Named `queries` are sent with it, and the rows of each are returned.

    A round trip for each statement would keep the events locked for longer.
    """
    queries = queries or {}
    statements = statements_of(plan) if plan.works else []
    found = sql.run_all([*statements, *queries.values()])
    first = len(found) - len(queries)
    sql.take_ids(plan.new, found[:first])
    return dict(zip(queries, found[first:], strict=True))


def statements_of(plan: Plan) -> list[sql.Statement]:
    works, now, new_ids = plan.works, plan.now, sql.ids_of_new(plan.new)
    entries = [(work.event.pk, entry) for work in works for outcome in work.outcomes for entry in outcome.entries]
    counts = {
        column: [(work.event.pk, getattr(work.inventory, name)) for work in works]
        for column, name in COUNTS.items()
        if any(getattr(work.inventory, name) != getattr(work.event, column) for work in works)
    }
    hour = sql.adapted(hour_of(now))
    hours = [(work.event.pk, hour, *sales_of(work)) for work in works]
    parts = [(work.event.pk, *part) for work in works for part in work.inventory.part_changes.items() if part[1]]
    return [
        # This comes first, since a new booking may take the one-ticket place of a booking that is cancelled.
        *sql.update_bookings(
            plan.cancelled, now, status=BookingStatus.CANCELLED, waitlist_number=None, one_ticket_holder_id=None
        ),
        *sql.insert_bookings(plan.new),
        *sql.update_each("tickets_reserved", plan.reduced, now),
        # Each move is a statement of its own, since the unique index is checked after every one.
        *(statement for move in plan.moved for statement in sql.update_each("waitlist_number", [move], now)),
        *sql.update_bookings(plan.promoted, now, status=BookingStatus.COMPLETED, waitlist_number=None),
        *sql.insert_entries(entries, new_ids, now),
        *sql.insert_keys(plan.keys, new_ids, now),
        sql.update_counts(counts),
        *sql.add_counts(LinePart, parts, key=("event_id", "first_number"), added=("waiting",)),
        *sql.add_counts(
            SalesHour, hours, key=("event_id", "hour"), added=("bookings", "tickets"), latest=("held", "waiting")
        ),
    ]


def sales_of(work: EventWork) -> tuple[int, int, int, int]:
    """The numbers for an event's hour: new bookings and their tickets; then tickets held and bookings waiting."""
    inventory = work.inventory
    new = inventory.bookings - work.event.booking_count
    return new, inventory.asked, inventory.held, inventory.waitlisted


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
