"""All SQL that the services write by hand. Each statement is built once, and covers all rows of a batch.

A batch runs them while it holds its events' locks. Through the ORM they cost three times as much, most of that to
build the same statements again. `bookings/tests/api/test_book.py` counts the statements that a booking takes under the
lock. `test_batch_of_twenty_takes_as_many_statements_as_one_of_two` in `bookings/tests/services/test_batches.py` sees
that more jobs take no more statements."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import attrgetter
from typing import NamedTuple

import msgspec
from django.db import connection, models

from bookings.commands import Claim, Entry
from bookings.enums import BookingStatus, LedgerKind
from bookings.models import LIVE, Booking, IdempotencyKey, LedgerEntry
from events.models import Event

# SQLite takes at most 32,766 values in one statement, and 500 parts in one compound query.
ROWS_A_QUERY = 500
SIZES_A_QUERY = 64
Statement = tuple[str, Sequence]
BOOKINGS, EVENTS, KEYS = Booking._meta.db_table, Event._meta.db_table, IdempotencyKey._meta.db_table
ENTRIES = LedgerEntry._meta.db_table
BOOKING_COLUMNS = [field.attname for field in Booking._meta.concrete_fields]
ENTRY_COLUMNS = (
    *("event_id", "sequence", "kind", "tickets", "available_after", "waitlisted_after"),
    *("actor_id", "booking_id", "created_at"),
)
KEY_COLUMNS = ("digest", "fingerprint", "answer", "token_nonce", "booking_id", "created_at")
WAITING = f"SELECT id, tickets_reserved, waitlist_number FROM {BOOKINGS} WHERE event_id = %s"  # noqa: S608
# This column is set exactly while a booking waits.
HEADS = f"{WAITING} AND waitlist_number IS NOT NULL ORDER BY waitlist_number LIMIT %s"
HEADS_OF_SIZE = f"({WAITING} AND status = %s AND tickets_reserved = %s ORDER BY waitlist_number LIMIT %s)"
# The expressions keep MariaDB from the indexes of events and accounts. It would intersect them with the one of mail
# addresses, and read all bookings of the event for it.
LIVE_OF_EVENT = f"SELECT {', '.join(BOOKING_COLUMNS)} FROM {BOOKINGS} WHERE event_id + 0 = %s AND status IN (%s, %s)"  # noqa: S608
BY_ACCOUNT, BY_GUEST = "user_id IN", "user_id + 0 IS NULL AND email IN"
NEXT_SIZE = (
    f"SELECT MIN(tickets_reserved) FROM {BOOKINGS}"  # noqa: S608
    " WHERE event_id = %s AND status = %s AND tickets_reserved > %s AND tickets_reserved <= %s"
)
# The numbers and counts go on from the event's latest entry, as if the bookings were cancelled one after the other. The
# actor and the time are also those of the latest entry, since it is of the same cancellation. The second event, which
# no booking has, lets MariaDB begin at the first id (`BookingQuerySet.of_event`).
LATEST = (
    "SELECT sequence, available_after, waitlisted_after, actor_id, created_at"  # noqa: S608
    f" FROM {ENTRIES} WHERE event_id = %s"
)
CANCELLATIONS = f"""
INSERT INTO {ENTRIES} ({", ".join(ENTRY_COLUMNS)}, note)
SELECT live.event_id, latest.sequence + ROW_NUMBER() OVER by_id, %s, live.tickets_reserved,
    latest.available_after
        + SUM(CASE WHEN live.waitlist_number IS NULL THEN live.tickets_reserved ELSE 0 END) OVER by_id,
    latest.waitlisted_after - COUNT(live.waitlist_number) OVER by_id,
    latest.actor_id, live.id, latest.created_at, %s
FROM {BOOKINGS} AS live CROSS JOIN ({LATEST} ORDER BY sequence DESC LIMIT 1) AS latest
WHERE live.event_id IN (%s, -1) AND live.status IN (%s, %s) AND live.id BETWEEN %s AND %s
WINDOW by_id AS (ORDER BY live.id) ORDER BY live.id
"""  # noqa: S608
KNOWN_KEYS = (
    "SELECT used.digest, used.fingerprint, used.answer, used.token_nonce, used.booking_id, made.token_hash,"  # noqa: S608
    f" made.language FROM {KEYS} AS used LEFT JOIN {BOOKINGS} AS made ON made.id = used.booking_id WHERE used.digest IN"
)


class NewKey(NamedTuple):
    """The row of an idempotency key that is about to be inserted; see the model."""

    digest: str
    fingerprint: str
    answer: dict | list
    booking: Booking | None = None
    nonce: str | None = None


class KnownKey(NamedTuple):
    """A key that was used before, and its booking's token hash and language; see the models."""

    digest: str
    fingerprint: str
    answer: str
    token_nonce: str | None
    booking_id: int | None
    token_hash: str | None
    language: str | None


class IdsApart(Exception):
    """The ids of the new bookings are not consecutive, although the database promises that for one statement."""


def run_all(statements: Sequence[Statement]) -> list[Sequence[tuple]]:
    """Runs statements in one round trip if the driver can; on SQLite one by one. Returns the rows of each query."""
    if connection.vendor == "mysql":
        return connection.run_all(statements) if statements else []
    found: list[Sequence[tuple]] = []
    with connection.cursor() as cursor:
        for statement, values in statements:
            cursor.execute(statement, values)
            found += [cursor.fetchall()] if cursor.description else []
    return found


def run(statement: str, values: Sequence) -> Sequence[tuple]:
    """Runs one query and returns its rows."""
    [found] = run_all([(statement, values)])
    return found


def read_booking(booking_id: int) -> Booking | None:
    return next(iter(read_bookings([booking_id])), None)


def read_bookings(ids: Sequence[int], *, is_locking: bool = False) -> list[Booking]:
    """Bookings in the order of their ids. They can be locked until the transaction ends, if their events are."""
    bookings = []
    for some in batched(ids, ROWS_A_QUERY):
        bookings += map(booking_of, run(booking_query(len(some), is_locking=is_locking), some))
    return bookings


def booking_of(row: tuple) -> Booking:
    booking = Booking.drafted(**dict(zip(BOOKING_COLUMNS, row, strict=True)))
    booking._state.adding, booking._state.db = False, connection.alias
    booking.created_at, booking.updated_at = aware(booking.created_at), aware(booking.updated_at)
    return booking


@cache
def booking_query(bookings: int, *, is_locking: bool) -> str:
    chosen = Booking.objects.filter(pk__in=range(bookings)).order_by("pk")
    if is_locking:
        chosen = chosen.select_for_update()
    return chosen.values_list(*BOOKING_COLUMNS).query.sql_with_params()[0]


def read_live_bookings(holders: Mapping[int, Sequence[int | str]]) -> list[Booking]:
    """The live bookings of some people for each event, in the order of their ids. People are accounts by id, and guests
    by mail address.

    It reads the bookings that these people have of any event: an index for less would cost every booking its upkeep.
    It locks no row, since whoever changes one holds the lock of its event.
    """
    parts, values = [], []
    for event_id, people in holders.items():
        accounts = [person for person in people if isinstance(person, int)]
        guests = [person for person in people if isinstance(person, str)]
        for condition, chosen in ((BY_ACCOUNT, accounts), (BY_GUEST, guests)):
            if chosen:
                parts.append(f"{LIVE_OF_EVENT} AND {condition} ({marks(len(chosen))})")
                values += [event_id, *LIVE, *chosen]
    return sorted(map(booking_of, run(" UNION ALL ".join(parts), values)), key=attrgetter("pk"))


def read_heads(event_id: int, limit: int) -> list[Claim]:
    """The first waiting bookings of an event."""
    return waiting_claims(run(HEADS, [event_id, limit]))


def read_heads_of_sizes(event_id: int, limits: Sequence[tuple[int, int]]) -> list[Claim]:
    """The first waiting bookings of each size. `limits` are sizes, each with the most bookings to read of it."""
    # SQLite allows no LIMIT in a part of a UNION, so this needs a derived table, which costs MariaDB half as much
    # again.
    heads = HEADS_OF_SIZE if connection.vendor == "mysql" else f"SELECT * FROM {HEADS_OF_SIZE} AS heads"  # noqa: S608
    claims = []
    for some in batched(limits, SIZES_A_QUERY):
        values = [value for size, limit in some for value in (event_id, BookingStatus.WAITLISTED, size, limit)]
        claims += waiting_claims(run(" UNION ALL ".join([heads] * len(some)), values))
    return claims


def waiting_claims(rows: Iterable[tuple]) -> list[Claim]:
    return [Claim(tickets, BookingStatus.WAITLISTED, number, id=pk) for pk, tickets, number in rows]


def read_sizes(event_id: int, *, at_most: int) -> list[int]:
    """The sizes of waiting bookings in tickets, up to a limit."""
    sizes = [0]
    while True:
        # Each size reads one row of the index. DISTINCT would read every waiting booking on MariaDB.
        [(larger,)] = run(NEXT_SIZE, [event_id, BookingStatus.WAITLISTED, sizes[-1], at_most])
        if larger is None:
            return sizes[1:]
        sizes.append(larger)


def read_keys(digests: Sequence[str]) -> dict[str, KnownKey]:
    """The keys that were used before, by their digests."""
    found = run(f"{KNOWN_KEYS} ({marks(len(digests))})", digests)
    return {key.digest: key for key in map(KnownKey._make, found)}


def insert_bookings(bookings: Sequence[Booking]) -> list[Statement]:
    """Inserts bookings of one moment, and returns the query that `take_ids` reads their ids from."""
    if not bookings:
        return []
    columns, read = varying_columns()
    values = [value for booking in bookings for value in read(booking)]
    stamp = f"'{adapted(bookings[0].created_at)}'"
    row = f"({marks(len(columns))}, {stamp}, {stamp})"
    statement = insertion(Booking, (*columns, "created_at", "updated_at"), [row] * len(bookings))
    if connection.vendor != "mysql":
        return [(f"{statement} RETURNING id, reference", values)]
    # Later statements of the same round trip refer to the bookings by this variable (`ids_of_new`).
    remember = ("SET @first_booking = LAST_INSERT_ID()", [])
    if connection.features.can_return_rows_from_bulk_insert:
        return [(f"{statement} RETURNING id, reference", values), remember]
    query = f"SELECT id, reference FROM {BOOKINGS} WHERE reference IN ({marks(len(bookings))})"  # noqa: S608
    return [(statement, values), remember, (query, [booking.reference for booking in bookings])]


@cache
def varying_columns() -> tuple[tuple[str, ...], Callable[[Booking], tuple]]:
    """The columns that differ from booking to booking, and the function that reads their values."""
    columns = tuple(
        field.column
        for field in Booking._meta.concrete_fields
        if not (field.primary_key or isinstance(field, models.DateTimeField))
    )
    return columns, attrgetter(*columns)


def ids_of_new(bookings: Sequence[Booking]) -> dict[str, str]:
    """The SQL for the id of each booking that is inserted in the same round trip, by its reference."""
    if connection.vendor == "mysql":
        # A query for each id would double the cost of a row. `take_ids` verifies the computed ids.
        return {
            booking.reference: f"@first_booking + {place} * @@auto_increment_increment"
            for place, booking in enumerate(bookings)
        }
    query = f"(SELECT id FROM {BOOKINGS} WHERE reference = '%s')"  # noqa: S608
    return {booking.reference: query % booking.reference for booking in bookings}


def take_ids(bookings: Sequence[Booking], found: Sequence[Sequence[tuple]]) -> None:
    """Gives bookings the ids from the database. Raises `IdsApart` if `ids_of_new` has computed other ids."""
    if not bookings:
        return
    ids = {reference: number for rows in found for number, reference in rows}
    for booking in bookings:
        booking.id = ids[booking.reference]
        booking._state.adding = False
    if connection.vendor != "mysql":
        return
    if connection.id_step is None:
        # The step is more than one in a cluster, where each node has numbers of its own.
        [(connection.id_step,)] = run("SELECT @@auto_increment_increment", ())
    first, step = bookings[0].id, connection.id_step
    if any(booking.id != first + place * step for place, booking in enumerate(bookings)):
        # A node that joins a cluster changes the step.
        connection.id_step = None
        raise IdsApart


def insert_entries(entries: Iterable[tuple[int, Entry]], new_ids: Mapping[str, str], now: datetime) -> list[Statement]:
    """Ledger entries with the ids of their events."""
    stamp = f"'{adapted(now)}'"
    rows, statements = [], []
    for event_id, (sequence, kind, tickets, available, waitlisted, claim, actor, note, place) in entries:
        # The values are written into the SQL here, since the driver examines each parameter by itself, and most values
        # of a batch are these.
        booking = "NULL" if claim is None else claim.id or new_ids[claim.booking.reference]
        actor_id = "NULL" if actor is None else actor.pk
        row = f"{event_id}, {sequence}, '{kind}', {tickets}, {available}, {waitlisted}, {actor_id}, {booking}, {stamp}"
        if note or place is not None:
            # Only staff write a note or a place, so these entries are few.
            noted = insertion(LedgerEntry, (*ENTRY_COLUMNS, "note", "place"), [f"({row}, %s, %s)"])
            statements.append((noted, [note, place]))
        else:
            rows.append(f"({row})")
    return [*((insertion(LedgerEntry, ENTRY_COLUMNS, some), ()) for some in batched(rows, ROWS_A_QUERY)), *statements]


def insert_cancellations(event_id: int, ids: tuple[int, int], note: str) -> Statement:
    """The ledger entries of a cancelled event's live bookings in a range of ids, which are about to be cancelled."""
    return CANCELLATIONS, [LedgerKind.CANCELLED, note, event_id, event_id, *LIVE, *ids]


def insert_keys(keys: Sequence[NewKey], new_ids: Mapping[str, str], now: datetime) -> list[Statement]:
    stamp = f"'{adapted(now)}'"
    statements: list[Statement] = []
    for some in batched(keys, ROWS_A_QUERY):
        rows, values = [], []
        for digest, fingerprint, answer, booking, nonce in some:
            booking_id = "NULL" if booking is None else new_ids.get(booking.reference, booking.id)
            rows.append(f"(%s, %s, %s, %s, {booking_id}, {stamp})")
            values += [digest, fingerprint, msgspec.json.encode(answer).decode(), nonce]
        statements.append((insertion(IdempotencyKey, KEY_COLUMNS, rows), values))
    return statements


def update_bookings(ids: Sequence[int], now: datetime, **values) -> list[Statement]:
    """Sets columns to the same values in all these bookings."""
    assignments = ", ".join(f"{name} = %s" for name in (*values, "updated_at"))
    update = f"UPDATE {BOOKINGS} SET {assignments} WHERE id IN"  # noqa: S608
    return [
        (f"{update} ({marks(len(some))})", [*values.values(), adapted(now), *some])
        for some in batched(ids, ROWS_A_QUERY)
    ]


def update_each(column: str, pairs: Sequence[tuple[int, int]], now: datetime) -> list[Statement]:
    """Sets a column to another value in each booking; `pairs` are ids and values."""
    update = f"UPDATE {BOOKINGS} SET {column} ="  # noqa: S608
    return [
        (
            f"{update} {choice(len(some))}, updated_at = %s WHERE id IN ({marks(len(some))})",
            [*(value for pair in some for value in pair), adapted(now), *(booking_id for booking_id, _ in some)],
        )
        for some in batched(pairs, ROWS_A_QUERY)
    ]


def update_counts(counts: Mapping[str, Sequence[tuple[int, int]]]) -> Statement:
    """Sets counts of events. For each column it has a mapping of event ids to values, all with the same ids."""
    ids = [event_id for event_id, _ in next(iter(counts.values()))]
    values = [value for pairs in counts.values() for pair in pairs for value in pair]
    return counts_statement(tuple(counts), len(ids)), [*values, *ids]


@lru_cache(maxsize=1024)
def counts_statement(names: tuple[str, ...], events: int) -> str:
    assignments = ", ".join(f"{name} = {choice(events)}" for name in names)
    return f"UPDATE {EVENTS} SET {assignments} WHERE id IN ({marks(events)})"  # noqa: S608


def add_counts(
    model: type[models.Model], rows: Sequence[tuple], *, key: tuple, added: tuple, latest: tuple = ()
) -> list[Statement]:
    """Inserts rows. If a row's key exists, adds to its counts and sets its latest values. Reads nothing first."""
    return [
        (upsert(model, key, added, latest, len(some)), [value for row in some for value in row])
        for some in batched(rows, ROWS_A_QUERY)
    ]


@cache
def upsert(model: type[models.Model], key: tuple, added: tuple, latest: tuple, rows: int) -> str:
    columns = (*key, *added, *latest)
    is_mysql = connection.vendor == "mysql"
    new = "VALUES({})" if is_mysql else "excluded.{}"
    assignments = [f"{name} = {name} + {new.format(name)}" for name in added]
    assignments += [f"{name} = {new.format(name)}" for name in latest]
    conflict = "ON DUPLICATE KEY UPDATE" if is_mysql else f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET"
    return f"{insertion(model, columns, [f'({marks(len(columns))})'] * rows)} {conflict} {', '.join(assignments)}"


def insertion(model: type[models.Model], columns: Sequence[str], rows: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    names = ", ".join(map(quote, columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({names}) VALUES {', '.join(rows)}"  # noqa: S608


def choice(rows: int) -> str:
    """An SQL expression that chooses the value for a row's id."""
    return f"CASE id {'WHEN %s THEN %s ' * rows}END"


def marks(values: int) -> str:
    return ", ".join(["%s"] * values)


@lru_cache(maxsize=8)
def adapted(moment: datetime) -> str:
    """A moment as both databases store it. It is cached, since it stands in several rows and takes long to write."""
    return connection.ops.adapt_datetimefield_value(moment)


def aware(moment: datetime | None) -> datetime | None:
    """A moment that a driver has read without a time zone. Both databases store UTC."""
    return moment and moment.replace(tzinfo=UTC)


def batched(items: Sequence, size: int) -> Iterable[Sequence]:
    return (items[start : start + size] for start in range(0, len(items), size))
