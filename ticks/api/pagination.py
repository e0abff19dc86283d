"""Pages of a list, whose cost does not rise with their number, and which neither repeat nor miss a row.

The links carry a position: what the page's last row, or its first, has in the columns of the order. The next page
begins after it, whatever was inserted or deleted meanwhile. `?page=` alone jumps anywhere: near the beginning by
skipping the rows before it, further on by skipping rows of an index from the nearer end.
"""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import datetime

from django.conf import settings
from django.db.models import DateTimeField, IntegerField, Model, QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.utils.urls import remove_query_param, replace_query_param

from ticks.api.envelope import answer
from ticks.api.filters import fixed_columns
from ticks.db.scanning import TookTooLong, beside, time_limit
from ticks.parsing import parse_id, parse_time

MAX_PAGE = 1_000_000
MAX_SIZE = 100
# Skipping this many rows costs less than a millisecond.
NEAR = 1000
# A search compares row by row, a quarter of a second for a million rows. This limit is reached before the driver's.
SEARCH_SECONDS = 0.8 * settings.REQUEST_DATABASE_SECONDS
TOO_LONG = "This takes too long to look for; narrow the list by a filter."
NO_POSITION = "This is no position in this order: follow the links."


class Pages(PageNumberPagination):
    """Pages of a list: `?page=` from 1, `?pageSize=` (default 50, at most 100).

    Beside a position, `page` only says which number the page has. Without it the number is not known, and the links
    have none either. A view may define `count_rows(queryset)` to count its rows faster than one by one.
    """

    page_size = 50
    # DRF's own template has links to numbered pages, which come from private functions of DRF.
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(self, queryset, request, view=None):
        self.request, self.message = request, view.list_message
        self.number, self.size = self.sent("page", MAX_PAGE), self.sent("pageSize", MAX_SIZE) or self.page_size
        # A column with one value in the whole list says nothing about a position.
        fixed = fixed_columns(view)
        self.columns = [column for column in queryset.query.order_by if column.removeprefix("-") not in fixed]
        at = [name for name in ("after", "before") if name in request.query_params]
        if len(at) > 1:
            raise ValidationError({"after": ["Send either `after` or `before`: follow the links."]})
        self.count, self.count_rows = None, getattr(view, "count_rows", QuerySet.count)
        self.is_searched = bool(request.query_params.get("search", "").strip())
        try:
            with time_limit(SEARCH_SECONDS) if self.is_searched else nullcontext():
                self.rows = self.read_page_at(queryset, *at) if at else self.read_page(queryset)
                if self.count is None:
                    self.count = self.count_rows(queryset)
        except TookTooLong:
            raise ValidationError({"search": [TOO_LONG]}) from None
        self.display_page_controls = self.has_next or self.has_previous
        return self.rows

    def sent(self, name: str, highest: int) -> int | None:
        """The number in this parameter; None if it is not sent."""
        if name not in self.request.query_params:
            return None
        number = parse_id(self.request.query_params[name])
        if number is None or not 1 <= number <= highest:
            raise ValidationError({name: [f"Send a whole number from 1 to {highest}."]})
        return number

    def read_page_at(self, queryset, name: str) -> list:
        """The rows `after` or `before` a position. Sets whether there are more on either side."""
        is_before = name == "before"
        try:
            position = read_position(self.request.query_params[name], queryset.model, self.columns)
        except (ValueError, RecursionError):
            raise ValidationError({name: [NO_POSITION]}) from None
        rows = list(beside(queryset, self.columns, position, is_before=is_before)[: self.size + 1])
        has_more, rows = len(rows) > self.size, rows[: self.size]
        if is_before and not has_more:
            # This is the beginning of the list.
            self.number = 1
            if not rows:
                # All rows before it were deleted since the link was made.
                return self.read_page(queryset)
        # Links lead here from the other side.
        self.has_next, self.has_previous = (True, has_more) if is_before else (has_more, True)
        return rows[::-1] if is_before else rows

    def read_page(self, queryset) -> list:
        """The rows of the page with this number. Sets `count` where it is known with them."""
        self.number, size = self.number or 1, self.size
        offset = (self.number - 1) * size
        if offset <= NEAR and not self.is_searched:
            # This reads one row more than the page has, to see whether there is another page. So the last page needs
            # no count.
            rows = list(queryset[offset : offset + size + 1])
            left = len(rows)
            self.count = offset + left if left <= size else None
            rows = rows[:size]
        else:
            self.count = self.count_rows(queryset)
            left = max(self.count - offset, 0)
            # The rows that are skipped are read from the index alone, from its nearer end.
            ids = queryset.values_list("pk", flat=True)
            if offset <= left:
                ids = list(ids[offset : offset + min(size, left)])
            else:
                ids = list(ids.reverse()[max(left - size, 0) : left])[::-1]
            found = queryset.model.objects.in_bulk(ids)
            rows = [found[pk] for pk in ids if pk in found]
        if offset and not left:
            raise NotFound(self.invalid_page_message)
        self.has_next, self.has_previous = left > size and bool(rows), self.number > 1
        return rows

    def get_next_link(self):
        if not self.has_next:
            return None
        # A list may have more pages than the largest page number. Those have no number either.
        number = self.number + 1 if self.number and self.number < MAX_PAGE else None
        return self.link(page=number, after=position_of(self.rows[-1], self.columns))

    def get_previous_link(self):
        if not self.has_previous:
            return None
        # Rows that were inserted before the first page make the pages before it, which have no number of their own.
        number = self.number - 1 if self.number and self.number > 2 else None
        return self.link(page=number, before=position_of(self.rows[0], self.columns) if self.rows else None)

    def link(self, *, page: int | None, after: str | None = None, before: str | None = None) -> str:
        url = self.request.build_absolute_uri()
        for name, value in {"page": page, "after": after, "before": before}.items():
            url = remove_query_param(url, name) if value is None else replace_query_param(url, name, value)
        return url

    def get_html_context(self):
        return {"previous_url": self.get_previous_link(), "next_url": self.get_next_link()}

    def get_paginated_response(self, data):
        pagination = {"count": self.count, "next": self.get_next_link(), "previous": self.get_previous_link()}
        return answer(self.message, data, pagination=pagination)

    def get_schema_operation_parameters(self, view):
        number, position = {"type": "integer", "minimum": 1}, {"type": "string"}
        parameters = [
            ("page", "A page number within the paginated result set.", {**number, "maximum": MAX_PAGE}),
            ("pageSize", "Number of results to return per page.", {**number, "maximum": MAX_SIZE}),
            ("after", "In links: the page begins after this position.", position),
            ("before", "In links: it ends before this position.", position),
        ]
        return [
            {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
            for name, description, schema in parameters
        ]

    def get_paginated_response_schema(self, schema):
        # drf-spectacular writes the example of a page from the examples of its parts.
        link = {"type": ["string", "null"], "format": "uri", "example": None}
        pagination = object_schema(count={"type": "integer", "example": 1}, next=link, previous=link)
        error = {"type": "boolean", "const": False, "example": False}
        message = {"type": "string", "example": "Retrieved successfully."}
        return object_schema(message=message, data=schema, pagination=pagination, error=error)


def object_schema(**properties: dict) -> dict:
    return {"type": "object", "required": list(properties), "properties": properties}


def position_of(row: Model, columns: Sequence[str]) -> str:
    """What a row has in the columns of the order, the id last: a list in JSON without its brackets."""
    values = [getattr(row, column.removeprefix("-")) for column in columns]
    values = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return json.dumps(values, separators=(",", ":"))[1:-1]


def read_position(text: str, model: type[Model], columns: Sequence[str]) -> list:
    """The values of a position that `position_of` has written. Raises `ValueError` or `RecursionError`."""
    return [read_value(value, model, column) for value, column in zip(json.loads(f"[{text}]"), columns, strict=True)]


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
