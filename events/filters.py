import django_filters

from events.models import Event
from ticks.api.filters import MomentFilter, word_filter


class EventFilters(django_filters.FilterSet):
    dateFrom = MomentFilter("date", "gte", help_text="At this time or later.")
    dateTo = MomentFilter("date", "lte", help_text="At this time or earlier; a bare date is its midnight.")
    available = word_filter(
        [("true", "Has tickets left"), ("false", "Sold out")],
        method="filter_available",
        help_text="true: has tickets left; false: sold out.",
    )

    class Meta:
        model = Event
        fields: list[str] = []

    def filter_available(self, queryset, name, value):
        return queryset.available() if value == "true" else queryset.sold_out()
