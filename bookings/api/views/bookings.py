from django.http import HttpResponseNotModified
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.viewsets import GenericViewSet

from accounts.late_login import LateLogin
from bookings.api.filters import AdminBookingFilters, BookingFilters, asked_of_all, fixed_by
from bookings.api.serializers import (
    CANCELLATION,
    BookingCreateSerializer,
    BookingSerializer,
    CancellationSerializer,
    EventStatusSerializer,
    ReceiptSerializer,
    booking_data,
    wanted_booking,
)
from bookings.api.views.headers import idempotency_key
from bookings.exceptions import BookingNotFound
from bookings.models import Booking, attach_positions
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.idempotency import Receipt
from bookings.services.references import is_reference, is_token_of
from bookings.services.sql import booking_of
from events.exceptions import EventNotFound
from events.models import Event, counts_of
from ticks.api.conditional import IF_NONE_MATCH, NOT_MODIFIED, is_named
from ticks.api.envelope import answer
from ticks.api.filters import Search, StrictFilters, StrictOrdering
from ticks.api.ids import parse_id
from ticks.api.schema import SECONDS, describes, sent_header

KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": r'^([\x21-\x7e]{1,255}|"[\x21-\x7e]{1,255}")$'},
    location="header",
    description=(
        "1 to 255 visible characters, drawn at random for each booking: for a guest it is as good as the token. "
        "The same key and body answer the same again and book once."
    ),
)
ID = OpenApiParameter("id", int, location="path")
TOKEN = OpenApiParameter("Booking-Token", location="header", description="A guest's key to the booking.")
TOKEN_QUERY = OpenApiParameter("token", location="query", description="The same, for links.")
REPLAYED = sent_header(
    "Idempotent-Replayed",
    "This is the first answer to this key again.",
    on=[201],
    required=False,
    schema={"const": "true"},
)
IN_FLIGHT_RETRY = sent_header(
    "Retry-After", "Seconds; with `idempotency_key_in_flight`.", on=[409], required=False, schema=SECONDS
)
IN_FLIGHT = {"idempotency_key_in_flight": "A request with this Idempotency-Key is being worked on; send it again."}
# Beside the fields: the guest's key, and what forms and DRF's renderers add.
NOT_FIELDS = {"token", "format", "csrfmiddlewaretoken"}


class BookingSearch(Search):
    """A whole reference finds its booking by the index; anything else is looked for in the names."""

    def filter_queryset(self, request, queryset, view):
        wanted = request.query_params.get(self.search_param, "").strip().upper()
        if is_reference(wanted):
            return queryset.filter(reference=wanted)
        return super().filter_queryset(request, queryset, view)


class BookingViewSet(LateLogin, GenericViewSet):
    """Bookings: anybody books, with or without an account; only who owns one sees or cancels it."""

    late_actions = frozenset({"create", "destroy"})

    queryset = Booking.objects.all()
    # Every action but the list is open to guests; the queryset and the token guard single bookings.
    permission_classes = [AllowAny]
    serializer_class = BookingCreateSerializer
    filter_backends = [StrictFilters, BookingSearch, StrictOrdering]
    search_fields = ["first_name", "last_name"]
    ordering = ["-pk"]
    # Ids are given in the order of creation, and indexed.
    ordering_names = {"id": "pk", "createdAt": "pk"}
    list_message = "Bookings retrieved successfully."
    tag = "Bookings"

    @property
    def filterset_class(self):
        # The schema shows what an admin may ask for.
        is_admin = getattr(self, "swagger_fake_view", False) or self.request.user.is_staff
        return AdminBookingFilters if is_admin else BookingFilters

    @describes(
        "Book tickets",
        request=BookingCreateSerializer,
        success={201: ReceiptSerializer},
        errors=[400, 401, 404, 409, 422],
        parameters=[KEY, REPLAYED, IN_FLIGHT_RETRY],
        codes={409: IN_FLIGHT},
        description="What does not fit is waitlisted whole: look at `bookingStatus`.",
    )
    def create(self, request):
        key = idempotency_key(request)
        try:
            wanted = wanted_booking(request.data)
        except ValidationError:
            # Once more with a serializer of its own, whose form the browsable API shows again.
            self.get_serializer(data=request.data).is_valid(raise_exception=True)
            raise
        user = request.user if request.user.is_authenticated else None
        receipt = book_tickets(BookingRequest(**wanted, user=user), key=key, session_id=self.login_to_confirm)
        message, data, headers = receipt_answer(receipt)
        return answer(message, data, status=201, headers=headers)

    @describes(
        "List bookings", success={200: BookingSerializer(many=True)}, errors=[400, 401, 404], is_open_to_guests=False
    )
    def list(self, request):
        if not request.user.is_authenticated:
            raise NotAuthenticated
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        attach_positions(page)
        return self.get_paginated_response([booking_data(booking) for booking in page])

    @describes(
        "Read a booking", success={200: BookingSerializer}, errors=[401, 404], parameters=[ID, TOKEN, TOKEN_QUERY]
    )
    def retrieve(self, request, pk):
        return answer("Booking retrieved successfully.", booking_data(self.get_object()))

    @describes(
        "Cancel a booking, or some of its tickets",
        request=CancellationSerializer,
        success={200: None},
        errors=[400, 401, 404, 409],
        parameters=[ID, TOKEN, TOKEN_QUERY, CancellationSerializer],
        description="`bookingId` and `ticketsToCancel` may stand in the body or in the query string.",
    )
    def destroy(self, request, pk):
        booking = self.get_object()
        wanted = CANCELLATION.run_validation(cancellation_fields(request))
        if wanted.get("bookingId", booking.pk) != booking.pk:
            raise ValidationError({"bookingId": ["Must be the id in the URL, or be left out."]})
        actor = request.user if request.user.is_authenticated else None
        cancel_tickets(booking, tickets=wanted.get("tickets"), actor=actor, session_id=self.login_to_confirm)
        return answer("Booking cancelled successfully.")

    def get_queryset(self):
        if self.request.user.is_staff:
            return self.queryset.all()
        return self.queryset.filter(user=self.request.user)

    def fixed_columns(self) -> tuple[str, ...]:
        # Of one user's bookings there are few, and another index has them.
        return fixed_by(self.request.query_params) if self.request.user.is_staff else ()

    def count_rows(self, queryset) -> int:
        """An admin's lists are counted by the events' counts, however many bookings there are."""
        asked = asked_of_all(self.request.query_params) if self.request.user.is_staff else None
        return queryset.count() if asked is None else Event.objects.count_bookings(*asked)

    def get_object(self):
        """The booking if it is the caller's to see; else it does not exist."""
        identity = parse_id(self.kwargs["pk"])
        booking = None if identity is None else booking_of(identity)
        if booking is None or not self.may_see(booking):
            raise BookingNotFound
        return booking

    def may_see(self, booking: Booking) -> bool:
        user = self.request.user
        if user.is_authenticated and (booking.user_id == user.pk or user.is_staff):
            return True
        token = self.request.headers.get("Booking-Token") or self.request.query_params.get("token", "")
        return is_token_of(booking, token)


def receipt_answer(receipt: Receipt) -> tuple[str, dict, dict[str, str]]:
    """Message, data and headers of a 201."""
    data = booking_data(receipt.booking)
    if receipt.token:
        data["bookingToken"] = receipt.token
    return "Booking created successfully.", data, {"Idempotent-Replayed": "true"} if receipt.is_replayed else {}


def cancellation_fields(request):
    """What the body and the query string say together.

    A name that is not known, or told twice differently, is refused: read past, a misspelt number
    of tickets would cancel them all.
    """
    body = request.data
    if not hasattr(body, "items"):
        return body
    query = {name: value for name, value in request.query_params.items() if name not in NOT_FIELDS}
    given = {name: value for name, value in body.items() if name not in NOT_FIELDS}
    known = CANCELLATION.fields
    wrong = {
        name: [f"There is no such field; use {', '.join(known)}."] for name in {**query, **given} if name not in known
    }
    for name in query.keys() & given.keys() & known.keys():
        if str(query[name]).strip() != str(given[name]).strip():
            wrong[name] = ["The body and the query string say different things."]
    if wrong:
        raise ValidationError(wrong)
    return query | given


class EventStatusViewSet(GenericViewSet):
    """What a crowd polls: how many tickets are left, how many bookings wait."""

    queryset = Event.objects.standing()
    permission_classes = [AllowAny]
    serializer_class = EventStatusSerializer
    pagination_class = None
    tag = "Bookings"

    @describes(
        "How many tickets are left",
        success={200: EventStatusSerializer, 304: NOT_MODIFIED},
        errors=[401, 404],
        parameters=[IF_NONE_MATCH, sent_header("ETag", "The state of the counts.", on=[200, 304])],
        description="With an `ETag`; `If-None-Match` answers 304 while nothing changed.",
    )
    def retrieve(self, request, pk):
        event_id = parse_id(pk)
        counts = None if event_id is None else counts_of([event_id]).get(event_id)
        if counts is None:
            raise EventNotFound
        message, data, headers = status_answer(counts, known=request.headers.get("If-None-Match"))
        if data is None:
            return HttpResponseNotModified(headers=headers)
        return answer(message, data, headers=headers)


def status_answer(counts: tuple[int, int], *, known: str | None) -> tuple[str, dict | None, dict[str, str]]:
    """Message, data and headers; no data where the caller knows the state already (304)."""
    available, waitlisted = counts
    etag = f'"{available}-{waitlisted}"'
    is_new = known is None or not is_named(etag, known)
    data = {"availableTickets": available, "waitlistedCount": waitlisted} if is_new else None
    return "Event status retrieved successfully.", data, {"ETag": etag, "Cache-Control": "no-cache"}
