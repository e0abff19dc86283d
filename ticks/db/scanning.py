"""Reads from tables with a million rows: the rows next to a position, in short statements, or between two moments."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import DatabaseError, connection
from django.db.models import Q, QuerySet

# These are the errors of MariaDB and MySQL for a statement that was interrupted because it took too long.
INTERRUPTED = {1969, 3024}
FIRST_WIDTH = 20_000
ROWS_A_STATEMENT = 2_000
# This many samples of a million rows leave a few thousand too many at each end of a range.
SAMPLES = 400
# A row gets its time first and its number later. Rows that wait for a lock in between are overtaken by others.
DISORDER = timedelta(minutes=2)
NO_ROW = Q(pk__in=[])


class TookTooLong(Exception):
    pass


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Lets the database itself end a SELECT that takes longer, and raises `TookTooLong`. SQLite has no such limit.

    The driver's own time-out would only end the waiting, and a slow statement would count as a lost database.
    """
    if connection.vendor != "mysql":
        yield
        return
    name, value = "max_statement_time", f"{seconds:.6f}"
    if not connection.mysql_is_mariadb:
        name, value = "max_execution_time", f"{seconds * 1000:.0f}"
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {name} = {value}")
    try:
        yield
    except DatabaseError as error:
        if error.args[0] in INTERRUPTED:
            raise TookTooLong from error
        raise
    finally:
        # If this fails, the connection is lost and gets closed.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {name} = DEFAULT")


def beside(rows: QuerySet, columns: Sequence[str], position: Sequence | None, *, is_before: bool) -> QuerySet:
    """The rows after a position in a list ordered by these columns, or those before it; the nearest come first.

    A position is a row's values in the columns. Without one, the rows are read from the list's beginning or its end.
    """
    rows = rows.reverse() if is_before else rows
    if position is None:
        return rows
    chosen, same = NO_ROW, Q()
    for column, value in zip(columns, position, strict=True):
        name = column.removeprefix("-")
        # Both databases take NULL for the lowest value.
        if column.startswith("-") == is_before:
            beyond = Q(**{f"{name}__isnull": False} if value is None else {f"{name}__gt": value})
        else:
            beyond = NO_ROW if value is None else Q(**{f"{name}__lt": value}) | Q(**{name: None})
        chosen |= same & beyond
        same &= Q(**{name: value})
    return rows.filter(chosen)


def scan(
    rows: QuerySet, positions: range, *, column: str = "pk", limit: int = ROWS_A_STATEMENT, seconds: float
) -> Iterator[tuple[list, int]]:
    """Yields lists of `rows`, and the position in `column` up to which all were read. `rows` have the order of
    `positions`.

    Each statement looks at a bounded range of `column` for about `seconds`, so that even a condition that finds next
    to nothing goes through a long table without a slow statement. Raises `TookTooLong` when no range is short enough.
    """
    width = FIRST_WIDTH
    while positions:
        part, began = positions[:width], time.monotonic()
        try:
            with time_limit(8 * seconds):
                found = list(rows.filter(**{f"{column}__range": sorted((part[0], part[-1]))})[:limit])
        except TookTooLong:
            if width == 1:
                raise
            width = max(1, width // 8)
            continue
        end = getattr(found[-1], column) if len(found) == limit else part[-1]
        read = part.index(end) + 1
        width = max(1, int(read * min(4, seconds / max(time.monotonic() - began, 0.001))))
        yield found, end
        positions = positions[read:]


def range_of(
    rows: QuerySet, column: str = "pk", since: datetime | None = None, until: datetime | None = None
) -> tuple[int, int]:
    """The lowest and the highest `column` that a row made from `since` until before `until` may have.

    `column` rises with time. The range may be too wide, but never too narrow. So a query that uses it must still
    compare the time.
    """
    # These are two queries, since SQLite reads the whole table for one aggregate of both.
    low, high = (rows.order_by(f"{sign}{column}").values_list(column, flat=True).first() or 0 for sign in ("", "-"))
    if since or until:
        positions = range(low, high + 1, max(1, (high - low) // SAMPLES))
        samples = rows.filter(**{f"{column}__in": positions}).order_by(column).values_list(column, "created_at")
        samples = list(samples)
        if since:
            earlier = [position for position, _ in takewhile(lambda row: row[1] < since - DISORDER, samples)]
            low = max(earlier, default=low)
        if until:
            later = [position for position, _ in takewhile(lambda row: row[1] >= until + DISORDER, samples[::-1])]
            high = min(later, default=high)
    return low, high
