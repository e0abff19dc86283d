import django_filters
from django import forms
from django.core.exceptions import ValidationError
from drf_spectacular.utils import extend_schema_field

from events.models import Event
from ticks.api.filters import given
from ticks.parsing import parse_time


class MomentFormField(forms.Field):
    """Takes the same spellings as a body."""

    def to_python(self, value):
        if not value:
            return None
        try:
            return parse_time(value)
        except ValueError as error:
            raise ValidationError(str(error)) from error


@extend_schema_field(given({"type": "string", "anyOf": [{"format": "date-time"}, {"format": "date"}]}))
class MomentFilter(django_filters.Filter):
    field_class = MomentFormField


class EventFilters(django_filters.FilterSet):
    dateFrom = MomentFilter("date", "gte", help_text="At this time or later.")
    dateTo = MomentFilter("date", "lte", help_text="At this time or earlier; a bare date is its midnight.")
    available = extend_schema_field(given({"enum": ["true", "false"]}))(
        django_filters.ChoiceFilter(
            choices=[("true", "Has tickets left"), ("false", "Sold out")],
            method="filter_available",
            help_text="true: has tickets left; false: sold out.",
        )
    )

    class Meta:
        model = Event
        fields: list[str] = []

    def filter_available(self, queryset, name, value):
        return queryset.available() if value == "true" else queryset.sold_out()
