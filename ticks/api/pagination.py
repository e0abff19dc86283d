"""Pages of a list, whose cost does not rise with their number, and which neither repeat nor miss a row.

The links carry a position: what the page's last row, or its first, has in the columns of the order. The next page
begins after it, whatever was inserted or deleted meanwhile. `?page=` alone jumps anywhere: near the beginning by
skipping the rows before it, further on by skipping rows of an index from the nearer end.
"""

from contextlib import nullcontext

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.utils.urls import remove_query_param, replace_query_param

from ticks.api.envelope import answer
from ticks.api.filters import fixed_columns
from ticks.api.positions import beside, position_of, read_position
from ticks.db.scanning import TookTooLong, time_limit
from ticks.parsing import parse_id

MAX_PAGE = 1_000_000
# Skipping this many rows costs less than a millisecond.
NEAR = 1000
# A search compares row by row, a quarter of a second for a million rows. This limit is reached before the driver's.
SEARCH_SECONDS = 0.8 * settings.REQUEST_DATABASE_SECONDS
TOO_LONG = "This takes too long to look for; narrow the list by a filter."
# Each number has its lowest and its highest value, and a description.
NUMBERS = {
    "page": (1, MAX_PAGE, "A page number within the paginated result set."),
    "pageSize": (1, 100, "Number of results to return per page."),
}
POSITIONS = {
    "after": "In links: the page begins after this position.",
    "before": "In links: it ends before this position.",
}


class Pages(PageNumberPagination):
    """Pages of a list: `?page=` from 1, `?pageSize=` (default 50, at most 100).

    A view may define `count_rows(queryset)` to count its rows faster than one by one.
    """

    page_size = 50
    # DRF's own template has links to numbered pages, which come from private functions of DRF.
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(self, queryset, request, view=None):
        self.request, self.message = request, view.list_message
        numbers = {name: self.number_of(name) for name in NUMBERS if name in request.query_params}
        self.number, self.size = numbers.get("page", 1), numbers.get("pageSize", self.page_size)
        # A column with one value in the whole list says nothing about a position.
        fixed = fixed_columns(view)
        self.columns = [column for column in queryset.query.order_by if column.removeprefix("-") not in fixed]
        at = {
            name: read_position(request.query_params[name], name, queryset.model, self.columns)
            for name in POSITIONS
            if name in request.query_params
        }
        if len(at) > 1:
            raise ValidationError({"after": ["Send either `after` or `before`: follow the links."]})
        self.count, self.count_rows = None, getattr(view, "count_rows", QuerySet.count)
        self.is_searched = bool(request.query_params.get("search", "").strip())
        try:
            with time_limit(SEARCH_SECONDS) if self.is_searched else nullcontext():
                self.rows = self.read_page_at(queryset, **at) if at else self.read_page(queryset)
                if self.count is None:
                    self.count = self.count_rows(queryset)
        except TookTooLong:
            raise ValidationError({"search": [TOO_LONG]}) from None
        self.display_page_controls = self.has_next or self.has_previous
        return self.rows

    def number_of(self, name: str) -> int:
        low, high, _ = NUMBERS[name]
        number = parse_id(self.request.query_params[name])
        if number is None or not low <= number <= high:
            raise ValidationError({name: [f"Send a whole number from {low} to {high}."]})
        return number

    def read_page_at(self, queryset, after: list | None = None, before: list | None = None) -> list:
        """The rows after or before a position. Sets whether there are more on either side."""
        is_before = before is not None
        rows = list(beside(queryset, self.columns, before if is_before else after, is_before)[: self.size + 1])
        has_more, rows = len(rows) > self.size, rows[: self.size]
        if is_before and not rows:
            # All rows before it were deleted since the link was made, so this is the beginning of the list.
            self.number = 1
            return self.read_page(queryset)
        # Links lead here from the other side.
        self.has_next, self.has_previous = (True, has_more) if is_before else (has_more, True)
        return rows[::-1] if is_before else rows

    def read_page(self, queryset) -> list:
        """The rows of the page with this number. Sets `count` where it is known with them."""
        size = self.size
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
        # A list may have more pages than the largest page number. The links of those pages differ only by their
        # positions.
        return self.link(min(self.number + 1, MAX_PAGE), after=position_of(self.rows[-1], self.columns))

    def get_previous_link(self):
        if not self.has_previous:
            return None
        # Rows that were inserted before the first page make the pages before it, which have no number of their own.
        number = max(self.number - 1, 1)
        return self.link(number, before=position_of(self.rows[0], self.columns) if self.rows else None)

    def link(self, number: int, *, after: str | None = None, before: str | None = None) -> str:
        url = self.request.build_absolute_uri()
        for name, value in {"page": number if number > 1 else None, "after": after, "before": before}.items():
            url = remove_query_param(url, name) if value is None else replace_query_param(url, name, value)
        return url

    def get_html_context(self):
        return {"previous_url": self.get_previous_link(), "next_url": self.get_next_link()}

    def get_paginated_response(self, data):
        pagination = {"count": self.count, "next": self.get_next_link(), "previous": self.get_previous_link()}
        return answer(self.message, data, pagination=pagination)

    def get_schema_operation_parameters(self, view):
        numbers = {
            name: (description, {"type": "integer", "minimum": low, "maximum": high})
            for name, (low, high, description) in NUMBERS.items()
        }
        positions = {name: (description, {"type": "string"}) for name, description in POSITIONS.items()}
        return [
            {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
            for name, (description, schema) in (numbers | positions).items()
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
