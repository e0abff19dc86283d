"""Filters, search and ordering of lists that refuse what they do not know."""

from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter, SearchFilter

# Parameters of every list, beside its own filters: pages, and DRF's choice of renderer.
COMMON = {"page", "pageSize", "search", "ordering", "format"}
# Every word is a condition on every searched column.
MAX_SEARCH = 200


def given(schema: dict) -> dict:
    """A filter's schema: forms send every filter, those that are not meant empty."""
    return {"anyOf": [schema, {"const": ""}]}


class StrictFilters(DjangoFilterBackend):
    """django-filter, but a parameter that the list does not have is a 400, not a full list."""

    def filter_queryset(self, request, queryset, view):
        known = COMMON | set(view.filterset_class.get_filters())
        unknown = {
            name: [f"There is no such filter; use {', '.join(sorted(known - {'format'}))}."]
            for name in request.query_params
            if name not in known
        }
        if unknown:
            raise ValidationError(unknown)
        return super().filter_queryset(request, queryset, view)


class StrictOrdering(OrderingFilter):
    """Orders by the API's names; `view.ordering_names` maps them to columns. The id breaks ties."""

    def get_ordering(self, request, queryset, view):
        given = request.query_params.get(self.ordering_param)
        if not given:
            return self.get_default_ordering(view)
        names = view.ordering_names
        ordering = []
        for term in given.split(","):
            name = term.strip().removeprefix("-")
            # Each once: a database sorts by every term that it is given, and some end at 64.
            if name not in names or len(ordering) == len(names):
                raise ValidationError({"ordering": [f"Order by {', '.join(names)}, with a minus for descending."]})
            ordering.append(("-" if term.strip().startswith("-") else "") + names[name])
        return [*ordering, "-pk" if ordering[0].startswith("-") else "pk"]

    def get_schema_operation_parameters(self, view):
        both = [sign + name for name in view.ordering_names for sign in ("", "-")]
        term = f" *-?({'|'.join(view.ordering_names)}) *"
        return [
            {
                "name": "ordering",
                "in": "query",
                "required": False,
                "description": f"Order by one or several of {', '.join(both)}, separated by commas.",
                "schema": {"type": "string", "pattern": f"^({term}(,{term})*)?$"},
            }
        ]


class Search(SearchFilter):
    def get_search_terms(self, request):
        wanted = request.query_params.get(self.search_param, "")
        if len(wanted) > MAX_SEARCH or "\0" in wanted:
            raise ValidationError({"search": [f"Search for at most {MAX_SEARCH} characters, none of them NUL."]})
        return super().get_search_terms(request)

    def get_schema_operation_parameters(self, view):
        [parameter] = super().get_schema_operation_parameters(view)
        parameter["schema"] |= {"maxLength": MAX_SEARCH, "pattern": r"^[^\x00]*$"}
        return [parameter]

    def get_search_fields(self, view, request):
        return view.search_fields
