"""Writes of the hot path, in SQL built once.

Every booking makes three writes while it holds the event's lock. Through the ORM they cost three
times as much, most of it to build the same statements again.
"""

from collections.abc import Sequence
from functools import cache

from django.db import connection, models

from events.models import Event

# SQLite takes at most 32,766 values in one statement.
ROWS_A_QUERY = 500
COUNTS = ("available_tickets", "total_tickets", "waitlisted_count", "ledger_sequence")


def insert(row: models.Model) -> None:
    """Inserts one new row and gives it its id."""
    with connection.cursor() as cursor:
        cursor.execute(insert_statement(type(row)), values(row))
        row.pk = cursor.lastrowid
    row._state.adding = False


def insert_all(rows: Sequence[models.Model]) -> None:
    """Inserts new rows of one model, some hundred a statement; they stay without their ids."""
    statement = insert_statement(type(rows[0]))
    marks = statement[statement.rindex("(") :]
    with connection.cursor() as cursor:
        for some in (rows[start : start + ROWS_A_QUERY] for start in range(0, len(rows), ROWS_A_QUERY)):
            cursor.execute(statement + f", {marks}" * (len(some) - 1), [value for row in some for value in values(row)])


def update_counts(event: Event) -> None:
    with connection.cursor() as cursor:
        cursor.execute(counts_statement(), [*(getattr(event, name) for name in COUNTS), event.pk])


@cache
def insert_statement(model: type[models.Model]) -> str:
    quote = connection.ops.quote_name
    columns = [quote(field.column) for field in written_fields(model)]
    marks = ", ".join(["%s"] * len(columns))
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


@cache
def counts_statement() -> str:
    assignments = ", ".join(f"{name} = %s" for name in COUNTS)
    return f"UPDATE {Event._meta.db_table} SET {assignments} WHERE id = %s"  # noqa: S608


@cache
def written_fields(model: type[models.Model]) -> list[models.Field]:
    return [field for field in model._meta.concrete_fields if not field.primary_key]


def values(row: models.Model) -> list:
    return [field.get_db_prep_save(getattr(row, field.attname), connection) for field in written_fields(type(row))]
