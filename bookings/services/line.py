"""Keeps the counts of the parts of the waitlists, under the lock on their event."""

from collections.abc import Mapping
from functools import cache

from django.db import connection

from bookings.models import LinePart
from bookings.services.sql import ROWS_A_QUERY, Statement, batched


def line_moves(moves: Mapping[tuple[int, int], int]) -> list[Statement]:
    """Adds to the counts of (event, part): one statement, none where nobody joined or left."""
    return [
        (move_statement(len(some)), [value for row in some for value in row])
        for some in batched([(*part, by) for part, by in moves.items()], ROWS_A_QUERY)
    ]


@cache
def move_statement(parts: int) -> str:
    """A part that is new starts with what is added to it; nothing is read first."""
    values = ", ".join(["(%s, %s, %s)"] * parts)
    insertion = f"INSERT INTO {LinePart._meta.db_table} (event_id, first_number, waiting) VALUES {values}"  # noqa: S608
    if connection.vendor == "mysql":
        return f"{insertion} ON DUPLICATE KEY UPDATE waiting = waiting + VALUES(waiting)"
    return f"{insertion} ON CONFLICT (event_id, first_number) DO UPDATE SET waiting = waiting + excluded.waiting"


def clear_line(event_id: int) -> None:
    LinePart.objects.filter(event=event_id).delete()
