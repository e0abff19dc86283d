"""Endpoints of bookings and events under `/api/v1`."""

import re

import django_filters
from django.http import HttpResponseNotModified, QueryDict
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import NotAuthenticated, ValidationError
from rest_framework.permissions import AllowAny

from accounts.authentication import who_and_login
from accounts.models import ApiKey, Scope
from accounts.permissions import IsAdmin, reached_events, reaches, refuse_limited_key
from bookings.api.holders import TOKEN, TOKEN_QUERY, OfHolder
from bookings.api.serializers import (
    CANCELLATION,
    BookingCreateSerializer,
    BookingSerializer,
    CancellationSerializer,
    EventStatusSerializer,
    NewBookingSerializer,
    booking_data,
    validated_booking,
)
from bookings.enums import BookingStatus
from bookings.exceptions import (
    KEY_REFUSALS,
    AlreadyCancelled,
    BookingNotFound,
    CapacityBelowHeld,
    HolderChanged,
    MoreThanReserved,
    PersonLimit,
    SalesClosed,
    SalesNotOpen,
    SoldOut,
    StaleVersion,
    TooManyTickets,
)
from bookings.models import Booking, attach_positions, show_cancelled
from bookings.services.booking import BookingRequest, Receipt, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event, open_event
from bookings.services.idempotency import EventReceipt, once
from bookings.services.own_bookings import bookings_of
from bookings.services.search import find_bookings
from events.exceptions import EventNotFound
from events.models import Event, counts_of
from events.serializers import EventChangeSerializer, EventCreateSerializer, EventSerializer, event_data
from events.views import EventReadViewSet, version_header
from ticks.api.envelope import answer
from ticks.api.fields import RequestSerializer
from ticks.api.filters import IdFilter, Search, StrictFilters, StrictOrdering, word_filter
from ticks.api.headers import IF_NONE_MATCH, NOT_MODIFIED, is_named
from ticks.api.idempotency import replay_headers
from ticks.api.schema import (
    A_LIST,
    ID,
    LOCATION,
    SOME_TIME,
    WITH_BODY,
    WITH_LOGIN,
    WITH_TOKEN,
    WRITE,
    describes,
    key_headers,
    sent_header,
)
from ticks.api.views import ViewSet
from ticks.languages import language_of_header
from ticks.parsing import parse_id
from ticks.text import normalise_email

ONE_TAG = re.compile(r'(?:W/)?"[^"]*"')
EVENT_TAG = re.compile(r'"(\d{1,9})(?:\.\d+(?:\.closed)?)?"')

IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string", "pattern": r'^(\*|(W/)?"[\x21\x23-\x7e]*")$'},
    location="header",
    description="The `ETag` that the change is based on.",
)
# The browsable API adds this to its forms.
NOT_IN_FORM = {"csrfmiddlewaretoken"}


class BookingFilters(django_filters.FilterSet):
    eventId = IdFilter(
        method=lambda bookings, name, value: bookings.of_event(value), help_text="The bookings of this event."
    )
    bookingStatus = word_filter(
        BookingStatus.choices,
        method=lambda bookings, name, value: bookings.with_status(value),
        help_text="Only bookings with this status.",
    )


class AdminBookingFilters(BookingFilters):
    email = django_filters.CharFilter(
        method=lambda bookings, name, value: bookings.filter(email=normalise_email(value)),
        help_text="The whole address, in any case. Admins only.",
    )


class BookingViewSet(OfHolder, ViewSet):
    """Anybody can book, with or without an account. Only the owner of a booking sees or cancels it.

    What an API key books belongs to a guest.
    """

    queryset = Booking.objects.all()
    serializer_class = BookingCreateSerializer
    filter_backends = [StrictFilters, Search, StrictOrdering]
    search_fields = ["search_text"]
    search_rows = staticmethod(find_bookings)
    ordering = ["-pk"]
    # Ids rise in the order of creation, and they are indexed.
    ordering_names = {"id": "pk", "createdAt": "pk"}
    list_message = "Bookings retrieved successfully."
    keyed_actions = ("create", "destroy")
    booking_actions = ("create",)

    @property
    def filterset_class(self):
        # The schema shows the filters that an admin has.
        is_for_all = getattr(self, "swagger_fake_view", False) or self.is_for_all()
        return AdminBookingFilters if is_for_all else BookingFilters

    @describes(
        "book_tickets",
        "Book tickets",
        request=BookingCreateSerializer,
        success={201: NewBookingSerializer},
        message="Booking created successfully.",
        errors=[
            *(*WITH_TOKEN, *WRITE, EventNotFound, TooManyTickets(4)),
            *(SoldOut, SalesNotOpen(SOME_TIME), SalesClosed, PersonLimit(4, 4), *KEY_REFUSALS),
        ],
        parameters=[LOCATION, *key_headers(201)],
        description="What does not fit is waitlisted whole: look at `bookingStatus`.",
        scope=Scope.BOOKINGS_WRITE,
    )
    def create(self, request):
        key = self.sent_key()
        try:
            fields = validated_booking(request.data)
        except ValidationError:
            # The browsable API shows the form of the serializer that fails, so this request needs one of its own.
            self.valid_fields()
            raise
        if not reaches(request, fields["event_id"]):
            raise EventNotFound
        who, login = who_and_login(request.user if request.user.is_authenticated else None, request.auth)
        language = language_of_header(request.headers.get("Accept-Language", ""))
        receipt = book_tickets(BookingRequest(**fields, **who, language=language), key=key, **login)
        message, data, headers = receipt_answer(receipt)
        return answer(message, data, status=201, headers=headers)

    @describes(
        "list_bookings",
        "List bookings",
        success={200: BookingSerializer(many=True)},
        errors=[*WITH_LOGIN, *A_LIST],
        scope=Scope.BOOKINGS_READ,
        is_open_to_guests=False,
    )
    def list(self, request):
        if not request.user.is_authenticated:
            raise NotAuthenticated
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        show_cancelled(page)
        attach_positions(page)
        return self.get_paginated_response([booking_data(booking) for booking in page])

    @describes(
        "get_booking",
        "Read a booking",
        success={200: BookingSerializer},
        message="Booking retrieved successfully.",
        errors=[*WITH_TOKEN, BookingNotFound],
        parameters=[ID, TOKEN, TOKEN_QUERY],
        scope=Scope.BOOKINGS_READ,
    )
    def retrieve(self, request, pk):
        booking = self.get_object()
        show_cancelled([booking])
        return answer("Booking retrieved successfully.", booking_data(booking))

    @describes(
        "cancel_booking",
        "Cancel a booking, or some of its tickets",
        request=CancellationSerializer,
        success={200: None},
        message="Booking cancelled successfully.",
        errors=[
            *WITH_TOKEN,
            *WRITE,
            BookingNotFound,
            MoreThanReserved(2),
            AlreadyCancelled,
            HolderChanged,
            *KEY_REFUSALS,
        ],
        parameters=[ID, TOKEN, TOKEN_QUERY, CancellationSerializer, *key_headers(200)],
        description="`bookingId` and `ticketsToCancel` may stand in the body or in the query string.",
        scope=Scope.BOOKINGS_WRITE,
    )
    def destroy(self, request, pk):
        booking, key = self.get_object(), self.sent_key()
        fields = CANCELLATION.run_validation(self.cancellation_fields())
        if fields.get("bookingId", booking.pk) != booking.pk:
            raise ValidationError({"bookingId": ["Must be the id in the URL, or be left out."]})
        actor = request.user if request.user.is_authenticated else None
        _, login = who_and_login(actor, request.auth)
        cancelled = cancel_tickets(booking, tickets=fields.get("tickets"), actor=actor, key=key, **login)
        return answer("Booking cancelled successfully.", headers=replay_headers(cancelled.is_replayed))

    def cancellation_fields(self):
        """The fields of the body and of the query string together. A name with two values is refused."""
        data = self.request.data
        if not hasattr(data, "items"):
            return data
        query, is_form = self.query_fields(), isinstance(data, QueryDict)
        body = {name: value for name, value in data.items() if not (is_form and name in NOT_IN_FORM)}
        differing = [name for name in query.keys() & body.keys() if str(query[name]).strip() != str(body[name]).strip()]
        if differing:
            raise ValidationError({name: ["The body and the query string say different things."] for name in differing})
        return query | body

    def is_for_all(self) -> bool:
        """Whether the caller sees bookings of others."""
        return self.request.user.is_staff or isinstance(self.request.auth, ApiKey)

    def get_queryset(self):
        if not self.is_for_all():
            return bookings_of(self.request.user)
        events = reached_events(self.request)
        return self.queryset.all() if events is None else self.queryset.filter(event__in=events)

    def fixed_columns(self) -> tuple[str, ...]:
        # A user has few bookings, and they have another index.
        columns = {"eventId": "event_id", "bookingStatus": "status"} if self.is_for_all() else {}
        return tuple(column for name, column in columns.items() if self.request.query_params.get(name))

    def count_rows(self, queryset) -> int:
        """Lists of an admin are counted from the events' counts, at the same cost for any number of bookings."""
        params = self.request.query_params
        if not self.is_for_all() or any(params.get(name, "").strip() for name in ("search", "email")):
            return queryset.count()
        reached = reached_events(self.request)
        events = Event.objects.all() if reached is None else Event.objects.filter(pk__in=reached)
        return events.count_bookings(parse_id(params.get("eventId", "")), params.get("bookingStatus") or None)


def receipt_answer(receipt: Receipt) -> tuple[str, dict, dict[str, str]]:
    """The message, data and headers of a 201 answer."""
    data = booking_data(receipt.booking)
    if receipt.token:
        data["bookingToken"] = receipt.token
    headers = {"Location": f"/api/v1/booking/{receipt.booking.id}", **replay_headers(receipt.is_replayed)}
    return "Booking created successfully.", data, headers


class EventStatusViewSet(ViewSet):
    """How many tickets are left and how many bookings wait. Many clients poll it."""

    queryset = Event.objects.standing()
    permission_classes = [AllowAny]
    serializer_class = EventStatusSerializer
    tag = "Bookings"

    @describes(
        "get_event_status",
        "How many tickets are left",
        success={200: EventStatusSerializer, 304: NOT_MODIFIED},
        message="Event status retrieved successfully.",
        errors=[*WITH_TOKEN, EventNotFound],
        parameters=[ID, IF_NONE_MATCH, sent_header("ETag", "The state of the counts.", on=[200, 304])],
        description="With an `ETag`; `If-None-Match` answers 304 while nothing changed.",
        scope=Scope.EVENTS_READ,
    )
    def retrieve(self, request, pk):
        event_id = parse_id(pk)
        if not reaches(request, event_id):
            raise EventNotFound
        counts = None if event_id is None else counts_of([event_id]).get(event_id)
        if counts is None:
            raise EventNotFound
        message, data, headers = status_answer(counts, known=request.headers.get("If-None-Match"))
        if data is None:
            return HttpResponseNotModified(headers=headers)
        return answer(message, data, headers=headers)


def status_answer(counts: tuple[int, int], *, known: str | None) -> tuple[str, dict | None, dict[str, str]]:
    """The message, data and headers of a 200 answer. The data is None if the client has this state already (304)."""
    available, waitlisted = counts
    etag = f'"{available}-{waitlisted}"'
    is_new = known is None or not is_named(etag, known)
    data = {"availableTickets": available, "waitlistedCount": waitlisted} if is_new else None
    return "Event status retrieved successfully.", data, {"ETag": etag, "Cache-Control": "no-cache"}


class EventViewSet(EventReadViewSet):
    """Events: read by users, written by admins."""

    keyed_actions = ("create", "partial_update", "destroy")

    def get_permissions(self):
        return super().get_permissions() if self.request.method in ("GET", "HEAD", "OPTIONS") else [IsAdmin()]

    def get_serializer_class(self):
        if self.request and self.request.method == "PATCH":
            return EventChangeSerializer
        return EventCreateSerializer

    @describes(
        "create_event",
        "Create an event",
        request=EventCreateSerializer,
        success={201: EventSerializer},
        message="Event created successfully.",
        errors=[*WITH_LOGIN, *WRITE, "api_key_limited", *KEY_REFUSALS],
        parameters=[version_header(201), LOCATION, *key_headers(201)],
        scope=Scope.EVENTS_WRITE,
    )
    def create(self, request):
        refuse_limited_key(request)
        receipt = once("create event", open_event, self.valid_fields(), actor=request.user, key=self.sent_key())
        response = event_answer("Event created successfully.", receipt, status=201)
        response["Location"] = f"/api/v1/event/{receipt.event.pk}"
        return response

    @describes(
        "update_event",
        "Change an event",
        request=EventChangeSerializer,
        success={200: EventSerializer},
        message="Event updated successfully.",
        errors=[*WITH_LOGIN, *WRITE, EventNotFound, CapacityBelowHeld(60), StaleVersion, *KEY_REFUSALS],
        parameters=[ID, IF_MATCH, version_header(200), *key_headers(200)],
        description=(
            "More `totalTickets`, and a later `salesEnd`, serve the waitlist at once; fewer tickets than are held are"
            " refused."
        ),
        scope=Scope.EVENTS_WRITE,
    )
    def partial_update(self, request, pk):
        pk, changes = self.event_id(), self.valid_fields(partial=True)
        version = required_version(request)
        receipt = once(
            "change event", change_event, pk, changes=changes, actor=request.user, version=version, key=self.sent_key()
        )
        return event_answer("Event updated successfully.", receipt)

    @describes(
        "delete_event",
        "Delete an event",
        success={200: None},
        message="Event deleted successfully.",
        errors=[*WITH_BODY, *WITH_LOGIN, *WRITE, EventNotFound, StaleVersion, *KEY_REFUSALS],
        parameters=[ID, IF_MATCH, *key_headers(200)],
        description="Its bookings are kept, cancelled with it.",
        scope=Scope.EVENTS_WRITE,
    )
    def destroy(self, request, pk):
        # A cancellation of tickets that is sent here by mistake must not cancel the event.
        RequestSerializer().run_validation(request.data or {})
        version = required_version(request)
        receipt = cancel_event(self.event_id(), actor=request.user, version=version, key=self.sent_key())
        return answer("Event deleted successfully.", headers=replay_headers(receipt.is_replayed))

    def event_id(self) -> int:
        """The id in the URL. The service says whether there is such an event, or was when the key was first sent."""
        event_id = parse_id(self.kwargs["pk"])
        if event_id is None or not reaches(self.request, event_id):
            raise EventNotFound
        return event_id


def event_answer(message: str, receipt: EventReceipt, *, status: int = 200):
    event = receipt.event
    headers = {"ETag": event.etag, **replay_headers(receipt.is_replayed)}
    return answer(message, event_data(event), status=status, headers=headers)


def required_version(request) -> int | None:
    """The event's version that `If-Match` asks for; None if any version is accepted.

    Only the part of the tag before the dot counts: a booking in between is no reason to refuse an edit. A tag may be
    weak, since proxies that compress answers make it so. Raises `ValidationError` for what is no tag.
    """
    header = request.META.get("HTTP_IF_MATCH", "*").strip()
    if header == "*":
        return None
    if not ONE_TAG.fullmatch(header):
        raise ValidationError({"If-Match": ["Send the event's ETag as it came, with its quotes; or *."]})
    tag = EVENT_TAG.fullmatch(header.removeprefix("W/"))
    # No event has version 0. So a tag that is not ours is always stale.
    return int(tag[1]) if tag else 0
