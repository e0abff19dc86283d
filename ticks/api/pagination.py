"""Pages of a list, whose cost does not rise with their number.

Near the beginning a page is found by skipping the rows before it. Further on, the links of a list that is
ordered by id carry a position: the id that the page begins after or ends before. `?page=` alone jumps anywhere,
skipping rows of an index from the nearer end.
"""

from contextlib import nullcontext

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.utils.urls import remove_query_param, replace_query_param

from ticks.api.envelope import answer
from ticks.api.filters import fixed_columns
from ticks.db.scanning import TookTooLong, rows_beside, time_limit
from ticks.parsing import MAX_ID, parse_id

MAX_PAGE = 1_000_000
# Skipping this many rows costs less than a millisecond, and the links stay as short as people write them.
NEAR = 1000
# A search compares row by row, a quarter of a second for a million rows. This limit is reached before the driver's.
SEARCH_SECONDS = 0.8 * settings.REQUEST_DATABASE_SECONDS
TOO_LONG = "This takes too long to look for; narrow the list by a filter."
# Each parameter has its lowest and its highest value, and a description.
PARAMETERS = {
    "page": (1, MAX_PAGE, "A page number within the paginated result set."),
    "pageSize": (1, 100, "Number of results to return per page."),
    "after": (0, MAX_ID, "In links: the page begins after this id."),
    "before": (0, MAX_ID, "In links: it ends before this id."),
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
        numbers = {name: self.number_of(name) for name in PARAMETERS if name in request.query_params}
        self.number, self.size = numbers.pop("page", 1), numbers.pop("pageSize", self.page_size)
        self.is_by_id = {column.removeprefix("-") for column in queryset.query.order_by} <= {"pk", *fixed_columns(view)}
        if len(numbers) > 1 or (numbers and not self.is_by_id):
            raise ValidationError({min(numbers): ["Goes with an order by id, and alone: follow the links."]})
        self.is_at_position = bool(numbers)
        self.count, self.count_rows = None, getattr(view, "count_rows", QuerySet.count)
        self.is_searched = bool(request.query_params.get("search", "").strip())
        try:
            with time_limit(SEARCH_SECONDS) if self.is_searched else nullcontext():
                self.rows, self.has_more = self.read_page(queryset, **numbers)
                if self.count is None:
                    self.count = self.count_rows(queryset)
        except TookTooLong:
            raise ValidationError({"search": [TOO_LONG]}) from None
        self.display_page_controls = self.count > self.size
        return self.rows

    def number_of(self, name: str) -> int:
        low, high, _ = PARAMETERS[name]
        number = parse_id(self.request.query_params[name])
        if number is None or not low <= number <= high:
            is_id = high == MAX_ID
            message = "Send an id, a whole number." if is_id else f"Send a whole number from {low} to {high}."
            raise ValidationError({name: [message]})
        return number

    def read_page(self, queryset, after: int | None = None, before: int | None = None) -> tuple[list, bool]:
        """The rows of the page, and whether there are more. Sets `count` where it is known with them."""
        size = self.size
        if after is not None:
            rows = list(rows_beside(queryset, after)[: size + 1])
            return rows[:size], len(rows) > size
        if before is not None:
            rows = list(rows_beside(queryset, before, is_before=True)[:size])
            if len(rows) == size:
                return rows[::-1], True
            # Rows were deleted since the link was made, so this is the beginning of the list.
            self.number, self.is_at_position = 1, False
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
        return rows, left > size

    def get_next_link(self):
        if not self.has_more:
            return None
        is_near = not self.is_by_id or (not self.is_at_position and self.number * self.size <= NEAR)
        # A list may have more pages than the largest page number. The links of those pages differ only by their
        # positions.
        return self.link(min(self.number + 1, MAX_PAGE), after=None if is_near else self.rows[-1].pk)

    def get_previous_link(self):
        if self.number == 1:
            return None
        is_near = not self.is_by_id or (self.number - 2) * self.size <= NEAR or not self.rows
        return self.link(self.number - 1, before=None if is_near else self.rows[0].pk)

    def link(self, number: int, *, after: int | None = None, before: int | None = None) -> str:
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
        return [
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": {"type": "integer", "minimum": low, "maximum": high},
            }
            for name, (low, high, description) in PARAMETERS.items()
        ]

    def get_paginated_response_schema(self, schema):
        link = {"type": ["string", "null"], "format": "uri"}
        pagination = object_schema(count={"type": "integer"}, next=link, previous=link)
        error = {"type": "boolean", "const": False}
        return object_schema(message={"type": "string"}, data=schema, pagination=pagination, error=error)


def object_schema(**properties: dict) -> dict:
    return {"type": "object", "required": list(properties), "properties": properties}
