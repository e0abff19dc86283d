"""What the hot path reads and writes of bookings, in SQL built once, one statement for all rows of a group.

Every group does it while it holds events' locks. Through the ORM it costs three times as much, most of that to
build the same statements again.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import NamedTuple

from django.db import connection, models

from bookings.enums import BookingStatus
from bookings.models import Booking, IdempotencyKey, LedgerEntry
from events.models import Event

# SQLite takes at most 32,766 values in one statement.
ROWS_A_QUERY = 500
Statement = tuple[str, Sequence]
# The values of `NOTED_COLUMNS` but the time; a booking that is not there yet as a `New`.
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
NOTED_COLUMNS = (*ENTRY_COLUMNS, "note", "place")
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
    bookings = [Booking.drafted(**dict(zip(names, row, strict=True))) for row in run(statement, values)]
    for booking in bookings:
        booking._state.adding, booking._state.db = False, connection.alias
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
    columns, read = booking_columns()
    values = [value for booking in bookings for value in read(booking)]
    stamp = literal(bookings[0].created_at)
    row = f"({marks(len(columns))}, {stamp}, {stamp})"
    statement = insertion(Booking, (*columns, "created_at", "updated_at"), [row] * len(bookings))
    if connection.vendor != "mysql":
        return [(f"{statement} RETURNING id, reference", values)]
    # What follows in the same go names them by their places.
    name_them = ("SET @first_booking = LAST_INSERT_ID()", [])
    if connection.features.can_return_rows_from_bulk_insert:
        return [(f"{statement} RETURNING id, reference", values), name_them]
    look = f"SELECT id, reference FROM {Booking._meta.db_table} WHERE reference IN ({marks(len(bookings))})"  # noqa: S608
    return [(statement, values), name_them, (look, [booking.reference for booking in bookings])]


def take_ids(bookings: Sequence[Booking], found: Sequence[Sequence[tuple]]) -> None:
    """Gives them the ids that the database says. Raises `IdsApart` where the go took them for others."""
    if not bookings:
        return
    ids = {reference: number for rows in found for number, reference in rows}
    for booking in bookings:
        booking.id = ids[booking.reference]
        booking._state.adding = False
    if connection.vendor == "mysql":
        first, step = bookings[0].id, id_step()
        if any(booking.id != first + place * step for place, booking in enumerate(bookings)):
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
    name = namer()
    stamp = literal(now)
    rows = []
    noted = []
    for event, sequence, kind, tickets, available, waitlisted, actor, booking, note, place in entries:
        # Written out here: the driver looks at each value by itself, and of a group's values these are the most.
        numbers = f"{event}, {sequence}, '{kind}', {tickets}, {available}, {waitlisted}"
        row = f"{numbers}, {or_null(actor)}, {name(booking) if type(booking) is New else or_null(booking)}, {stamp}"
        if note or place is not None:
            # Staff's, so few.
            noted.append((f"({row}, %s, %s)", [note, place]))
        else:
            rows.append(f"({row})")
    return [
        *((insertion(LedgerEntry, ENTRY_COLUMNS, some), ()) for some in batched(rows, ROWS_A_QUERY)),
        *((insertion(LedgerEntry, NOTED_COLUMNS, [row]), values) for row, values in noted),
    ]


def key_insertions(keys: Sequence[Key], new: Mapping[str, New], now: datetime) -> list[Statement]:
    name = namer()
    stamp = literal(now)
    return [
        (
            insertion(
                IdempotencyKey, KEY_COLUMNS, [f"(%s, %s, %s, %s, {name(new[key.reference])}, {stamp})" for key in some]
            ),
            [value for key in some for value in (key.digest, key.fingerprint, json.dumps(key.answer), key.nonce)],
        )
        for some in batched(keys, ROWS_A_QUERY)
    ]


def namer() -> Callable[[New], str]:
    """What a booking that is inserted in the same go is called in SQL."""
    if connection.vendor == "mysql":
        # One look-up each would double what a row costs. `take_ids` sees that it was right.
        return lambda new: f"@first_booking + {new.place} * @@auto_increment_increment"
    return lambda new: f"(SELECT id FROM {Booking._meta.db_table} WHERE reference = '{new.reference}')"  # noqa: S608


def or_null(number: int | None) -> str:
    return "NULL" if number is None else str(number)


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
    return settings_of("tickets_reserved", sizes, now)


def moves(places: Sequence[tuple[int, int]], now: datetime) -> list[Statement]:
    """`places` are ids and the waitlist numbers that they get: one statement each, which the unique index looks at."""
    return [statement for place in places for statement in settings_of("waitlist_number", [place], now)]


def settings_of(column: str, pairs: Sequence[tuple[int, int]], now: datetime) -> list[Statement]:
    """Sets a column to another value in each row; `pairs` are ids and values."""
    update = f"UPDATE {Booking._meta.db_table} SET {column} ="  # noqa: S608
    return [
        (
            f"{update} {choice(len(some))}, updated_at = %s WHERE id IN ({marks(len(some))})",
            [*(value for pair in some for value in pair), adapted(now), *(booking_id for booking_id, _ in some)],
        )
        for some in batched(pairs, ROWS_A_QUERY)
    ]


def counts_update(events: Sequence, names: Sequence[str]) -> Statement:
    """Of the counts with these names, for events or what has their names."""
    values = [value for name in names for event in events for value in (event.pk, getattr(event, name))]
    return counts_statement(tuple(names), len(events)), [*values, *(event.pk for event in events)]


def run_all(statements: Sequence[Statement]) -> list[Sequence[tuple]]:
    """Runs them in one round trip where the driver can, on SQLite one by one; what each query found."""
    if connection.vendor == "mysql":
        return connection.run_all(statements) if statements else []
    found: list[Sequence[tuple]] = []
    with connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
            found += [cursor.fetchall()] if cursor.description else []
    return found


def run(statement: str, values: Sequence) -> Sequence[tuple]:
    """What one query found."""
    [found] = run_all([(statement, values)])
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


def insertion(model: type[models.Model], columns: Sequence[str], values: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES {', '.join(values)}"  # noqa: S608


@cache
def booking_columns() -> tuple[tuple[str, ...], Callable[[Booking], tuple]]:
    """Those that differ from booking to booking, and what reads their values."""
    columns = tuple(
        field.column
        for field in Booking._meta.concrete_fields
        if not (field.primary_key or isinstance(field, models.DateTimeField))
    )
    return columns, attrgetter(*columns)


def literal(moment: datetime) -> str:
    return f"'{adapted(moment)}'"


@lru_cache(maxsize=8)
def adapted(moment: datetime) -> str:
    """As both databases keep it. Kept, as it stands in several rows of the moment, and takes long."""
    return connection.ops.adapt_datetimefield_value(moment)


def batched(items: Sequence, size: int) -> Iterable[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))
