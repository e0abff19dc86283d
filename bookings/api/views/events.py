from drf_spectacular.utils import OpenApiParameter

from accounts.permissions import IsAdmin
from bookings.api.views.headers import required_version
from bookings.services.events import cancel_event, change_event, open_event
from events.serializers import EventChangeSerializer, EventCreateSerializer, EventSerializer, event_data
from events.views import EventReadViewSet, sent_version
from ticks.api.envelope import answer
from ticks.api.schema import describes

IF_MATCH = OpenApiParameter("If-Match", location="header", description="The `ETag` that the change is based on.")


class EventViewSet(EventReadViewSet):
    """Events: read by users, written by admins."""

    def get_permissions(self):
        return super().get_permissions() if self.request.method in ("GET", "HEAD", "OPTIONS") else [IsAdmin()]

    def get_serializer_class(self):
        if self.request and self.request.method == "PATCH":
            return EventChangeSerializer
        return EventCreateSerializer

    @describes(
        "Create an event",
        request=EventCreateSerializer,
        success={201: EventSerializer},
        errors=[400, 401, 403],
        parameters=[sent_version(201)],
    )
    def create(self, request):
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        event = open_event(serializer.validated_data, actor=request.user)
        data = event_data(event)
        return answer("Event created successfully.", data, status=201, headers={"ETag": event.etag})

    @describes(
        "Change an event",
        request=EventChangeSerializer,
        success={200: EventSerializer},
        errors=[400, 401, 403, 404, 409, 412],
        parameters=[IF_MATCH, sent_version(200)],
        description="More `totalTickets` serve the waitlist at once; fewer than are held are refused.",
    )
    def partial_update(self, request, pk):
        event = self.get_object()
        serializer = self.get_serializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changes = serializer.validated_data
        event = change_event(event.pk, changes=changes, actor=request.user, version=required_version(request))
        data = event_data(event)
        return answer("Event updated successfully.", data, headers={"ETag": event.etag})

    @describes(
        "Delete an event",
        success={200: None},
        errors=[401, 403, 404, 412],
        parameters=[IF_MATCH],
        description="Its bookings are kept, cancelled with it.",
    )
    def destroy(self, request, pk):
        event = self.get_object()
        cancel_event(event.pk, actor=request.user, version=required_version(request))
        return answer("Event deleted successfully.")
