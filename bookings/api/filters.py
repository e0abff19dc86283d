import django_filters
from django import forms
from django.core.validators import EMPTY_VALUES
from drf_spectacular.utils import extend_schema_field

from accounts.models import normalise_email
from bookings.enums import BookingStatus
from bookings.models import Booking
from ticks.api.filters import given
from ticks.parsing import MAX_ID, parse_id


class IdFormField(forms.Field):
    def to_python(self, value):
        if not value:
            return None
        identity = parse_id(value)
        if identity is None:
            raise forms.ValidationError("Send an id, a whole number.")
        return identity


class Among:
    """Rows with this value or with one that no row has: two, where one would do.

    MariaDB looks up one value in an index, and then skips row after row to a position in it (`ticks.api.pagination`).
    Of two it reads ranges, which begin at the position, if the order begins with the column (`fixed_columns`).
    """

    NO_ROWS_VALUE: int | str

    def filter(self, queryset, value):
        if value in EMPTY_VALUES:
            return queryset
        return queryset.filter(**{f"{self.field_name}__in": [value, self.NO_ROWS_VALUE]})


@extend_schema_field(given({"type": "integer", "minimum": 0, "maximum": MAX_ID}))
class IdFilter(Among, django_filters.Filter):
    field_class = IdFormField
    NO_ROWS_VALUE = -1


@extend_schema_field(given({"enum": BookingStatus.values}))
class StatusFilter(Among, django_filters.ChoiceFilter):
    NO_ROWS_VALUE = ""


class BookingFilters(django_filters.FilterSet):
    eventId = IdFilter("event_id")
    bookingStatus = StatusFilter("status", choices=BookingStatus.choices)

    class Meta:
        model = Booking
        fields: list[str] = []


def fixed_by(params) -> tuple[str, ...]:
    """The columns of which these filters leave one value."""
    columns = {"eventId": "event_id", "bookingStatus": "status"}
    return tuple(column for name, column in columns.items() if params.get(name))


def asked_of_all(params) -> tuple[int | None, str | None] | None:
    """The event and the status that a list of everybody's bookings is limited to; None where by more."""
    if any(params.get(name, "").strip() for name in ("search", "email")):
        return None
    return parse_id(params.get("eventId", "")), params.get("bookingStatus") or None


class AdminBookingFilters(BookingFilters):
    email = django_filters.CharFilter(method="filter_email", help_text="The whole address, in any case. Admins only.")

    def filter_email(self, queryset, name, value):
        return queryset.filter(email=normalise_email(value))
