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
POSITIONS = {"after": "In links: the page begins after this id.", "before": "In links: it ends before this id."}
TOO_LONG = "This takes too long to look for; narrow the list by a filter."


class Pages(PageNumberPagination):
    """Pages of a list: `?page=` from 1, `?pageSize=` (default 50, at most 100).

    A view may define `count_rows(queryset)` to count its rows faster than one by one.
    """

    page_size = 50
    max_page_size = 100
    page_size_query_param = "pageSize"
    # DRF's own template has links to numbered pages, which come from private functions of DRF.
    template = "rest_framework/pagination/previous_and_next.html"

    def paginate_queryset(self, queryset, request, view=None):
        self.request, self.message = request, view.list_message
        self.size = self.whole_number(self.page_size_query_param, self.max_page_size) or self.page_size
        self.number = self.whole_number(self.page_query_param, MAX_PAGE) or 1
        self.is_by_id = {column.removeprefix("-") for column in queryset.query.order_by} <= {"pk", *fixed_columns(view)}
        self.count_rows = getattr(view, "count_rows", QuerySet.count)
        self.count, self.is_searched = None, bool(request.query_params.get("search", "").strip())
        name, position = self.position()
        self.is_at_position = position is not None
        try:
            with time_limit(SEARCH_SECONDS) if self.is_searched else nullcontext():
                self.rows, self.has_more = self.read_page(queryset, name, position)
                if self.count is None:
                    self.count = self.count_rows(queryset)
        except TookTooLong:
            raise ValidationError({"search": [TOO_LONG]}) from None
        self.display_page_controls = self.count > self.size
        return self.rows

    def whole_number(self, name: str, high: int) -> int | None:
        value = self.request.query_params.get(name)
        if value is None:
            return None
        if not (value.isascii() and value.isdigit() and len(value) < 10 and 1 <= int(value) <= high):
            raise ValidationError({name: [f"Send a whole number from 1 to {high}."]})
        return int(value)

    def position(self) -> tuple[str, int | None]:
        names = [name for name in POSITIONS if name in self.request.query_params]
        if not names:
            return "", None
        position = parse_id(self.request.query_params[names[0]])
        if position is None:
            raise ValidationError({names[0]: ["Send an id, a whole number."]})
        if len(names) > 1 or not self.is_by_id:
            raise ValidationError({names[0]: ["Goes with an order by id, and alone: follow the links."]})
        return names[0], position

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def read_page(self, queryset, name: str, position: int | None) -> tuple[list, bool]:
        """The rows of the page, and whether there are more."""
        if name == "after":
            rows = list(rows_beside(queryset, position)[: self.size + 1])
            return rows[: self.size], len(rows) > self.size
        if name == "before":
            rows = list(rows_beside(queryset, position, is_before=True)[: self.size])
            if len(rows) == self.size:
                return rows[::-1], True
            # Rows were deleted since the link was made, so this is the beginning of the list.
            self.number, self.is_at_position = 1, False
        return self.read_far_page(queryset) if self.offset > NEAR or self.is_searched else self.read_near_page(queryset)

    def read_near_page(self, queryset) -> tuple[list, bool]:
        # This reads one row more than the page has, to see whether there is another page. So the last page needs no
        # count.
        rows = list(queryset[self.offset : self.offset + self.size + 1])
        if not rows and self.offset:
            raise NotFound(self.invalid_page_message)
        if len(rows) <= self.size:
            self.count = self.offset + len(rows)
        return rows[: self.size], len(rows) > self.size

    def read_far_page(self, queryset) -> tuple[list, bool]:
        self.count = self.count_rows(queryset)
        left = self.count - self.offset
        if left <= 0 and self.offset:
            raise NotFound(self.invalid_page_message)
        size = min(self.size, left)
        # The rows that are skipped are read from the index alone.
        if self.offset <= left:
            ids = list(queryset.values_list("pk", flat=True)[self.offset : self.offset + size])
        else:
            ids = list(queryset.reverse().values_list("pk", flat=True)[left - size : left])[::-1]
        rows = queryset.model.objects.in_bulk(ids)
        return [rows[pk] for pk in ids if pk in rows], left > size

    def get_next_link(self):
        if not self.has_more:
            return None
        is_near = not self.is_by_id or (not self.is_at_position and self.offset + self.size <= NEAR)
        # A list may have more pages than the largest page number. The links of those pages differ only by their
        # positions.
        return self.link(min(self.number + 1, MAX_PAGE), **({} if is_near else {"after": self.rows[-1].pk}))

    def get_previous_link(self):
        if self.number == 1:
            return None
        is_near = not self.is_by_id or self.offset - self.size <= NEAR or not self.rows
        return self.link(self.number - 1, **({} if is_near else {"before": self.rows[0].pk}))

    def link(self, number: int, **position: int) -> str:
        url = self.request.build_absolute_uri()
        for name in (self.page_query_param, *POSITIONS):
            url = remove_query_param(url, name)
        wanted = position if number == 1 else {self.page_query_param: number, **position}
        for name, value in wanted.items():
            url = replace_query_param(url, name, value)
        return url

    def get_html_context(self):
        return {"previous_url": self.get_previous_link(), "next_url": self.get_next_link()}

    def get_paginated_response(self, data):
        pagination = {"count": self.count, "next": self.get_next_link(), "previous": self.get_previous_link()}
        return answer(self.message, data, pagination=pagination)

    def get_schema_operation_parameters(self, view):
        parameters = super().get_schema_operation_parameters(view)
        highest = {self.page_query_param: MAX_PAGE, self.page_size_query_param: self.max_page_size}
        for parameter in parameters:
            parameter["schema"] |= {"minimum": 1, "maximum": highest[parameter["name"]]}
        schema = {"type": "integer", "minimum": 0, "maximum": MAX_ID}
        return parameters + [
            {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
            for name, description in POSITIONS.items()
        ]

    def get_paginated_response_schema(self, schema):
        link = {"type": ["string", "null"], "format": "uri"}
        pagination = {"count": {"type": "integer"}, "next": link, "previous": link}
        properties = {
            "message": {"type": "string"},
            "data": schema,
            "pagination": {"type": "object", "required": list(pagination), "properties": pagination},
            "error": {"type": "boolean", "const": False},
        }
        return {"type": "object", "required": list(properties), "properties": properties}
