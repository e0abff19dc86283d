"""Positions in a list: what a row has in the columns of the list's order.

In a list ordered by id a position is the id. In any other order it is a JSON list of the values, the id last.
"""

import json
from collections.abc import Sequence
from datetime import datetime

from django.db.models import DateTimeField, IntegerField, Model, Q, QuerySet
from rest_framework.exceptions import ValidationError

from ticks.parsing import parse_id, parse_time

NO_ROW = Q(pk__in=[])


def position_of(row: Model, columns: Sequence[str]) -> str:
    values = [getattr(row, column.removeprefix("-")) for column in columns]
    values = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return str(values[0]) if len(values) == 1 else json.dumps(values, separators=(",", ":"))


def read_position(text: str, name: str, model: type[Model], columns: Sequence[str]) -> list:
    """The values of a position that `position_of` has written. Raises `ValidationError`."""
    is_by_id = len(columns) == 1
    try:
        values = [text] if is_by_id else json.loads(text)
        if not isinstance(values, list):
            raise ValueError
        return [read_value(value, model, column) for value, column in zip(values, columns, strict=True)]
    except (ValueError, RecursionError):
        sentence = "Send an id, a whole number." if is_by_id else "This is no position in this order: follow the links."
        raise ValidationError({name: [sentence]}) from None


def read_value(value: object, model: type[Model], column: str):
    """A value of a position as its column has it. Raises `ValueError`."""
    name = column.removeprefix("-")
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if value is None and field.null:
        return None
    if isinstance(field, IntegerField):
        number = parse_id(str(value))
        if number is None:
            raise ValueError
        return number
    # A driver cannot send lone surrogates, and `encode` raises `ValueError` for them.
    if not isinstance(value, str) or "\0" in value or not value.encode():
        raise ValueError
    return parse_time(value) if isinstance(field, DateTimeField) else value


def beside(rows: QuerySet, columns: Sequence[str], values: Sequence, is_before: bool) -> QuerySet:
    """The rows after a position in a list ordered by these columns, or those before it; the nearest come first."""
    chosen, same = NO_ROW, Q()
    for column, value in zip(columns, values, strict=True):
        name = column.removeprefix("-")
        chosen |= same & beyond(name, value, is_rising=column.startswith("-") == is_before)
        same &= Q(**{name: value})
    return (rows.reverse() if is_before else rows).filter(chosen)


def beyond(name: str, value: object, *, is_rising: bool) -> Q:
    """The rows with a higher value, or with a lower one. Both databases take NULL for the lowest."""
    if is_rising:
        return Q(**{f"{name}__isnull": False} if value is None else {f"{name}__gt": value})
    return NO_ROW if value is None else Q(**{f"{name}__lt": value}) | Q(**{name: None})
