from hashlib import sha256

from rest_framework.viewsets import GenericViewSet

from accounts.permissions import IsUserOrPublic
from events.exceptions import EventNotFound
from events.filters import EventFilters
from events.models import Event
from events.serializers import EventSerializer, event_data
from ticks.api.envelope import answer
from ticks.api.filters import Search, StrictFilters, StrictOrdering
from ticks.api.headers import IF_NONE_MATCH, NOT_MODIFIED, is_unchanged, not_modified
from ticks.api.pagination import Pages
from ticks.api.schema import describes, sent_header
from ticks.parsing import find

POLLED = "With an `ETag`; `If-None-Match` answers 304 while nothing changed."


def version_header(*statuses: int):
    return sent_header("ETag", "The event's version, for `If-Match`.", on=list(statuses))


def etag_of_page(events: list[Event], pages: Pages) -> str:
    """The ETag of a page. It changes with everything that the page shows, since each event's own ETag does."""
    state = [pages.count, pages.has_more, *((event.pk, event.etag) for event in events)]
    return f'"{sha256(repr(state).encode()).hexdigest()[:32]}"'


class EventReadViewSet(GenericViewSet):
    """Reads events. Writes are in `bookings`, since they move tickets too."""

    queryset = Event.objects.standing()
    permission_classes = [IsUserOrPublic]
    filter_backends = [StrictFilters, Search, StrictOrdering]
    filterset_class = EventFilters
    search_fields = ["name", "venue", "description"]
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
        "List events",
        success={200: EventSerializer(many=True), 304: NOT_MODIFIED},
        errors=[400, 401, 404],
        parameters=[IF_NONE_MATCH, sent_header("ETag", "The state of this page.", on=[200, 304])],
        description=POLLED,
    )
    def list(self, request):
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        etag = etag_of_page(page, self.paginator)
        if is_unchanged(request, etag):
            return not_modified(etag)
        response = self.get_paginated_response([event_data(event) for event in page])
        response["ETag"] = etag
        return response

    @describes(
        "Read an event",
        success={200: EventSerializer, 304: NOT_MODIFIED},
        errors=[401, 404],
        parameters=[IF_NONE_MATCH, version_header(200, 304)],
        description=POLLED,
    )
    def retrieve(self, request, pk):
        event = self.get_object()
        if is_unchanged(request, event.etag):
            return not_modified(event.etag)
        return answer("Event retrieved successfully.", event_data(event), headers={"ETag": event.etag})

    def get_object(self):
        event = find(self.get_queryset(), self.kwargs["pk"])
        if event is None:
            raise EventNotFound
        return event
