"""What the hot path reads and writes of bookings, in SQL built once, one statement for all rows of a group.

Every group does it while it holds events' locks. Through the ORM it costs three times as much, most of that to
build the same statements again.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import NamedTuple

from django.db import connection, models

from bookings.models import Booking, IdempotencyKey, LedgerEntry
from bookings.statuses import BookingStatus
from events.models import Event

# SQLite takes at most 32,766 values in one statement.
ROWS_A_QUERY = 500
Statement = tuple[str, Sequence]
# The values of `ENTRY_COLUMNS` but the last; a booking that is not there yet as a `New`.
Entry = tuple
ENTRY_COLUMNS = (
    "event_id",
    "sequence",
    "kind",
    "tickets",
    "available_after",
    "waitlisted_after",
    "actor_id",
    "booking_id",
    "created_at",
)
KEY_COLUMNS = ("digest", "fingerprint", "answer", "token_nonce", "booking_id", "created_at")


class New(NamedTuple):
    """A booking that is inserted in the same go: the how manieth, and its reference."""

    place: int
    reference: str


class IdsApart(Exception):
    """The database did not number the new bookings one after the other, as it promises for one statement."""


@dataclass(slots=True)
class Key:
    """An idempotency key's row, to be; see the model."""

    digest: str
    fingerprint: str
    answer: dict
    nonce: str | None
    reference: str


def booking_of(booking_id: int) -> Booking | None:
    """A booking as it stands; None when there is none."""
    return next(iter(read_bookings(reading(1), [booking_id])), None)


def lock_bookings(ids: Sequence[int]) -> list[Booking]:
    """Of locked events, in the order of their ids, locked until the transaction ends."""
    return read_bookings(reading(len(ids), is_locking=True), ids)


def read_bookings(statement: str, values: Sequence) -> list[Booking]:
    names = [field.attname for field in Booking._meta.concrete_fields]
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        bookings = [Booking.from_db(connection.alias, names, row) for row in cursor.fetchall()]
    for booking in bookings:
        booking.created_at = aware(booking.created_at)
        booking.updated_at = aware(booking.updated_at)
    return bookings


@cache
def reading(bookings: int, *, is_locking: bool = False) -> str:
    chosen = Booking.objects.filter(pk__in=range(bookings)).order_by("pk")
    if is_locking:
        chosen = chosen.select_for_update()
    return chosen.values_list(*(field.attname for field in Booking._meta.concrete_fields)).query.sql_with_params()[0]


def aware(moment: datetime | None) -> datetime | None:
    """As the drivers read it, without a time zone: both databases keep UTC."""
    return moment and moment.replace(tzinfo=UTC)


def booking_insertions(bookings: Sequence[Booking]) -> list[Statement]:
    """New bookings of one moment, and the query that `take_ids` reads their ids from."""
    if not bookings:
        return []
    columns = booking_columns()
    read = attrgetter(*columns)
    stamp = adapted(bookings[0].created_at)
    values = [value for booking in bookings for value in (*read(booking), stamp, stamp)]
    insertion = inserting(Booking, (*columns, "created_at", "updated_at"), len(bookings))
    if connection.vendor != "mysql":
        return [(f"{insertion} RETURNING id, reference", values)]
    # What follows in the same go names them by their places.
    name_them = ("SET @first_booking = LAST_INSERT_ID()", [])
    if connection.features.can_return_rows_from_bulk_insert:
        return [(f"{insertion} RETURNING id, reference", values), name_them]
    look = f"SELECT id, reference FROM {Booking._meta.db_table} WHERE reference IN ({marks(len(bookings))})"  # noqa: S608
    return [(insertion, values), name_them, (look, [booking.reference for booking in bookings])]


def take_ids(bookings: Sequence[Booking], found: Sequence[Sequence[tuple]]) -> None:
    """Gives them the ids that the database says. Raises `IdsApart` where the go took them for others."""
    ids = {reference: number for rows in found for number, reference in rows}
    for place, booking in enumerate(bookings):
        booking.pk = ids[booking.reference]
        booking._state.adding = False
        if connection.vendor == "mysql" and booking.pk != bookings[0].pk + place * id_step():
            # A node that joins a cluster changes the step.
            connection.id_step = None
            raise IdsApart


def id_step() -> int:
    """More than one in a cluster, where each node has numbers of its own."""
    if connection.id_step is None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@auto_increment_increment")
            [connection.id_step] = cursor.fetchone()
    return connection.id_step


def entry_insertions(entries: Sequence[Entry], now: datetime) -> list[Statement]:
    stamp = adapted(now)
    return [
        (
            inserting_for(LedgerEntry, ENTRY_COLUMNS, tuple(isinstance(entry[-1], New) for entry in some)),
            [value for *others, booking in some for value in (*others, named(booking), stamp)],
        )
        for some in batched(entries, ROWS_A_QUERY)
    ]


def key_insertions(keys: Sequence[Key], new: Mapping[str, New], now: datetime) -> list[Statement]:
    stamp = adapted(now)
    return [
        (
            inserting_for(IdempotencyKey, KEY_COLUMNS, (True,) * len(some)),
            [
                value
                for key in some
                for value in (
                    key.digest,
                    key.fingerprint,
                    json.dumps(key.answer),
                    key.nonce,
                    named(new[key.reference]),
                    stamp,
                )
            ],
        )
        for some in batched(keys, ROWS_A_QUERY)
    ]


def named(booking: New | int | None):
    """As `inserting_for` names it."""
    if isinstance(booking, New):
        return booking.place if connection.vendor == "mysql" else booking.reference
    return booking


def endings(ids: Sequence[int], now: datetime) -> list[Statement]:
    return changes(ids, now, status=BookingStatus.CANCELLED, waitlist_number=None, one_ticket_holder_id=None)


def servings(ids: Sequence[int], now: datetime) -> list[Statement]:
    return changes(ids, now, status=BookingStatus.COMPLETED, waitlist_number=None)


def changes(ids: Sequence[int], now: datetime, **values) -> list[Statement]:
    assignments = ", ".join(f"{name} = %s" for name in (*values, "updated_at"))
    update = f"UPDATE {Booking._meta.db_table} SET {assignments} WHERE id IN"  # noqa: S608
    return [
        (f"{update} ({marks(len(some))})", [*values.values(), adapted(now), *some])
        for some in batched(ids, ROWS_A_QUERY)
    ]


def reductions(sizes: Sequence[tuple[int, int]], now: datetime) -> list[Statement]:
    """`sizes` are ids and the tickets that are left of each."""
    update = f"UPDATE {Booking._meta.db_table} SET tickets_reserved ="  # noqa: S608
    return [
        (
            f"{update} {choice(len(some))}, updated_at = %s WHERE id IN ({marks(len(some))})",
            [*(value for pair in some for value in pair), adapted(now), *(booking_id for booking_id, _ in some)],
        )
        for some in batched(sizes, ROWS_A_QUERY)
    ]


def counts_update(events: Sequence, names: Sequence[str]) -> Statement:
    """Of the counts with these names, for events or what has their names."""
    values = [value for name in names for event in events for value in (event.pk, getattr(event, name))]
    return counts_statement(tuple(names), len(events)), [*values, *(event.pk for event in events)]


def run_all(statements: Sequence[Statement]) -> list[Sequence[tuple]]:
    """Runs them in one round trip where the driver can, on SQLite one by one; what each query found."""
    found: list[Sequence[tuple]] = []
    with connection.cursor() as cursor:
        if connection.vendor != "mysql":
            for statement, values in statements:
                cursor.execute(statement, values)
                found += [cursor.fetchall()] if cursor.description else []
        elif statements:
            joined = "; ".join(statement for statement, _ in statements)
            cursor.execute(joined, [value for _, values in statements for value in values])
            is_more = True
            while is_more:
                found += [cursor.fetchall()] if cursor.description else []
                # The next one's answer; its error is raised here.
                is_more = cursor.nextset()
    return found


@lru_cache(maxsize=1024)
def counts_statement(names: tuple[str, ...], events: int) -> str:
    assignments = ", ".join(f"{name} = {choice(events)}" for name in names)
    return f"UPDATE {Event._meta.db_table} SET {assignments} WHERE id IN ({marks(events)})"  # noqa: S608


def choice(rows: int) -> str:
    """The value that belongs to a row's id."""
    return f"CASE id {'WHEN %s THEN %s ' * rows}END"


def marks(values: int) -> str:
    return ", ".join(["%s"] * values)


@cache
def inserting(model: type[models.Model], columns: tuple[str, ...], rows: int) -> str:
    return insertion(model, columns, [f"({marks(len(columns))})"] * rows)


@lru_cache(maxsize=128)
def inserting_for(model: type[models.Model], columns: tuple[str, ...], are_new: tuple[bool, ...]) -> str:
    """Rows of bookings, each known by its id or new."""
    if connection.vendor == "mysql":
        # One look-up each would double what a row costs. `take_ids` sees that it was right.
        new = "@first_booking + %s * @@auto_increment_increment"
    else:
        new = f"(SELECT id FROM {Booking._meta.db_table} WHERE reference = %s)"  # noqa: S608
    row = f"({', '.join(['%s'] * len(columns))})"
    new_row = f"({', '.join([*['%s'] * (len(columns) - 2), new, '%s'])})"
    return insertion(model, columns, [new_row if is_new else row for is_new in are_new])


def insertion(model: type[models.Model], columns: Sequence[str], values: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES {', '.join(values)}"  # noqa: S608


@cache
def booking_columns() -> tuple[str, ...]:
    return tuple(
        field.column
        for field in Booking._meta.concrete_fields
        if not (field.primary_key or isinstance(field, models.DateTimeField))
    )


def adapted(moment: datetime):
    return connection.ops.adapt_datetimefield_value(moment)


def batched(items: Sequence, size: int) -> Iterable[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))
