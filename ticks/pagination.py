from rest_framework.exceptions import ValidationError
from rest_framework.pagination import PageNumberPagination

from ticks.envelope import answer

MAX_PAGE = 1_000_000


class Pages(PageNumberPagination):
    """Pages of a list: `?page=` from 1, `?pageSize=` (default 50, at most 100)."""

    page_size = 50
    max_page_size = 100
    page_size_query_param = "pageSize"

    def paginate_queryset(self, queryset, request, view=None):
        self.message = view.list_message
        self.whole(request, self.page_query_param, high=MAX_PAGE)
        return super().paginate_queryset(queryset, request, view)

    def get_page_size(self, request):
        return self.whole(request, self.page_size_query_param, high=self.max_page_size) or self.page_size

    def whole(self, request, name: str, *, high: int) -> int | None:
        given = request.query_params.get(name)
        if given is None:
            return None
        if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= high):
            raise ValidationError({name: [f"Send a whole number from 1 to {high}."]})
        return int(given)

    def get_paginated_response(self, data):
        pagination = {
            "count": self.page.paginator.count,
            "next": self.get_next_link(),
            "previous": self.get_previous_link(),
        }
        return answer(self.message, data, pagination=pagination)

    def get_schema_operation_parameters(self, view):
        parameters = super().get_schema_operation_parameters(view)
        highest = {self.page_query_param: MAX_PAGE, self.page_size_query_param: self.max_page_size}
        for parameter in parameters:
            parameter["schema"] |= {"minimum": 1, "maximum": highest[parameter["name"]]}
        return parameters

    def get_paginated_response_schema(self, schema):
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["message", "data", "pagination", "error"],
            "properties": {
                "message": {"type": "string"},
                "data": schema,
                "pagination": {
                    "type": "object",
                    "required": ["count", "next", "previous"],
                    "properties": {"count": {"type": "integer"}, "next": link, "previous": link},
                },
                "error": {"type": "boolean", "const": False},
            },
        }
