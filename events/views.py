from rest_framework.viewsets import GenericViewSet

from accounts.permissions import IsUserOrPublic
from events.exceptions import EventNotFound
from events.filters import EventFilters
from events.models import Event
from events.serializers import EventSerializer
from ticks.envelope import answer
from ticks.filtering import Search, StrictFilters, StrictOrdering
from ticks.ids import find
from ticks.schema import describes, sent_header


def sent_version(status: int):
    return sent_header("ETag", "The event's version, for `If-Match`.", on=[status])


class EventReadViewSet(GenericViewSet):
    """Reads of events. Whatever changes one moves tickets too, so it lives in `bookings`."""

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

    @describes("List events", success={200: EventSerializer(many=True)}, errors=[400, 401, 404])
    def list(self, request):
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(EventSerializer(page, many=True).data)

    @describes("Read an event", success={200: EventSerializer}, errors=[401, 404], parameters=[sent_version(200)])
    def retrieve(self, request, pk):
        event = self.get_object()
        data = EventSerializer(event).data
        return answer("Event retrieved successfully.", data, headers={"ETag": event.etag})

    def get_object(self):
        event = find(self.get_queryset(), self.kwargs["pk"])
        if event is None:
            raise EventNotFound
        return event
