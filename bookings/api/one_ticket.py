"""The one-ticket contract, `/api/users` and `/api/events`: plain JSON, one ticket for one account.

A thin layer over the same services. Removing this module and its line in `ticks/urls.py` removes the contract. After
that these have no use: `Booking.one_ticket_holder`, `BookingRequest.is_only_one` with `AlreadyBooked`, `cancel_seat`,
the plain shapes in `ticks.api.errors`, `ticks.api.views` and `ticks.api.schema`, and the rule that an event may have no
date."""

from django.urls import re_path
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from accounts.exceptions import EmailNotVerified, UsernameTaken, WrongCredentials
from accounts.models import User
from accounts.permissions import IsAdmin
from accounts.serializers import PasswordField, UsernameField
from accounts.views import LoginMixin
from bookings.enums import BookingStatus
from bookings.exceptions import (
    KEY_REFUSALS,
    AlreadyBooked,
    BookingNotFound,
    SalesClosed,
    SalesNotOpen,
    SoldOut,
)
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_seat
from bookings.services.events import open_event
from bookings.services.idempotency import once
from events.exceptions import EventNotFound
from events.models import Event
from ticks.api.fields import IdField, LineField, RequestSerializer, WholeNumberField
from ticks.api.idempotency import replay_headers
from ticks.api.schema import ID, LOCATION, PUBLIC_WRITE, SOME_TIME, WITH_LOGIN, WRITE, describes, key_headers
from ticks.api.views import UnknownRoute, ViewSet
from ticks.exceptions import Refusal
from ticks.languages import language_of_header
from ticks.parsing import MAX_ID, MAX_TICKETS, find

PLAIN_STATUSES = {BookingStatus.COMPLETED: "booked", BookingStatus.WAITLISTED: "waiting"}


class UserNotFound(Refusal):
    status = 404
    code = "user_not_found"
    message = "There is no such user."


class CredentialsSerializer(RequestSerializer):
    example = {"username": "ada", "password": "nine lovely engines"}

    username = UsernameField()
    password = PasswordField()


class InitializeSerializer(RequestSerializer):
    example = {"name": "Concert", "totalTickets": 100}

    name = LineField(max_length=200)
    totalTickets = WholeNumberField(source="total_tickets", min_value=1, max_value=MAX_TICKETS)


class SeatSerializer(RequestSerializer):
    example = {"eventId": 1, "userId": 1}

    eventId = WholeNumberField(source="event_id", min_value=1, max_value=MAX_ID)
    userId = WholeNumberField(source="user_id", min_value=1, max_value=MAX_ID)


class PlainErrorSerializer(serializers.Serializer):
    error = serializers.CharField(help_text="A sentence for a person.")


class PlainMessageSerializer(serializers.Serializer):
    example = {"message": "Booking cancelled, next in line assigned if applicable"}

    message = serializers.CharField()


class NewUserSerializer(PlainMessageSerializer):
    example = {"message": "User created successfully", "id": 1}

    id = IdField()


class TokenSerializer(serializers.Serializer):
    example = {"token": "eyJhbGciOi..."}

    token = serializers.CharField(help_text="Authorization: Bearer <token>, for 30 minutes.")


class PlainEventSerializer(serializers.Serializer):
    example = {
        "id": 1,
        "name": "Concert",
        "totalTickets": 100,
        "availableTickets": 98,
        "waitingListCount": 0,
        "version": 1,
    }

    id = IdField()
    name = serializers.CharField()
    totalTickets = serializers.IntegerField(source="total_tickets")
    availableTickets = serializers.IntegerField(source="available_tickets")
    waitingListCount = serializers.IntegerField(source="waitlisted_count")
    version = serializers.IntegerField()


class PlainBookingSerializer(serializers.Serializer):
    example = {"id": 61, "eventId": 1, "userId": 1, "status": "booked"}

    id = IdField(source="pk")
    eventId = IdField(source="event_id")
    userId = IdField(source="user_id")
    status = serializers.SerializerMethodField()

    @extend_schema_field({"type": "string", "enum": list(PLAIN_STATUSES.values())})
    def get_status(self, booking):
        return PLAIN_STATUSES[booking.status]


WAITING_RESPONSE = OpenApiResponse(
    PlainBookingSerializer,
    description="No ticket is left; the user waits for one.",
    examples=[OpenApiExample("example", value={**PlainBookingSerializer.example, "status": "waiting"})],
)


def describes_plainly(operation, summary, **kwargs):
    return describes(f"one_ticket_{operation}", summary, error_body=PlainErrorSerializer, **kwargs)


class OneTicketViewSet(ViewSet):
    failure_body = staticmethod(lambda failure: {"error": failure.message})
    tag = "One-ticket contract"


class UserViewSet(LoginMixin, OneTicketViewSet):
    """Accounts without a mail address."""

    serializer_class = CredentialsSerializer

    @describes_plainly(
        "register",
        "Register",
        request=CredentialsSerializer,
        success={201: NewUserSerializer},
        errors=[*PUBLIC_WRITE, UsernameTaken],
    )
    @action(detail=False, methods=["post"])
    def register(self, request):
        user = self.register_account(request)
        return Response({"message": "User created successfully", "id": user.pk}, status=201)

    @describes_plainly(
        "log_in",
        "Log in",
        request=CredentialsSerializer,
        success={200: TokenSerializer},
        errors=[*PUBLIC_WRITE, WrongCredentials, EmailNotVerified],
    )
    @action(detail=False, methods=["post"])
    def login(self, request):
        return Response({"token": self.log_in(request)["token"]})


class PlainEventViewSet(OneTicketViewSet):
    """One ticket of an event for one account."""

    queryset = Event.objects.standing()
    permission_classes = [IsAuthenticated]
    serializer_class = SeatSerializer
    keyed_actions = ("initialize", "book", "cancel")

    @describes_plainly(
        "get_event",
        "Read an event",
        success={200: PlainEventSerializer},
        errors=[*WITH_LOGIN, EventNotFound],
        parameters=[ID],
    )
    def retrieve(self, request, pk):
        event = find(self.get_queryset(), pk)
        if event is None:
            raise EventNotFound
        return Response(PlainEventSerializer(event).data)

    @describes_plainly(
        "create_event",
        "Create an event",
        request=InitializeSerializer,
        success={201: PlainEventSerializer},
        errors=[*WITH_LOGIN, *WRITE, *KEY_REFUSALS],
        parameters=[LOCATION, *key_headers(201)],
    )
    @action(detail=False, methods=["post"], permission_classes=[IsAdmin], serializer_class=InitializeSerializer)
    def initialize(self, request):
        receipt = once("create event", open_event, self.valid_fields(), actor=request.user, key=self.sent_key())
        headers = {"Location": f"/api/events/{receipt.event.pk}", **replay_headers(receipt.is_replayed)}
        return Response(PlainEventSerializer(receipt.event).data, status=201, headers=headers)

    @describes_plainly(
        "book",
        "Book the user's ticket, or wait for one",
        request=SeatSerializer,
        success={201: PlainBookingSerializer, 200: WAITING_RESPONSE},
        errors=[
            *(*WITH_LOGIN, *WRITE, EventNotFound, UserNotFound),
            *(AlreadyBooked, SoldOut, SalesNotOpen(SOME_TIME), SalesClosed, *KEY_REFUSALS),
        ],
        parameters=[LOCATION, *key_headers(201, 200)],
    )
    @action(detail=False, methods=["post"])
    def book(self, request):
        event_id, user = self.seat()
        header = request.headers.get("Accept-Language", "") if user == request.user else ""
        receipt = book_tickets(
            BookingRequest(
                event_id=event_id,
                tickets=1,
                first_name=user.first_name or user.username,
                last_name=user.last_name,
                email=user.email or "",
                user=user,
                actor=request.user,
                language=language_of_header(header),
                is_only_one=True,
            ),
            key=self.sent_key(),
        )
        booking, headers = receipt.booking, replay_headers(receipt.is_replayed)
        if booking.status != BookingStatus.COMPLETED:
            return Response(PlainBookingSerializer(booking).data, headers=headers)
        # This contract has no address of a booking, but the other has, and it shows the booking to its user.
        headers["Location"] = f"/api/v1/booking/{booking.pk}"
        return Response(PlainBookingSerializer(booking).data, status=201, headers=headers)

    @describes_plainly(
        "cancel",
        "Cancel the user's booking",
        request=SeatSerializer,
        success={200: PlainMessageSerializer},
        errors=[*WITH_LOGIN, *WRITE, EventNotFound, BookingNotFound, UserNotFound, *KEY_REFUSALS],
        parameters=key_headers(200),
    )
    @action(detail=False, methods=["post"])
    def cancel(self, request):
        event_id, user = self.seat()
        cancelled = cancel_seat(event_id, user=user, actor=request.user, key=self.sent_key())
        headers = replay_headers(cancelled.is_replayed)
        return Response({"message": "Booking cancelled, next in line assigned if applicable"}, headers=headers)

    def seat(self) -> tuple[int, User]:
        """The event's id and the user that the request names: the caller, or for an admin anybody."""
        fields, caller = self.valid_fields(), self.request.user
        if fields["user_id"] == caller.pk:
            return fields["event_id"], caller
        if not caller.is_staff:
            raise PermissionDenied("userId must be your own.")
        user = User.objects.filter(pk=fields["user_id"]).first()
        if user is None:
            raise UserNotFound
        return fields["event_id"], user


router = SimpleRouter(trailing_slash=False)
router.register("events", PlainEventViewSet, basename="one-ticket-event")
router.register("users", UserViewSet, basename="one-ticket-user")

urlpatterns = [
    *router.urls,
    re_path("^(?:events|users)(?:/|$)", UnknownRoute.as_view(failure_body=OneTicketViewSet.failure_body)),
]
