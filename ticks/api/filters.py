"""Filters, search and ordering of lists that refuse what they do not know."""

import re

import django_filters
from django import forms
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter, SearchFilter

from ticks.parsing import MAX_ID, MAX_SEARCH, parse_id, parse_time_or_day

# Every list has these parameters, beside its own filters.
COMMON = {"page", "pageSize", "search", "ordering"}
# These are known, but people do not type them: positions in the links of pages, and DRF's choice of renderer.
UNLISTED = {"after", "before", "format"}


# A plus sign in an address stands for a space.
PLUS_LOST = re.compile(r":\d\d(?:\.\d+)? \d\d:?\d\d$")


class IdFormField(forms.Field):
    def to_python(self, value):
        identity = parse_id(value) if value else None
        if value and identity is None:
            raise forms.ValidationError("Send an id, a whole number.")
        return identity


class MomentFormField(forms.Field):
    def to_python(self, value):
        try:
            return parse_time_or_day(value) if value else None
        except ValueError as error:
            # django-filter formats the sentence once more, so the percent sign stands twice.
            hint = " In an address, write %%2B for a plus sign." if PLUS_LOST.search(value) else ""
            raise forms.ValidationError(f"{error}{hint}") from error


# An empty filter is no filter, since forms send all filters and leave the unused ones empty. The schema does not have
# this, since each type would be a union with it.
@extend_schema_field({"type": "integer", "format": "int64", "minimum": 0, "maximum": MAX_ID})
class IdFilter(django_filters.Filter):
    field_class = IdFormField


@extend_schema_field({"type": "string", "format": "date-time"})
class MomentFilter(django_filters.Filter):
    """A time, or a day."""

    field_class = MomentFormField


class WordFormField(django_filters.fields.ChoiceField):
    def to_python(self, value):
        # Some languages write a truth value as "True".
        return super().to_python(value).lower()


class WordFilter(django_filters.ChoiceFilter):
    """A filter by one of a few lower-case words."""

    field_class = WordFormField


def word_filter(choices: list[tuple[str, str]], **options) -> WordFilter:
    words = [word for word, _ in choices]
    sentences = {"invalid_choice": f"Send one of these: {', '.join(words)}."}
    schema = {"type": "boolean"} if words == ["true", "false"] else {"type": "string", "enum": words}
    return extend_schema_field(schema)(WordFilter(choices=choices, error_messages=sentences, **options))


class StrictFilters(DjangoFilterBackend):
    """Uses django-filter, but answers 400 to a parameter that the list does not have, instead of the full list."""

    def filter_queryset(self, request, queryset, view):
        known = COMMON | set(view.filterset_class.get_filters())
        unknown = {
            name: [f"There is no such filter; use {', '.join(sorted(known))}."]
            for name in request.query_params
            if name not in known | UNLISTED
        }
        if unknown:
            raise ValidationError(unknown)
        return super().filter_queryset(request, queryset, view)


def fixed_columns(view) -> tuple[str, ...]:
    """Columns that have one value in all rows of the list, so that any order may begin with them."""
    return view.fixed_columns() if hasattr(view, "fixed_columns") else ()


class StrictOrdering(OrderingFilter):
    """Orders by the API's names; `view.ordering_names` maps them to columns. The id breaks ties.

    A view may name columns that have one value in the whole list (`fixed_columns`): the order begins with them.
    """

    def get_ordering(self, request, queryset, view):
        ordering = self.get_wanted_ordering(request, view)
        sign = "-" if ordering[0].startswith("-") else ""
        return [*(sign + column for column in fixed_columns(view)), *ordering]

    def get_wanted_ordering(self, request, view):
        value = request.query_params.get(self.ordering_param)
        if not value:
            return self.get_default_ordering(view)
        names = view.ordering_names
        ordering = []
        for term in value.split(","):
            name = term.strip().removeprefix("-")
            # Each name is used once, since a database sorts by every term, and some take no more than 64.
            if name not in names or len(ordering) == len(names):
                raise ValidationError({"ordering": [f"Order by {', '.join(names)}, with a minus for descending."]})
            ordering.append(("-" if term.strip().startswith("-") else "") + names[name])
        ordering.append("-pk" if ordering[0].startswith("-") else "pk")
        # Columns after the id change nothing in the order, and could keep a database from using an index.
        return ordering[: next(i for i, column in enumerate(ordering, 1) if column.removeprefix("-") == "pk")]

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
    """Searches by `search_rows(rows, text)` of the view, since each list knows what people type to find its rows.

    DRF shows the form for it where the view has `search_fields`.
    """

    def get_search_terms(self, request):
        """The whole text as one term, if there is any."""
        text = request.query_params.get(self.search_param, "")
        if len(text) > MAX_SEARCH or "\0" in text:
            raise ValidationError({"search": [f"Search for at most {MAX_SEARCH} characters, none of them NUL."]})
        return [text] if text.strip() else []

    def filter_queryset(self, request, queryset, view):
        for text in self.get_search_terms(request):
            queryset = view.search_rows(queryset, text)
        return queryset

    def get_schema_operation_parameters(self, view):
        [parameter] = super().get_schema_operation_parameters(view)
        parameter["description"] = "Words to look for, whatever their case and accents; each of them must be found."
        parameter["schema"] |= {"maxLength": MAX_SEARCH, "pattern": r"^[^\x00]*$"}
        return [parameter]
