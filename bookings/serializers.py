from rest_framework import serializers

from accounts.serializers import EmailField
from bookings.statuses import BookingStatus
from ticks.columns import MAX_TICKETS
from ticks.fields import LineField, MomentField, WholeNumberField
from ticks.ids import MAX_ID


class BookingCreateSerializer(serializers.Serializer):
    eventId = WholeNumberField(source="event_id", min_value=1, max_value=MAX_ID, label="Event's id")
    firstName = LineField(source="first_name", max_length=100, label="First name")
    lastName = LineField(source="last_name", max_length=100, label="Last name")
    email = EmailField(label="Email")
    ticketsReserved = WholeNumberField(source="tickets", min_value=1, max_value=MAX_TICKETS, label="Tickets")

    # What the browsable API starts from.
    example = {
        "eventId": 1,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.org",
        "ticketsReserved": 2,
    }


class CancellationSerializer(serializers.Serializer):
    example = {"ticketsToCancel": 1}

    bookingId = WholeNumberField(required=False, min_value=1, max_value=MAX_ID, help_text="If sent, the URL's.")
    ticketsToCancel = WholeNumberField(
        source="tickets", required=False, min_value=1, max_value=MAX_TICKETS, help_text="Left out: all."
    )


class BookingSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk")
    reference = serializers.CharField()
    eventId = serializers.IntegerField(source="event_id")
    userId = serializers.IntegerField(source="user_id", allow_null=True)
    firstName = serializers.CharField(source="first_name")
    lastName = serializers.CharField(source="last_name")
    email = serializers.EmailField()
    ticketsReserved = serializers.IntegerField(source="tickets_reserved")
    bookingStatus = serializers.ChoiceField(source="status", choices=BookingStatus.choices)
    waitlistPosition = serializers.IntegerField(source="waitlist_position", allow_null=True, help_text="From 1.")
    createdAt = MomentField(source="created_at")
    updatedAt = MomentField(source="updated_at")


# Shared: to build a serializer for each request costs ten times what using it does.
BOOKING_CREATE = BookingCreateSerializer()
BOOKING = BookingSerializer()


def booking_data(booking) -> dict:
    return BOOKING.to_representation(booking)


class ReceiptSerializer(BookingSerializer):
    bookingToken = serializers.CharField(
        required=False, help_text="Guests only, shown once: the key to the booking (header Booking-Token)."
    )


class EventStatusSerializer(serializers.Serializer):
    availableTickets = serializers.IntegerField()
    waitlistedCount = serializers.IntegerField()
