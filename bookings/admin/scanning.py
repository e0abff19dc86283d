"""Looks through a long table for rows that no index leads to: in many short statements, for a moment only.

Whoever asks is told how far it got, and can have it look on from there.
"""

import time
from dataclasses import dataclass, field

from django.db.models import QuerySet

from ticks.db.time_limit import TookTooLong, at_most

# So that a page with it is there within 300 ms.
SECONDS = 0.1
# What a single statement may take at the most, in a table that is not in memory.
STATEMENT_SECONDS = 0.25
FIRST_WIDTH = 20_000
QUICK_SECONDS = 0.015
SLOW_SECONDS = 0.045


@dataclass(slots=True)
class Look:
    """The positions of the rows that were found, in the order of looking, and how far it got: None for the end."""

    found: list[int] = field(default_factory=list)
    got_to: int | None = None


def look_for(rows: QuerySet, column: str, *, low: int, high: int, wanted: int, is_rising: bool = False) -> Look:
    """The first `wanted` of `rows` from the high end of `column` down, or from the low end up."""
    look = Look(got_to=low if is_rising else high)
    try:
        with at_most(STATEMENT_SECONDS):
            look_on(look, rows, column, low=low, high=high, wanted=wanted, is_rising=is_rising)
    except TookTooLong:
        # What the windows before it held is found.
        pass
    return look


def look_on(look: Look, rows: QuerySet, column: str, *, low: int, high: int, wanted: int, is_rising: bool) -> None:
    ends, width = time.monotonic() + SECONDS, FIRST_WIDTH
    while low <= high and len(look.found) < wanted:
        began = time.monotonic()
        if began > ends:
            return
        window = (low, min(low + width - 1, high)) if is_rising else (max(high - width + 1, low), high)
        within = rows.filter(**{f"{column}__range": window})
        look.found += within.values_list(column, flat=True)[: wanted - len(look.found)]
        if is_rising:
            low = look.got_to = window[1] + 1
        else:
            high = look.got_to = window[0] - 1
        took = time.monotonic() - began
        width = width * 4 if took < QUICK_SECONDS else max(width // 2, 1) if took > SLOW_SECONDS else width
    # All of it, or as many as were wanted: there is nothing to be told.
    look.got_to = None
