"""Pages for whoever has the link to a booking, without an account.

What renders tickets is imported when the first one is shown, since its libraries take 9 MB of each worker."""

from contextlib import suppress

from django.http import HttpResponse
from django.shortcuts import render
from django.utils.safestring import SafeString

from accounts.throttles import HOUR, Limit, limited
from bookings.enums import BookingStatus
from bookings.exceptions import BookingNotFound, KeyReused, NoSuchSeat, NoTickets
from bookings.models import Booking, show_cancelled
from bookings.pages.access import OfLink, booking_address
from bookings.pages.actions import CorrectAddress, CorrectAddressForm, GiveBack
from bookings.services.correction import find_corrected
from bookings.services.links import link_key
from bookings.services.tickets import MAX_IN_FILE, Ticket, pdf_name, seats_of_files, tickets_of
from ticks.api.headers import file_answer
from ticks.formatting import date_with_weekday
from ticks.link_cookies import remember
from ticks.parsing import parse_id

# A page shows so many tickets; a code takes a millisecond and 3 kB.
MAX_ON_PAGE = 20
# So many mail addresses may be typed in an hour for one booking, since the answers may tell who else has booked. A
# correction takes two forms.
ADDRESSES_AN_HOUR = 10


class OfTickets(OfLink):
    def first_seat(self) -> int:
        """Where the tickets begin that are asked for. Raises `NoSuchSeat`."""
        sent = self.request.GET.get("first", "1")
        seat = parse_id(sent)
        if seat is None or not 1 <= seat <= self.booking.tickets_reserved:
            raise NoSuchSeat(self.booking.tickets_reserved)
        return seat

    def refuse_without_tickets(self) -> None:
        if self.booking.status != BookingStatus.COMPLETED or self.booking.event.deleted_at:
            raise NoTickets


class BookingView(OfTickets):
    http_method_names = ["get", "head"]

    def get(self, request):
        booking, event = self.booking, self.booking.event
        show_cancelled([booking])
        first, tickets = 1, []
        if booking.status == BookingStatus.COMPLETED:
            first = self.first_seat()
            tickets = tickets_of(booking, first_seat=first, most=MAX_ON_PAGE)
        last, seats = first + len(tickets) - 1, booking.tickets_reserved
        context = {
            "booking": booking,
            "event": event,
            "date": date_with_weekday(event.date, event.zone) if event.date else "",
            "tickets": [(ticket, qr_code(ticket)) for ticket in tickets],
            "files": seats_of_files(booking) if tickets else [],
            "previous": max(first - MAX_ON_PAGE, 1) if first > 1 else None,
            "next": last + 1 if last < seats else None,
        }
        return render(request, "bookings/holder/booking.html", context)


def qr_code(ticket: Ticket) -> SafeString:
    """The ticket's QR code as a part of the page: the same as in the PDF. It is dark on a light ground in every theme,
    since many scanners read nothing else."""
    import segno

    code = segno.make(ticket.code, error="q", micro=False)
    return SafeString(
        code.svg_inline(dark="#000", light="#fff", border=4, omitsize=True, svgclass=None, lineclass=None)
    )


class TicketsView(OfTickets):
    http_method_names = ["get", "head"]

    def get(self, request):
        from bookings.documents.pdf import tickets_pdf

        self.refuse_without_tickets()
        tickets = tickets_of(self.booking, first_seat=self.first_seat(), most=MAX_IN_FILE)
        content = tickets_pdf(self.booking, tickets)
        return file_answer(content, name=pdf_name(self.booking), content_type="application/pdf")


class HolderCalendarView(OfTickets):
    http_method_names = ["get", "head"]

    def get(self, request):
        from bookings.documents.calendar import calendar_entry

        self.refuse_without_tickets()
        name, content_type = f"event-{self.booking.reference}.ics", "text/calendar; charset=utf-8"
        return file_answer(calendar_entry(self.booking), name=name, content_type=content_type)


class CancelView(OfLink):
    http_method_names = ["get", "head", "post"]

    def get(self, request):
        return GiveBack(request, self.booking).respond()

    post = get


class AddressView(OfLink):
    http_method_names = ["get", "head", "post"]

    def get(self, request):
        return CorrectAddress(request, self.booking).respond()

    def post(self, request):
        action = CorrectAddress(request, self.booking)
        by_booking = Limit("correct-booking", lambda _: [str(self.booking.pk)], ADDRESSES_AN_HOUR, HOUR)
        with limited([by_booking], request):
            response = action.respond()
        is_corrected = action.subject.email != self.booking.email
        return self.keep_open(response, action.subject) if is_corrected else response

    def keep_open(self, response: HttpResponse, booking: Booking) -> HttpResponse:
        """The old key ended with the old address, so this browser gets the new one."""
        return remember(response, link_key(booking), path=booking_address(booking.reference))

    def closed(self, request, reference):
        """The form may have been sent twice: the first time has closed this page to the second."""
        form = CorrectAddressForm(request.POST) if request.method == "POST" else None
        if form and form.is_valid() and "confirm" in request.POST:
            values = form.cleaned_data
            with suppress(BookingNotFound, KeyReused):
                booking = find_corrected(reference, email=values["email"], key=values["key"])
                action = CorrectAddress(request, booking)
                return self.keep_open(action.finish(action.done()), booking)
        return super().closed(request, reference)
