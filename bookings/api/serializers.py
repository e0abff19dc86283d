import re

from rest_framework import serializers

from accounts.serializers import EmailField
from bookings.enums import BookingStatus
from ticks.api.fields import LineField, MomentField, WholeNumberField
from ticks.api.ids import MAX_ID
from ticks.db.fields import MAX_TICKETS
from ticks.moments import iso_milliseconds


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
CANCELLATION = CancellationSerializer()
BOOKING_FIELDS = frozenset(BOOKING_CREATE.fields)
# Most names and addresses, of those that the serializer takes and leaves as they are. In the least doubt, it looks.
PLAIN_NAME = re.compile(r"(?=.{1,100}\Z)[\w.'-]+(?: [\w.'-]+)*")
PLAIN_EMAIL = re.compile(
    r"(?=.{1,254}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)


def wanted_booking(given) -> dict:
    """What `BookingCreateSerializer` makes of a body. Raises `ValidationError`."""
    plain = plain_booking(given)
    return BOOKING_CREATE.run_validation(given) if plain is None else plain


def plain_booking(given) -> dict | None:
    """The same for the bodies that most clients send, at a tenth of the cost; None: the serializer's to judge."""
    if type(given) is not dict or given.keys() != BOOKING_FIELDS:
        return None
    event, tickets = given["eventId"], given["ticketsReserved"]
    first, last, email = given["firstName"], given["lastName"], given["email"]
    is_plain = (
        type(event) is type(tickets) is int
        and 1 <= event <= MAX_ID
        and 1 <= tickets <= MAX_TICKETS
        and type(first) is type(last) is type(email) is str
        and PLAIN_NAME.fullmatch(first)
        and PLAIN_NAME.fullmatch(last)
        and PLAIN_EMAIL.fullmatch(email)
    )
    if not is_plain:
        return None
    return {"event_id": event, "first_name": first, "last_name": last, "email": email, "tickets": tickets}


def booking_data(booking) -> dict:
    """What `BookingSerializer` gives, at a tenth of its cost: it is in every booking's answer."""
    created = iso_milliseconds(booking.created_at)
    return {
        "id": booking.id,
        "reference": booking.reference,
        "eventId": booking.event_id,
        "userId": booking.user_id,
        "firstName": booking.first_name,
        "lastName": booking.last_name,
        "email": booking.email,
        "ticketsReserved": booking.tickets_reserved,
        "bookingStatus": str(booking.status),
        "waitlistPosition": booking.waitlist_position,
        "createdAt": created,
        "updatedAt": created if booking.updated_at is booking.created_at else iso_milliseconds(booking.updated_at),
    }


class ReceiptSerializer(BookingSerializer):
    bookingToken = serializers.CharField(
        required=False, help_text="Guests only, shown once: the key to the booking (header Booking-Token)."
    )


class EventStatusSerializer(serializers.Serializer):
    availableTickets = serializers.IntegerField()
    waitlistedCount = serializers.IntegerField()
