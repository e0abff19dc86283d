from rest_framework import serializers

from accounts.serializers import PasswordField, UsernameField
from bookings.enums import BookingStatus
from ticks.api.fields import LineField, WholeNumberField
from ticks.api.ids import MAX_ID
from ticks.db.fields import MAX_TICKETS

STATUSES = {BookingStatus.COMPLETED: "booked", BookingStatus.WAITLISTED: "waiting"}


class CredentialsSerializer(serializers.Serializer):
    example = {"username": "ada", "password": "nine lovely engines"}

    username = UsernameField()
    password = PasswordField()


class InitializeSerializer(serializers.Serializer):
    example = {"name": "Concert", "totalTickets": 100}

    name = LineField(max_length=200)
    totalTickets = WholeNumberField(source="total_tickets", min_value=1, max_value=MAX_TICKETS)


class SeatSerializer(serializers.Serializer):
    example = {"eventId": 1, "userId": 1}

    eventId = WholeNumberField(source="event_id", min_value=1, max_value=MAX_ID)
    userId = WholeNumberField(source="user_id", min_value=1, max_value=MAX_ID)


class PlainErrorSerializer(serializers.Serializer):
    error = serializers.CharField(help_text="A sentence for a person.")


class PlainMessageSerializer(serializers.Serializer):
    message = serializers.CharField()


class NewUserSerializer(PlainMessageSerializer):
    id = serializers.IntegerField()


class TokenSerializer(serializers.Serializer):
    token = serializers.CharField(help_text="Authorization: Bearer <token>, for 30 minutes.")


class PlainEventSerializer(serializers.Serializer):
    id = serializers.IntegerField()
    name = serializers.CharField()
    totalTickets = serializers.IntegerField(source="total_tickets")
    availableTickets = serializers.IntegerField(source="available_tickets")
    waitingListCount = serializers.IntegerField(source="waitlisted_count")
    version = serializers.IntegerField()


class PlainBookingSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="pk")
    eventId = serializers.IntegerField(source="event_id")
    userId = serializers.IntegerField(source="user_id")
    status = serializers.SerializerMethodField()

    def get_status(self, booking) -> str:
        return STATUSES[booking.status]
