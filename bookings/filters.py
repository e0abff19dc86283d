import django_filters
from django import forms
from drf_spectacular.utils import extend_schema_field

from accounts.models import normalise_email
from bookings.models import Booking
from bookings.statuses import BookingStatus
from ticks.filtering import given
from ticks.ids import MAX_ID, parse_id


class IdFormField(forms.Field):
    def to_python(self, value):
        if not value:
            return None
        identity = parse_id(value)
        if identity is None:
            raise forms.ValidationError("Send an id, a whole number.")
        return identity


@extend_schema_field(given({"type": "integer", "minimum": 0, "maximum": MAX_ID}))
class IdFilter(django_filters.Filter):
    field_class = IdFormField


class BookingFilters(django_filters.FilterSet):
    eventId = IdFilter("event_id")
    bookingStatus = extend_schema_field(given({"enum": BookingStatus.values}))(
        django_filters.ChoiceFilter("status", choices=BookingStatus.choices)
    )

    class Meta:
        model = Booking
        fields: list[str] = []


class AdminBookingFilters(BookingFilters):
    email = django_filters.CharFilter(method="filter_email", help_text="The whole address, in any case. Admins only.")

    def filter_email(self, queryset, name, value):
        return queryset.filter(email=normalise_email(value))
