import django_filters
from django import forms

from accounts.models import normalise_email
from bookings.models import Booking
from bookings.statuses import BookingStatus
from ticks.ids import parse_id


class IdFormField(forms.Field):
    def to_python(self, value):
        if not value:
            return None
        identity = parse_id(value)
        if identity is None:
            raise forms.ValidationError("Send an id, a whole number.")
        return identity


class IdFilter(django_filters.Filter):
    field_class = IdFormField


class BookingFilters(django_filters.FilterSet):
    eventId = IdFilter("event_id")
    bookingStatus = django_filters.ChoiceFilter("status", choices=BookingStatus.choices)

    class Meta:
        model = Booking
        fields: list[str] = []


class AdminBookingFilters(BookingFilters):
    email = django_filters.CharFilter(method="filter_email", help_text="The whole address, in any case. Admins only.")

    def filter_email(self, queryset, name, value):
        return queryset.filter(email=normalise_email(value))
