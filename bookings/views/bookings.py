from django.http import HttpResponseNotModified
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.viewsets import GenericViewSet

from bookings.exceptions import BookingNotFound, EventNotFound
from bookings.filters import AdminBookingFilters, BookingFilters
from bookings.models import Booking, attach_positions
from bookings.serializers import (
    BookingCreateSerializer,
    BookingSerializer,
    CancellationSerializer,
    EventStatusSerializer,
    ReceiptSerializer,
    booking_data,
)
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.references import is_token_of
from bookings.views.headers import idempotency_key, is_unchanged
from events.models import Event
from ticks.envelope import answer
from ticks.fields import parse_id
from ticks.filtering import Search, StrictFilters, StrictOrdering
from ticks.schema import describes

KEY = OpenApiParameter(
    "Idempotency-Key",
    location="header",
    description="1 to 255 visible characters. The same key and body answer the same again and book once.",
)
TOKEN = OpenApiParameter("Booking-Token", location="header", description="A guest's key to the booking.")
TOKEN_QUERY = OpenApiParameter("token", location="query", description="The same, for links.")
BOOK_EXAMPLE = OpenApiExample(
    "two tickets",
    value={
        "eventId": 1,
        "firstName": "Ada",
        "lastName": "Lovelace",
        "email": "ada@example.org",
        "ticketsReserved": 2,
    },
    request_only=True,
)


class BookingViewSet(GenericViewSet):
    """Bookings: anybody books, with or without an account; only who owns one sees or cancels it."""

    queryset = Booking.objects.all()
    # Every action but the list is open to guests; the queryset and the token guard single bookings.
    permission_classes = [AllowAny]
    serializer_class = BookingCreateSerializer
    filter_backends = [StrictFilters, Search, StrictOrdering]
    search_fields = ["=reference", "first_name", "last_name"]
    ordering = ["-pk"]
    ordering_names = {"id": "pk", "createdAt": "created_at", "ticketsReserved": "tickets_reserved"}
    list_message = "Bookings retrieved successfully."
    tag = "Bookings"

    @property
    def filterset_class(self):
        return AdminBookingFilters if self.request.user.is_staff else BookingFilters

    @describes(
        "Book tickets",
        request=BookingCreateSerializer,
        success={201: ReceiptSerializer},
        errors=[400, 401, 404, 409, 422],
        parameters=[KEY],
        examples=[BOOK_EXAMPLE],
        description="What does not fit is waitlisted whole: look at `bookingStatus`.",
    )
    def create(self, request):
        key = idempotency_key(request)
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = request.user if request.user.is_authenticated else None
        receipt = book_tickets(BookingRequest(**serializer.validated_data, user=user), key=key)
        data = booking_data(receipt.booking)
        if receipt.token:
            data["bookingToken"] = receipt.token
        headers = {"Idempotent-Replayed": "true"} if receipt.is_replayed else {}
        return answer("Booking created successfully.", data, status=201, headers=headers)

    @describes("List bookings", success={200: BookingSerializer(many=True)}, errors=[400, 401, 404])
    def list(self, request):
        if not request.user.is_authenticated:
            raise NotAuthenticated
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        attach_positions(page)
        return self.get_paginated_response([booking_data(booking) for booking in page])

    @describes("Read a booking", success={200: BookingSerializer}, errors=[401, 404], parameters=[TOKEN, TOKEN_QUERY])
    def retrieve(self, request, pk):
        return answer("Booking retrieved successfully.", booking_data(self.get_object()))

    @describes(
        "Cancel a booking, or some of its tickets",
        request=CancellationSerializer,
        success={200: None},
        errors=[400, 401, 404, 409],
        parameters=[TOKEN, TOKEN_QUERY, CancellationSerializer],
        description="`bookingId` and `ticketsToCancel` may stand in the body or in the query string.",
    )
    def destroy(self, request, pk):
        booking = self.get_object()
        given = {
            name: request.query_params[name] for name in CancellationSerializer().fields if name in request.query_params
        }
        body = request.data
        if hasattr(body, "items"):
            given |= {name: value for name, value in body.items() if name not in given}
        else:
            given = body
        serializer = CancellationSerializer(data=given)
        serializer.is_valid(raise_exception=True)
        wanted = serializer.validated_data
        if wanted.get("bookingId", booking.pk) != booking.pk:
            raise ValidationError({"bookingId": ["Must be the id in the URL, or be left out."]})
        actor = request.user if request.user.is_authenticated else None
        cancel_tickets(booking.pk, tickets=wanted.get("tickets"), actor=actor)
        return answer("Booking cancelled successfully.")

    def get_queryset(self):
        if self.request.user.is_staff:
            return self.queryset.all()
        return self.queryset.filter(user=self.request.user)

    def get_object(self):
        """The booking if it is the caller's to see; else it does not exist."""
        identity = parse_id(self.kwargs["pk"])
        booking = identity and Booking.objects.filter(pk=identity).first()
        if not booking or not self.may_see(booking):
            raise BookingNotFound
        return booking

    def may_see(self, booking: Booking) -> bool:
        user = self.request.user
        if user.is_authenticated and (user.is_staff or booking.user_id == user.pk):
            return True
        token = self.request.headers.get("Booking-Token") or self.request.query_params.get("token", "")
        return is_token_of(booking, token)


class EventStatusViewSet(GenericViewSet):
    """What a crowd polls: how many tickets are left, how many bookings wait."""

    queryset = Event.objects.standing()
    permission_classes = [AllowAny]
    serializer_class = EventStatusSerializer
    pagination_class = None
    tag = "Bookings"

    @describes(
        "How many tickets are left",
        success={200: EventStatusSerializer},
        errors=[401, 404],
        description="With an `ETag`; `If-None-Match` answers 304 while nothing changed.",
    )
    def retrieve(self, request, pk):
        identity = parse_id(pk)
        counts = identity and (
            Event.objects.standing().filter(pk=identity).values_list("available_tickets", "waitlisted_count").first()
        )
        if not counts:
            raise EventNotFound
        available, waitlisted = counts
        etag = f'"{available}-{waitlisted}"'
        headers = {"ETag": etag, "Cache-Control": "no-cache"}
        if is_unchanged(request, etag):
            return HttpResponseNotModified(headers=headers)
        data = {"availableTickets": available, "waitlistedCount": waitlisted}
        return answer("Event status retrieved successfully.", data, headers=headers)
