"""Endpoints of a booking's tickets, for whoever may see the booking.

What renders files is imported when the first file is asked for, since its libraries take 9 MB of each worker."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer
from rest_framework.utils.urls import replace_query_param

from accounts.models import Scope
from bookings.api.holders import TOKEN, TOKEN_QUERY, OfHolder
from bookings.exceptions import BookingNotFound, NoDate, NoSuchSeat, NoTickets, TooManyForOneFile
from bookings.models import Booking
from bookings.services.tickets import MAX_IN_FILE, pdf_name, read_ticketed, tickets_of
from ticks.api.envelope import answer
from ticks.api.errors import RefusesInJson
from ticks.api.headers import file_answer
from ticks.api.pagination import Pages
from ticks.api.schema import ID, WITH_TOKEN, describes
from ticks.api.views import ViewSet
from ticks.parsing import MAX_TICKETS, parse_id

MAX_IN_ANSWER = 100
FIRST_SEAT = OpenApiParameter(
    "firstSeat",
    {"type": "integer", "minimum": 1, "maximum": MAX_TICKETS},
    location="query",
    description="Begin with this seat.",
)
ERRORS = [*WITH_TOKEN, BookingNotFound, NoTickets]
PARAMETERS = [ID, TOKEN, TOKEN_QUERY]


class TicketSerializer(serializers.Serializer):
    example = {"seat": 1, "code": "T-96-4-3-QKXY7A3PDWRT4MCG6H"}

    seat = serializers.IntegerField()
    code = serializers.CharField(help_text="What the QR code says.")


class SeatPages(Pages):
    """Parts of a list of tickets begin with a seat and not with a page, so it takes none of the usual parameters."""

    def get_schema_operation_parameters(self, view):
        return []


class TicketViewBase(OfHolder, ViewSet):
    queryset = Booking.objects.all()
    filter_backends: list = []

    def first_seat(self) -> int | None:
        sent = self.query_fields().get("firstSeat")
        seat = None if sent is None else parse_id(sent)
        if sent is not None and (seat is None or not 1 <= seat <= MAX_TICKETS):
            raise ValidationError({"firstSeat": [f"Send a whole number from 1 to {MAX_TICKETS}."]})
        return seat


class TicketView(TicketViewBase):
    serializer_class = TicketSerializer
    pagination_class = SeatPages
    list_message = "Tickets retrieved successfully."

    @describes(
        "list_tickets",
        "List the tickets of a booking",
        success={200: TicketSerializer(many=True)},
        errors=[*ERRORS, NoSuchSeat(2)],
        parameters=[*PARAMETERS, FIRST_SEAT],
        description=f"One for each seat, at most {MAX_IN_ANSWER} in an answer; `firstSeat` asks for the others.",
        scope=Scope.BOOKINGS_READ,
    )
    def list(self, request, pk):
        first_seat = self.first_seat() or 1
        booking = read_ticketed(self.get_object())
        tickets = tickets_of(booking, first_seat=first_seat, most=MAX_IN_ANSWER)
        following, preceding = first_seat + MAX_IN_ANSWER, max(first_seat - MAX_IN_ANSWER, 1)
        pagination = {
            "count": booking.tickets_reserved,
            "next": self.link(following) if following <= booking.tickets_reserved else None,
            "previous": self.link(preceding) if first_seat > 1 else None,
        }
        return answer(self.list_message, [ticket._asdict() for ticket in tickets], pagination=pagination)

    def link(self, first_seat: int) -> str:
        return replace_query_param(self.request.build_absolute_uri(), "firstSeat", first_seat)


class FileRenderer(BaseRenderer):
    """Says what kind of file a view answers with, and what it accepts in `Accept`. The view makes the file itself."""

    charset = None


class PdfRenderer(FileRenderer):
    media_type, format = "application/pdf", "pdf"


class CalendarRenderer(FileRenderer):
    media_type, format = "text/calendar", "ics"


def file_response(description: str, example: str) -> OpenApiResponse:
    return OpenApiResponse(OpenApiTypes.BINARY, description=description, examples=[OpenApiExample("file", example)])


class FileView(RefusesInJson, TicketViewBase):
    # Its renderers show no description of the route, which OPTIONS would ask for.
    http_method_names = ["get", "head"]


class TicketPdfView(FileView):
    renderer_classes = [PdfRenderer]

    @describes(
        "get_tickets_pdf",
        "Get the tickets of a booking as a PDF",
        success={(200, PdfRenderer.media_type): file_response("A page for each ticket.", "%PDF-1.4 ...")},
        errors=[*ERRORS, NoSuchSeat(2), TooManyForOneFile(250, MAX_IN_FILE)],
        parameters=[*PARAMETERS, FIRST_SEAT],
        description=f"A file has at most {MAX_IN_FILE}; a booking with more is asked for with `firstSeat`.",
        scope=Scope.BOOKINGS_READ,
    )
    def retrieve(self, request, pk):
        from bookings.documents.pdf import tickets_pdf

        first_seat = self.first_seat()
        booking = read_ticketed(self.get_object())
        if first_seat is None and booking.tickets_reserved > MAX_IN_FILE:
            raise TooManyForOneFile(booking.tickets_reserved, MAX_IN_FILE)
        tickets = tickets_of(booking, first_seat=first_seat or 1, most=MAX_IN_FILE)
        return file_answer(tickets_pdf(booking, tickets), name=pdf_name(booking), content_type=PdfRenderer.media_type)


class CalendarView(FileView):
    renderer_classes = [CalendarRenderer]

    @describes(
        "get_calendar_entry",
        "Get the event of a booking for a calendar",
        success={(200, CalendarRenderer.media_type): file_response("An iCalendar file.", "BEGIN:VCALENDAR ...")},
        errors=[*ERRORS, NoDate],
        parameters=PARAMETERS,
        scope=Scope.BOOKINGS_READ,
    )
    def retrieve(self, request, pk):
        from bookings.documents.calendar import calendar_entry

        booking = read_ticketed(self.get_object())
        content_type = f"{CalendarRenderer.media_type}; charset=utf-8"
        return file_answer(calendar_entry(booking), name=f"event-{booking.reference}.ics", content_type=content_type)
