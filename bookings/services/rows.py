"""What the hot path reads and writes of bookings, in SQL built once, one statement for all rows of a group.

Every group does it while it holds events' locks. Through the ORM it costs three times as much, most of that to
build the same statements again.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter

from django.db import connection, models

from bookings.models import Booking, IdempotencyKey, LedgerEntry
from bookings.statuses import BookingStatus
from events.models import Event

# SQLite takes at most 32,766 values in one statement.
ROWS_A_QUERY = 500
Statement = tuple[str, Sequence]
ENTRY_COLUMNS = (
    "event_id",
    "sequence",
    "booking_id",
    "kind",
    "tickets",
    "available_after",
    "waitlisted_after",
    "actor_id",
    "created_at",
)
COUNTS = (
    "available_tickets",
    "total_tickets",
    "booking_count",
    "completed_count",
    "waitlisted_count",
    "ledger_sequence",
)


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


def insert_bookings(bookings: Sequence[Booking]) -> None:
    """Inserts new bookings of one moment and gives them their ids."""
    columns = booking_columns()
    read = attrgetter(*columns)
    for some in batched(bookings, ROWS_A_QUERY):
        stamp = adapted(some[0].created_at)
        values = [value for booking in some for value in (*read(booking), stamp, stamp)]
        statement = insertion(Booking, (*columns, "created_at", "updated_at"), len(some))
        ids = dict(inserted(statement, values, some))
        for booking in some:
            booking.pk = ids[booking.reference]
            booking._state.adding = False


def inserted(statement: str, values: list, bookings: Sequence[Booking]) -> Iterable[tuple[str, int]]:
    """Their references and ids. Not counted on from the first id: a cluster leaves gaps, others insert in between."""
    with connection.cursor() as cursor:
        if connection.features.can_return_rows_from_bulk_insert:
            cursor.execute(f"{statement} RETURNING reference, id", values)
            return cursor.fetchall()
        cursor.execute(statement, values)
    return Booking.objects.filter(reference__in=[booking.reference for booking in bookings]).values_list(
        "reference", "pk"
    )


def entry_insertions(entries: Sequence[tuple], now: datetime) -> list[Statement]:
    """`entries` are rows of the ledger, all of `ENTRY_COLUMNS` but the last."""
    stamp = adapted(now)
    return [
        (insertion(LedgerEntry, ENTRY_COLUMNS, len(some)), [value for entry in some for value in (*entry, stamp)])
        for some in batched(entries, ROWS_A_QUERY)
    ]


def insert_keys(keys: Sequence[IdempotencyKey]) -> None:
    fields = [field for field in IdempotencyKey._meta.concrete_fields if not field.primary_key]
    columns = tuple(field.column for field in fields)
    for some in batched(keys, ROWS_A_QUERY):
        values = [field.get_db_prep_save(getattr(key, field.attname), connection) for key in some for field in fields]
        run_all([(insertion(IdempotencyKey, columns, len(some)), values)])


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


def counts_update(events: Sequence) -> Statement:
    """Of events, or what has their names."""
    values = [value for name in COUNTS for event in events for value in (event.pk, getattr(event, name))]
    return counts_statement(len(events)), [*values, *(event.pk for event in events)]


def run_all(statements: Sequence[Statement]) -> None:
    """Statements without results: in one round trip where the driver can, each by itself on SQLite."""
    with connection.cursor() as cursor:
        if connection.vendor != "mysql":
            for statement, values in statements:
                cursor.execute(statement, values)
        elif statements:
            joined = "; ".join(statement for statement, _ in statements)
            cursor.execute(joined, [value for _, values in statements for value in values])
            # The answer to each; an error among them is raised here.
            while cursor.nextset():
                pass


@cache
def counts_statement(events: int) -> str:
    assignments = ", ".join(f"{name} = {choice(events)}" for name in COUNTS)
    return f"UPDATE {Event._meta.db_table} SET {assignments} WHERE id IN ({marks(events)})"  # noqa: S608


def choice(rows: int) -> str:
    """The value that belongs to a row's id."""
    return f"CASE id {'WHEN %s THEN %s ' * rows}END"


def marks(values: int) -> str:
    return ", ".join(["%s"] * values)


@cache
def insertion(model: type[models.Model], columns: tuple[str, ...], rows: int) -> str:
    quote = connection.ops.quote_name
    each = f"({marks(len(columns))})"
    names = ", ".join(map(quote, columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES {', '.join([each] * rows)}"  # noqa: S608


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
