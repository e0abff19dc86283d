"""Keeps what each hour of an event's sales came to, under the lock on the event."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache

from django.db import connection

from bookings.models import SalesHour
from bookings.services.sql import ROWS_A_QUERY, Statement, adapted, batched


def hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def hour_moves(sold: Sequence[tuple[int, int, int, int, int]], now: datetime) -> list[Statement]:
    """For (event, bookings, tickets, held, waiting): adds the first two to the hour, and sets the others."""
    hour = adapted(hour_of(now))
    return [
        (hour_statement(len(some)), [value for event, *counts in some for value in (event, hour, *counts)])
        for some in batched(sold, ROWS_A_QUERY)
    ]


@cache
def hour_statement(events: int) -> str:
    """An hour that is new starts with what is added to it; nothing is read first."""
    values = ", ".join(["(%s, %s, %s, %s, %s, %s)"] * events)
    columns = "event_id, hour, bookings, tickets, held, waiting"
    insertion = f"INSERT INTO {SalesHour._meta.db_table} ({columns}) VALUES {values}"  # noqa: S608
    is_mysql = connection.vendor == "mysql"
    mine = "VALUES({})" if is_mysql else "excluded.{}"
    added = [f"{name} = {name} + {mine.format(name)}" for name in ("bookings", "tickets")]
    latest = [f"{name} = {mine.format(name)}" for name in ("held", "waiting")]
    on = "ON DUPLICATE KEY UPDATE" if is_mysql else "ON CONFLICT (event_id, hour) DO UPDATE SET"
    return f"{insertion} {on} {', '.join(added + latest)}"
