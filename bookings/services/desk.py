"""Between the rules and the database: lock an event, load what the rules need, write what they decide."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache

from django.db import connection
from django.db.models import Min

from bookings.allocation import Claim, Command, Inventory, Outcome, Reach, allocate, reach
from bookings.models import Booking, LedgerEntry
from bookings.services.rows import insert, insert_all, update_counts
from bookings.statuses import BookingStatus
from events.exceptions import EventNotFound
from events.models import Event

# Up to this many free tickets every size is looked up; beyond, only those that somebody waits for.
FEW_SIZES = 16
# SQLite takes at most 500 parts in one compound query.
SIZES_A_QUERY = 64
IDS_A_QUERY = 1000


def lock_event(event_id: int) -> Event:
    """The event's row, locked until the transaction ends: the first query of whatever moves tickets."""
    for event in Event.objects.raw(lock_statement(), [event_id]):
        return event
    raise EventNotFound


@cache
def lock_statement() -> str:
    """`select_for_update()` on an event's primary key, compiled once: it is in every booking's way."""
    statement, _ = Event.objects.select_for_update().filter(pk=0).order_by().query.sql_with_params()
    return statement


def settle(event: Event, commands: Sequence[Command], *, now: datetime) -> list[Outcome]:
    """Carries out commands on a locked event and writes all that follows from them."""
    inventory = inventory_of(event)
    load_queue(inventory, event, commands)
    outcomes = allocate(inventory, commands, now=now)
    entries = [entry for outcome in outcomes for entry in outcome.entries]
    if entries:
        write_claims(outcomes, now)
        write_ledger(entries, event, now)
        write_counts(inventory, event)
    return outcomes


def inventory_of(event: Event) -> Inventory:
    return Inventory(
        total=event.total_tickets,
        available=event.available_tickets,
        waitlisted=event.waitlisted_count,
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


def load_queue(inventory: Inventory, event: Event, commands: Sequence[Command]) -> None:
    """Puts those waiting bookings in the queue that the commands can get to."""
    within = reach(inventory, commands)
    if not inventory.waitlisted or not within.tickets:
        return
    known = {}
    for command in commands:
        claim = getattr(command, "claim", None)
        if claim is not None and claim.status == BookingStatus.WAITLISTED:
            known[claim.booking.pk] = claim
    rows = {row[0]: row for policy in within.policies for row in waiting_rows(event, within, policy)}
    inventory.queue = [
        known.get(pk) or Claim(tickets, BookingStatus.WAITLISTED, number, pk)
        for pk, tickets, number in sorted(rows.values(), key=lambda row: row[2])
    ]


def waiting_rows(event: Event, within: Reach, policy: str) -> Iterable[tuple[int, int, int]]:
    """(id, tickets, waitlist number) of the waiting bookings in reach."""
    waiting = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    columns = waiting.values_list("pk", "tickets_reserved", "waitlist_number")
    if policy == Event.WaitlistPolicy.STRICT:
        return columns[: within.heads]
    sizes = sizes_waiting(event, at_most=within.tickets)
    return [row for some in batched(sizes, SIZES_A_QUERY) for row in heads_of_sizes(event, within, some)]


def sizes_waiting(event: Event, *, at_most: int) -> list[int]:
    """The numbers of tickets that somebody may wait for; when it could be many, only those that somebody does."""
    if at_most <= FEW_SIZES:
        return list(range(1, at_most + 1))
    sizes: list[int] = []
    while True:
        # One row each from the index. DISTINCT reads every waiting booking on MariaDB.
        larger = Booking.objects.filter(
            event=event,
            status=BookingStatus.WAITLISTED,
            tickets_reserved__gt=sizes[-1] if sizes else 0,
            tickets_reserved__lte=at_most,
        ).aggregate(size=Min("tickets_reserved"))["size"]
        if larger is None:
            return sizes
        sizes.append(larger)


def heads_of_sizes(event: Event, within: Reach, sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    # Django's union() takes no LIMIT inside it on SQLite; a derived table does.
    head = (
        f"SELECT * FROM (SELECT id, tickets_reserved, waitlist_number FROM {Booking._meta.db_table}"  # noqa: S608
        " WHERE event_id = %s AND status = %s AND tickets_reserved = %s"
        " ORDER BY waitlist_number LIMIT %s) AS heads"
    )
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join([head] * len(sizes)),
            [value for size in sizes for value in (event.pk, BookingStatus.WAITLISTED, size, within.of_size(size))],
        )
        return cursor.fetchall()


def batched(items: Sequence, size: int) -> Iterable[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))


def write_claims(outcomes: list[Outcome], now: datetime) -> None:
    served = [claim for outcome in outcomes for claim in outcome.promoted]
    touched = {
        id(entry.claim): entry.claim for outcome in outcomes for entry in outcome.entries if entry.claim is not None
    }
    for claim in touched.values():
        booking = claim.booking
        if not isinstance(booking, Booking):
            continue
        booking.tickets_reserved = claim.tickets
        booking.status = claim.status
        booking.waitlist_number = claim.waitlist_number
        booking.updated_at = now
        if booking.pk is None:
            booking.created_at = now
            insert(booking)
        else:
            if claim.status == BookingStatus.CANCELLED:
                booking.one_ticket_holder = None
            booking.save(
                update_fields=["tickets_reserved", "status", "waitlist_number", "one_ticket_holder", "updated_at"]
            )
    served_ids = [claim.booking for claim in served if not isinstance(claim.booking, Booking)]
    for some in batched(served_ids, IDS_A_QUERY):
        Booking.objects.filter(pk__in=some).update(status=BookingStatus.COMPLETED, waitlist_number=None, updated_at=now)


def write_ledger(entries: list, event: Event, now: datetime) -> None:
    insert_all(
        [
            LedgerEntry(
                event=event,
                sequence=entry.sequence,
                kind=entry.kind,
                tickets=entry.tickets,
                available_after=entry.available,
                waitlisted_after=entry.waitlisted,
                booking_id=entry.claim and getattr(entry.claim.booking, "pk", entry.claim.booking),
                actor=entry.actor,
                created_at=now,
            )
            for entry in entries
        ]
    )


def write_counts(inventory: Inventory, event: Event) -> None:
    event.available_tickets = inventory.available
    event.total_tickets = inventory.total
    event.waitlisted_count = inventory.waitlisted
    event.ledger_sequence = inventory.sequence
    update_counts(event)
