"""Where in a table that grows with time a span of time lies, found without an index on the time."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Max, Min, QuerySet

# Each round looks at so many rows of either bound, so two leave at most a hundredth of a hundredth of the table.
POINTS = 100
ROUNDS = 2
# Rows get their numbers after their times: who waits for a lock meanwhile is passed by others.
DISORDER = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Span:
    """From the one moment until before the other; either may be open."""

    since: datetime | None = None
    until: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self.since or self.until)

    def among(self, rows: QuerySet) -> QuerySet:
        if self.since:
            rows = rows.filter(created_at__gte=self.since)
        return rows.filter(created_at__lt=self.until) if self.until else rows


def bounds_of(span: Span, rows: QuerySet, column: str) -> tuple[int, int]:
    """The lowest and the highest `column`, a number that rises with time, that a row of the span may have.

    Too wide rather than too narrow, also where a row is far from its time: who reads between them still asks for the
    time itself.
    """
    ends = rows.order_by().aggregate(low=Min(column), high=Max(column))
    if ends["low"] is None:
        return 0, 0
    first = last = (ends["low"], ends["high"])
    for _ in range(ROUNDS):
        points = {*points_between(*first), *points_between(*last)}
        seen = rows.order_by().filter(**{f"{column}__in": points}).values_list(column, "created_at")
        known = list(seen)
        if span.since:
            first = before_first(known, span.since - DISORDER, *first)
        if span.until:
            last = behind_last(known, span.until + DISORDER, *last)
    return (first[0] if span.since else ends["low"]), (last[1] if span.until else ends["high"])


def before_first(known: list[tuple[int, datetime]], moment: datetime, low: int, high: int) -> tuple[int, int]:
    """Around the first row that is not before a moment."""
    high = min((at for at, seen in known if seen >= moment and at >= low), default=high)
    return max((at for at, seen in known if seen < moment and at < high), default=low), high


def behind_last(known: list[tuple[int, datetime]], moment: datetime, low: int, high: int) -> tuple[int, int]:
    """Around the last row that is before a moment."""
    low = max((at for at, seen in known if seen < moment and at <= high), default=low)
    return low, min((at for at, seen in known if seen >= moment and at > low), default=high)


def points_between(low: int, high: int) -> list[int]:
    step = max(1, (high - low) // POINTS)
    return [*range(low, high, step)][: POINTS + 1]
