"""Endpoints of the change feed, for admins: the ledger of one event, and of all events."""

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, inline_serializer
from rest_framework import serializers

from accounts.models import Scope
from accounts.permissions import IsAdmin, reaches, refuse_limited_key
from bookings.api.serializers import (
    NOW,
    ChangeSerializer,
    ChangesQuerySerializer,
    EventChangesQuerySerializer,
)
from bookings.exceptions import UnknownCursor
from bookings.models import LedgerEntry
from bookings.services.changes import (
    BEGINNING,
    Cursor,
    change_data,
    changes_after,
    changes_of_event,
    end_of_feed,
)
from events.exceptions import EventNotFound
from ticks.api.envelope import answer, enveloped_success
from ticks.api.fields import IdField
from ticks.api.schema import ID, WITH_LOGIN, AlwaysFalse, describes
from ticks.api.views import ViewSet
from ticks.parsing import parse_id

MESSAGE = "Changes retrieved successfully."


def page_of_changes(name: str, field: serializers.Field, example) -> OpenApiResponse:
    body = inline_serializer(
        name,
        {
            "message": serializers.CharField(),
            "data": ChangeSerializer(many=True),
            next(iter(example)): field,
            "error": AlwaysFalse(),
        },
    )
    value = enveloped_success(MESSAGE, [ChangeSerializer.example], **example)
    return OpenApiResponse(body, examples=[OpenApiExample("example", value=value)])


class ChangesView(ViewSet):
    queryset = LedgerEntry.objects.none()
    permission_classes = [IsAdmin]
    pagination_class = None
    tag = "Changes"

    def sent_query(self) -> dict:
        """The values of the query string. Raises `ValidationError`."""
        return self.get_serializer().run_validation(self.query_fields())


class EventChangesViewSet(ChangesView):
    """The ledger of one event."""

    # Where a request waits, the event loop has done it before (`bookings.api.long_polls`).
    serializer_class = EventChangesQuerySerializer

    @describes(
        "list_event_changes",
        "What changed at an event",
        success={
            200: page_of_changes(
                "EventChanges",
                IdField(help_text="The sequence of the last entry here, or `after`: for the next request."),
                {"nextAfter": 2},
            )
        },
        errors=[*WITH_LOGIN, "permission_denied", EventNotFound],
        parameters=[ID, EventChangesQuerySerializer],
        description="The event's ledger after `after`, in order and without gaps, also of a cancelled event.",
        scope=Scope.CHANGES_READ,
        is_open_to_guests=False,
    )
    def retrieve(self, request, pk):
        query, event_id = self.sent_query(), parse_id(pk)
        if event_id is None or not reaches(request, event_id):
            raise EventNotFound
        entries = changes_of_event(event_id, after=query["after"], limit=query["limit"])
        return answer(
            MESSAGE,
            [change_data(entry) for entry in entries],
            nextAfter=entries[-1].sequence if entries else query["after"],
        )


class ChangesViewSet(ChangesView):
    """The ledger of all events."""

    serializer_class = ChangesQuerySerializer

    @describes(
        "list_changes",
        "What changed at any event",
        success={
            200: page_of_changes(
                "Changes",
                serializers.CharField(help_text="For the next request. At the end of the feed it is what was sent."),
                {"nextCursor": "1.2"},
            )
        },
        errors=[*WITH_LOGIN, "permission_denied", "api_key_limited"],
        parameters=[ChangesQuerySerializer],
        description="The ledger of all events, in order for each. `nextCursor` skips and repeats nothing.",
        scope=Scope.CHANGES_READ,
        is_open_to_guests=False,
    )
    def retrieve(self, request):
        refuse_limited_key(request)
        query = self.sent_query()
        text = query.get("cursor")
        if text == NOW:
            entries, end = [], end_of_feed()
        else:
            entries, end = changes_after(read_cursor(text), limit=query["limit"])
        return answer(MESSAGE, [change_data(entry) for entry in entries], nextCursor=f"{end.number}.{end.sequence}")


def read_cursor(text: str | None) -> Cursor:
    """The place that `nextCursor` of an answer names. Raises `UnknownCursor`."""
    if text is None:
        return BEGINNING
    number, _, sequence = map(parse_id, text.partition("."))
    if number is None or sequence is None:
        raise UnknownCursor
    return Cursor(number, sequence)
