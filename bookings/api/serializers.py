import re
import unicodedata

from rest_framework import serializers

from accounts.serializers import EmailField
from bookings.enums import BookingStatus, LedgerKind
from bookings.services.changes import MOST_ENTRIES
from ticks.api.fields import (
    IdField,
    LanguageField,
    LineField,
    MomentField,
    RequestSerializer,
    StringField,
    WholeNumberField,
)
from ticks.formatting import iso_milliseconds
from ticks.parsing import MAX_ID, MAX_TICKETS

# How many changes an answer has where nobody asks for more or fewer.
DEFAULT_LIMIT = 100
# Proxies wait longer than this for an answer, so the wait ends by itself.
MOST_WAIT_SECONDS = 25
# The cursor of the end of the feed.
NOW = "now"


class BookingCreateSerializer(RequestSerializer):
    eventId = WholeNumberField(source="event_id", min_value=1, max_value=MAX_ID, label="Event's id")
    firstName = LineField(source="first_name", max_length=100, label="First name")
    lastName = LineField(source="last_name", max_length=100, allow_blank=True, label="Last name")
    email = EmailField(label="Email")
    ticketsReserved = WholeNumberField(source="tickets", min_value=1, max_value=MAX_TICKETS, label="Tickets")

    # The browsable API's form starts with this example.
    example = {
        "eventId": 1,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.org",
        "ticketsReserved": 2,
    }


class CancellationSerializer(RequestSerializer):
    example = {"ticketsToCancel": 1}

    bookingId = WholeNumberField(
        required=False, min_value=1, max_value=MAX_ID, help_text="If it is sent, it must be the id in the path."
    )
    ticketsToCancel = WholeNumberField(
        source="tickets",
        required=False,
        min_value=1,
        max_value=MAX_TICKETS,
        help_text="If it is not sent, all tickets are cancelled.",
    )


class BookingSerializer(serializers.Serializer):
    example = {
        "id": 61,
        "reference": "4JYMC-YKT94T",
        "eventId": 1,
        "userId": None,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.org",
        "language": "en",
        "ticketsReserved": 2,
        "bookingStatus": "completed",
        "waitlistPosition": None,
        "createdAt": "2026-11-28T19:01:33.837Z",
        "updatedAt": "2026-11-28T19:01:33.837Z",
    }

    id = IdField(source="pk")
    reference = serializers.CharField()
    eventId = IdField(source="event_id")
    userId = IdField(source="user_id", allow_null=True)
    firstName = serializers.CharField(source="first_name")
    lastName = serializers.CharField(source="last_name")
    email = serializers.CharField(help_text="Empty if the booking has none.")
    language = LanguageField(
        help_text=(
            "What the request that booked asked for in `Accept-Language`. The mails and tickets of the booking are in "
            "its account's language, if it has one; otherwise in this one; otherwise in the installation's."
        )
    )
    ticketsReserved = serializers.IntegerField(source="tickets_reserved")
    bookingStatus = serializers.ChoiceField(source="status", choices=BookingStatus.choices)
    waitlistPosition = serializers.IntegerField(
        source="waitlist_position",
        allow_null=True,
        help_text="The place in the waitlist, from 1; null if it does not wait.",
    )
    createdAt = MomentField(source="created_at")
    updatedAt = MomentField(source="updated_at")


# The serializer is shared, because building one for each request costs ten times as much as using it.
BOOKING_CREATE = BookingCreateSerializer()
CANCELLATION = CancellationSerializer()
BOOKING_FIELDS = frozenset(BOOKING_CREATE.fields)
# These patterns match most names and addresses, and only those that the serializer accepts and leaves unchanged if the
# names are in NFC. Four letters of Hangul are left out, since they are invisible.
PLAIN_NAME = re.compile(r"(?=[^\u115f\u1160\u3164\uffa0]{1,100}\Z)[\w.'-]+(?: [\w.'-]+)*")
PLAIN_EMAIL = re.compile(
    r"(?=.{1,254}\Z)[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}"
)


def validated_booking(body) -> dict:
    """The fields of `BookingCreateSerializer`. Raises `ValidationError`.

    The bodies that most clients send are recognised without the serializer, at a tenth of its cost.
    """
    if type(body) is not dict or body.keys() != BOOKING_FIELDS:
        return BOOKING_CREATE.run_validation(body)
    event, tickets = body["eventId"], body["ticketsReserved"]
    first, last, email = body["firstName"], body["lastName"], body["email"]
    is_plain = (
        type(event) is type(tickets) is int
        and 1 <= event <= MAX_ID
        and 1 <= tickets <= MAX_TICKETS
        and type(first) is type(last) is type(email) is str
        and PLAIN_NAME.fullmatch(first)
        and (not last or PLAIN_NAME.fullmatch(last))
        and PLAIN_EMAIL.fullmatch(email)
        and unicodedata.is_normalized("NFC", first + last)
    )
    if not is_plain:
        return BOOKING_CREATE.run_validation(body)
    return {"event_id": event, "first_name": first, "last_name": last, "email": email, "tickets": tickets}


def booking_data(booking) -> dict:
    """The same data as `BookingSerializer`, at a tenth of its cost, since every booking's answer contains it."""
    created = iso_milliseconds(booking.created_at)
    return {
        "id": booking.id,
        "reference": booking.reference,
        "eventId": booking.event_id,
        "userId": booking.user_id,
        "firstName": booking.first_name,
        "lastName": booking.last_name,
        "email": booking.email,
        "language": booking.language or None,
        "ticketsReserved": booking.tickets_reserved,
        "bookingStatus": str(booking.status),
        "waitlistPosition": booking.waitlist_position,
        "createdAt": created,
        "updatedAt": created if booking.updated_at is booking.created_at else iso_milliseconds(booking.updated_at),
    }


class NewBookingSerializer(BookingSerializer):
    example = {**BookingSerializer.example, "bookingToken": "k8Z0vqW3mQ1sXo7c2nYb5tLr9eUa4dHjGfKpIzTxVwE"}

    bookingToken = serializers.CharField(
        required=False, help_text="Guests only, shown once: the key to the booking (header Booking-Token)."
    )


class EventStatusSerializer(serializers.Serializer):
    example = {"availableTickets": 98, "waitlistedCount": 0}

    availableTickets = serializers.IntegerField()
    waitlistedCount = serializers.IntegerField()


class ChangeSerializer(serializers.Serializer):
    example = {
        "eventId": 1,
        "sequence": 2,
        "kind": "booked",
        "tickets": 2,
        "availableAfter": 98,
        "waitlistedAfter": 0,
        "bookingId": 61,
        "actorId": None,
        "note": "",
        "createdAt": "2026-11-28T19:01:33.837Z",
    }

    eventId = IdField(source="event_id")
    sequence = IdField(help_text="1, 2, 3 ... for each event, without gaps.")
    kind = serializers.ChoiceField(choices=LedgerKind.choices)
    tickets = serializers.IntegerField(
        help_text="How many tickets it speaks of: the total when opened, the difference when the capacity changed."
    )
    availableAfter = serializers.IntegerField(source="available_after")
    waitlistedAfter = serializers.IntegerField(source="waitlisted_after", help_text="Waiting bookings.")
    bookingId = IdField(source="booking_id", allow_null=True, help_text="null for what concerns the event itself.")
    actorId = IdField(source="actor_id", allow_null=True, help_text="The account that did it; null for a guest.")
    note = serializers.CharField(help_text="Why, or what was edited; may be empty.")
    createdAt = MomentField(source="created_at")


class ChangesPageSerializer(RequestSerializer):
    limit = WholeNumberField(
        default=DEFAULT_LIMIT, min_value=1, max_value=MOST_ENTRIES, help_text="How many entries the answer may have."
    )


class EventChangesQuerySerializer(ChangesPageSerializer):
    after = WholeNumberField(
        default=0, min_value=0, max_value=MAX_ID, help_text="The sequence of the last entry that you have."
    )
    wait = WholeNumberField(
        default=0,
        min_value=0,
        max_value=MOST_WAIT_SECONDS,
        help_text="For so many seconds at most the answer waits until there is an entry.",
    )


class ChangesQuerySerializer(ChangesPageSerializer):
    cursor = StringField(
        required=False,
        max_length=40,
        help_text=f"The `nextCursor` of the last answer, or `{NOW}`. Without it the feed begins at its first entry.",
    )
