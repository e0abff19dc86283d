from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts import throttles, tokens
from accounts.authentication import BearerAuthentication
from accounts.models import User
from accounts.permissions import IsAdmin
from accounts.services import register_user
from accounts.views import PasswordLoginMixin
from bookings.api.one_ticket.serializers import (
    CredentialsSerializer,
    InitializeSerializer,
    NewUserSerializer,
    PlainBookingSerializer,
    PlainErrorSerializer,
    PlainEventSerializer,
    PlainMessageSerializer,
    SeatSerializer,
    TokenSerializer,
)
from bookings.enums import BookingStatus
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_seat
from bookings.services.events import open_event
from events.exceptions import EventNotFound
from events.models import Event
from ticks.api.errors import Failure
from ticks.api.ids import find
from ticks.api.schema import describes
from ticks.exceptions import Refusal

CANCELLED = "Booking cancelled, next in line assigned if applicable"


class UserNotFound(Refusal):
    status = 404
    code = "user_not_found"
    message = "There is no such user."


def plain(said: Failure) -> dict:
    return {"error": said.message}


def describes_plainly(summary, **kwargs):
    return describes(summary, wrap=False, error_body=PlainErrorSerializer, **kwargs)


class OneTicketViewSet(GenericViewSet):
    pagination_class = None
    failure_body = staticmethod(plain)
    tag = "One-ticket contract"

    def valid_fields(self) -> dict:
        serializer = self.get_serializer(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data


class UserViewSet(PasswordLoginMixin, OneTicketViewSet):
    """Accounts without a mail address."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    serializer_class = CredentialsSerializer

    def get_authenticate_header(self, request):
        return BearerAuthentication().authenticate_header(request)

    @describes_plainly("Register", request=CredentialsSerializer, success={201: NewUserSerializer}, errors=[400, 409])
    @action(detail=False, methods=["post"], throttle_classes=throttles.REGISTER)
    def register(self, request):
        user = register_user(**self.valid_fields())
        return Response({"message": "User created successfully", "id": user.pk}, status=201)

    @describes_plainly("Log in", request=CredentialsSerializer, success={200: TokenSerializer}, errors=[400, 401])
    @action(detail=False, methods=["post"], throttle_classes=throttles.LOGIN)
    def login(self, request):
        user = self.check_login(**self.valid_fields())
        return Response({"token": tokens.log_in(user)["token"]})


class PlainEventViewSet(OneTicketViewSet):
    """One ticket of an event for one account."""

    queryset = Event.objects.standing()
    permission_classes = [IsAuthenticated]
    serializer_class = SeatSerializer

    @describes_plainly("Read an event", success={200: PlainEventSerializer}, errors=[401, 404])
    def retrieve(self, request, pk):
        event = find(self.get_queryset(), pk)
        if event is None:
            raise EventNotFound
        return Response(PlainEventSerializer(event).data)

    @describes_plainly(
        "Create an event", request=InitializeSerializer, success={201: PlainEventSerializer}, errors=[400, 401, 403]
    )
    @action(detail=False, methods=["post"], permission_classes=[IsAdmin], serializer_class=InitializeSerializer)
    def initialize(self, request):
        event = open_event(self.valid_fields(), actor=request.user)
        return Response(PlainEventSerializer(event).data, status=201)

    @describes_plainly(
        "Book the user's ticket, or wait for one",
        request=SeatSerializer,
        success={201: PlainBookingSerializer, 200: PlainBookingSerializer},
        errors=[400, 401, 403, 404, 409],
    )
    @action(detail=False, methods=["post"])
    def book(self, request):
        event_id, user = self.seat()
        booking = book_tickets(
            BookingRequest(
                event_id=event_id,
                tickets=1,
                first_name=user.first_name or user.username,
                last_name=user.last_name,
                email=user.email or "",
                user=user,
                actor=request.user,
                is_only_one=True,
            )
        ).booking
        status = 201 if booking.status == BookingStatus.COMPLETED else 200
        return Response(PlainBookingSerializer(booking).data, status=status)

    @describes_plainly(
        "Cancel the user's booking",
        request=SeatSerializer,
        success={200: PlainMessageSerializer},
        errors=[400, 401, 403, 404],
    )
    @action(detail=False, methods=["post"])
    def cancel(self, request):
        event_id, user = self.seat()
        cancel_seat(event_id, user=user, actor=request.user)
        return Response({"message": CANCELLED})

    def seat(self) -> tuple[int, User]:
        """The event and the user that the request names: the caller, or anybody for an admin."""
        fields = self.valid_fields()
        caller = self.request.user
        if fields["user_id"] == caller.pk:
            return fields["event_id"], caller
        if not caller.is_staff:
            raise PermissionDenied("userId must be your own.")
        user = User.objects.filter(pk=fields["user_id"]).first()
        if user is None:
            raise UserNotFound
        return fields["event_id"], user
