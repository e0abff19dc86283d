import django_filters

from accounts.models import normalise_email
from bookings.enums import BookingStatus
from bookings.models import Booking
from ticks.api.filters import IdFilter, word_filter


class BookingFilters(django_filters.FilterSet):
    eventId = IdFilter(method="filter_event")
    bookingStatus = word_filter(BookingStatus.choices, method="filter_status")

    class Meta:
        model = Booking
        fields: list[str] = []

    def filter_event(self, queryset, name, value):
        return queryset.of_event(value)

    def filter_status(self, queryset, name, value):
        return queryset.with_status(value)


class AdminBookingFilters(BookingFilters):
    email = django_filters.CharFilter(method="filter_email", help_text="The whole address, in any case. Admins only.")

    def filter_email(self, queryset, name, value):
        return queryset.filter(email=normalise_email(value))
