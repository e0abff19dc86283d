from datetime import datetime
from operator import attrgetter
from zoneinfo import ZoneInfo

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from events.models import Event, default_sales_end, default_time_zone
from ticks.api.fields import (
    IdField,
    LineField,
    LinesField,
    MomentField,
    MomentOrDayField,
    RequestSerializer,
    SwitchField,
    TimeZoneField,
    WholeNumberField,
    WordField,
)
from ticks.formatting import iso_milliseconds
from ticks.parsing import MAX_TICKETS, moment_of

POLICIES = Event.WaitlistPolicy.choices


class EventFieldsSerializer(RequestSerializer):
    """The fields that staff may set."""

    name = LineField(max_length=200, label="Name")
    date = MomentOrDayField(label="Date")
    timeZone = TimeZoneField(
        source="time_zone",
        required=False,
        max_length=64,
        label="Time zone",
        help_text="An IANA name. A bare date is that day in this zone, and people are shown times in it.",
    )
    totalTickets = WholeNumberField(
        source="total_tickets", min_value=1, max_value=MAX_TICKETS, label="Tickets in total"
    )
    description = LinesField(required=False, allow_blank=True, max_length=5000)
    venue = LineField(required=False, allow_blank=True, max_length=200)
    salesStart = MomentOrDayField(source="sales_start", required=False, allow_null=True, label="Sales start")
    salesEnd = MomentOrDayField(source="sales_end", required=False, allow_null=True, label="Sales end")
    maxTicketsPerBooking = WholeNumberField(
        source="max_tickets_per_booking",
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_TICKETS,
        label="Most tickets of a booking",
        help_text="Empty or null: no limit.",
    )
    maxTicketsPerPerson = WholeNumberField(
        source="max_tickets_per_person",
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MAX_TICKETS,
        label="Most tickets of a person",
        help_text="Held and waiting, of an account or of a guest's mail address. Empty or null: no limit.",
    )
    # An HTML form cannot leave out a checkbox: it starts with the model's default.
    waitlistEnabled = SwitchField(source="waitlist_enabled", required=False, initial=True, label="Waitlist")
    waitlistPolicy = WordField(
        source="waitlist_policy",
        required=False,
        choices=POLICIES,
        label="Waitlist policy",
        help_text="first_fit: the earliest booking that fits whole. strict: nobody passes the head of the waitlist.",
    )


class EventCreateSerializer(EventFieldsSerializer):
    salesEnd = MomentOrDayField(
        source="sales_end",
        required=False,
        allow_null=True,
        label="Sales end",
        help_text=(
            "If it is not sent, sales end at the event's date (at the end of the day, if only a day is sent), unless "
            "that is past. null: never."
        ),
    )
    # This field is not stored. The count starts as totalTickets and then follows from the bookings.
    availableTickets = WholeNumberField(
        required=False,
        write_only=True,
        label="Available tickets",
        help_text="If sent, it must equal totalTickets.",
    )

    # The browsable API's form starts with this example.
    example = {
        "name": "Concert",
        "date": "2026-12-01T19:30:00Z",
        "timeZone": "Europe/Berlin",
        "totalTickets": 100,
        "venue": "Town hall",
    }

    def validate(self, attrs):
        if attrs.pop("availableTickets", attrs["total_tickets"]) != attrs["total_tickets"]:
            raise ValidationError({"availableTickets": ["Must equal totalTickets, or be left out."]})
        zone = ZoneInfo(attrs.get("time_zone", default_time_zone()))
        # An HTML form cannot leave out a field: it sends an empty text.
        if self.initial_data.get("salesEnd", "") == "":
            attrs.pop("sales_end", None)
            attrs["default_sales_end"] = default_sales_end(attrs["date"], zone)
        return {name: moment_of(value, zone) for name, value in attrs.items()}


class EventChangeSerializer(EventFieldsSerializer):
    example = {"venue": "Town hall"}
    # The counts that follow from bookings cannot be set.
    refused_names = {"availableTickets": "It follows from the bookings; change totalTickets instead."}


# An event as the API answers it. A docstring would be published in the schema.
class EventSerializer(serializers.Serializer):
    example = {
        "id": 1,
        "name": "Concert",
        "date": "2026-12-01T19:30:00.000Z",
        "timeZone": "Europe/Berlin",
        "description": "",
        "venue": "Town hall",
        "totalTickets": 100,
        "availableTickets": 98,
        "waitlistedCount": 0,
        "salesStart": None,
        "salesEnd": "2026-12-01T19:30:00.000Z",
        "maxTicketsPerBooking": None,
        "maxTicketsPerPerson": None,
        "waitlistEnabled": True,
        "waitlistPolicy": "first_fit",
        "salesOpen": True,
        "version": 1,
        "createdBy": 1,
        "createdAt": "2026-11-28T19:00:00.000Z",
        "updatedAt": "2026-11-28T19:00:00.000Z",
    }

    id = IdField()
    name = serializers.CharField()
    date = MomentField(allow_null=True, help_text="null: made by the one-ticket contract.")
    timeZone = serializers.CharField(source="time_zone", help_text="The IANA name of the event's time zone.")
    description = serializers.CharField()
    venue = serializers.CharField()
    totalTickets = serializers.IntegerField(source="total_tickets")
    availableTickets = serializers.IntegerField(source="available_tickets", help_text="Tickets that nobody holds.")
    waitlistedCount = serializers.IntegerField(source="waitlisted_count", help_text="Bookings that wait.")
    salesStart = MomentField(source="sales_start", allow_null=True, help_text="null: on sale at once.")
    salesEnd = MomentField(source="sales_end", allow_null=True, help_text="null: never.")
    maxTicketsPerBooking = serializers.IntegerField(
        source="max_tickets_per_booking", allow_null=True, help_text="null: no limit."
    )
    maxTicketsPerPerson = serializers.IntegerField(
        source="max_tickets_per_person", allow_null=True, help_text="null: no limit."
    )
    waitlistEnabled = serializers.BooleanField(
        source="waitlist_enabled", help_text="Whether a booking that does not fit waits; otherwise it is refused."
    )
    waitlistPolicy = serializers.ChoiceField(source="waitlist_policy", choices=POLICIES)
    salesOpen = serializers.BooleanField(
        source="sales_open", help_text="Whether it can be booked now; it may be sold out all the same."
    )
    version = serializers.IntegerField(help_text="Rises with every edit by staff.")
    createdBy = IdField(source="created_by_id")
    createdAt = MomentField(source="created_at")
    updatedAt = MomentField(source="updated_at")


FIELDS = tuple(EventSerializer().fields.values())
NAMES = tuple(field.field_name for field in FIELDS)
read_values = attrgetter(*(field.source for field in FIELDS))


def event_data(event: Event) -> dict:
    """The same data as `EventSerializer`, at a tenth of its cost, since many clients poll lists of events."""
    return {
        name: iso_milliseconds(value) if isinstance(value, datetime) else value
        for name, value in zip(NAMES, read_values(event), strict=True)
    }
