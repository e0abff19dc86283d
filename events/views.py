from hashlib import sha256

import django_filters

from accounts.models import Scope
from accounts.permissions import IsUserOrPublic, reached_events
from events.exceptions import EventNotFound
from events.models import Event, EventQuerySet
from events.serializers import EventSerializer, event_data
from ticks.api.envelope import answer
from ticks.api.filters import MomentFilter, Search, StrictFilters, StrictOrdering, word_filter
from ticks.api.headers import IF_NONE_MATCH, NOT_MODIFIED, not_modified
from ticks.api.schema import A_LIST, ID, WITH_LOGIN, describes, sent_header
from ticks.api.views import ViewSet
from ticks.parsing import find

POLLED = "With an `ETag`; `If-None-Match` answers 304 while nothing changed."


def version_header(*statuses: int):
    return sent_header("ETag", "The event's version, for `If-Match`.", on=list(statuses))


class EventFilters(django_filters.FilterSet):
    dateFrom = MomentFilter(
        method=lambda events, name, value: events.dated("gte", value),
        help_text="At this time or later; a bare date is its midnight in the zone of each event.",
    )
    dateTo = MomentFilter(
        method=lambda events, name, value: events.dated("lte", value),
        help_text="At this time or earlier; a bare date is its midnight in the zone of each event.",
    )
    available = word_filter(
        [("true", "Can be booked now"), ("false", "Cannot be booked now")],
        method=lambda events, name, value: events.bookable() if value == "true" else events.not_bookable(),
        help_text="true: sales are open, and tickets are left; false: all other events.",
    )


class EventReadViewSet(ViewSet):
    """Reads events. Writes are in `bookings`, since they move tickets too."""

    queryset = Event.objects.standing()
    permission_classes = [IsUserOrPublic]
    filter_backends = [StrictFilters, Search, StrictOrdering]
    filterset_class = EventFilters
    search_fields = ["search_text"]
    search_rows = staticmethod(EventQuerySet.search)
    ordering = ["pk"]
    ordering_names = {
        "id": "pk",
        "name": "name",
        "date": "date",
        "availableTickets": "available_tickets",
        "totalTickets": "total_tickets",
        "createdAt": "created_at",
    }
    serializer_class = EventSerializer
    list_message = "Events retrieved successfully."
    tag = "Events"

    @describes(
        "list_events",
        "List events",
        success={200: EventSerializer(many=True), 304: NOT_MODIFIED},
        errors=[*WITH_LOGIN, *A_LIST],
        parameters=[IF_NONE_MATCH, sent_header("ETag", "The state of this page.", on=[200, 304])],
        description=POLLED,
        scope=Scope.EVENTS_READ,
    )
    def list(self, request):
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        # It changes with everything that the page shows, since each event's own ETag does.
        pages = self.paginator
        state = [pages.count, pages.has_next, pages.has_previous, *((event.pk, event.etag) for event in page)]
        etag = f'"{sha256(repr(state).encode()).hexdigest()[:32]}"'
        if unchanged := not_modified(request, etag):
            return unchanged
        response = self.get_paginated_response([event_data(event) for event in page])
        response["ETag"] = etag
        return response

    @describes(
        "get_event",
        "Read an event",
        success={200: EventSerializer, 304: NOT_MODIFIED},
        message="Event retrieved successfully.",
        errors=[*WITH_LOGIN, EventNotFound],
        parameters=[ID, IF_NONE_MATCH, version_header(200, 304)],
        description=POLLED,
        scope=Scope.EVENTS_READ,
    )
    def retrieve(self, request, pk):
        event = self.get_object()
        return not_modified(request, event.etag) or answer(
            "Event retrieved successfully.", event_data(event), headers={"ETag": event.etag}
        )

    def get_queryset(self):
        events, reached = super().get_queryset(), reached_events(self.request)
        return events if reached is None else events.filter(pk__in=reached)

    def get_object(self):
        event = find(self.get_queryset(), self.kwargs["pk"])
        if event is None:
            raise EventNotFound
        return event
