"""The list of bookings, and the page of one: its holder, its place in the waitlist, and its history."""

from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_GET

from bookings.admin import formatting
from bookings.admin.bookings.actions import (
    CancelBookings,
    CancelTickets,
    MoveBooking,
    SendAgain,
    ServeOutOfTurn,
    TransferBooking,
    VoidTickets,
)
from bookings.admin.bookings.list import BookingFilterForm, BookingList
from bookings.admin.exports import Exportable, unavailable
from bookings.admin.formatting import booking_url, event_link, status_badge
from bookings.enums import BookingStatus, TicketState
from bookings.models import Booking, LedgerEntry, show_cancelled
from bookings.outbox import Mail, MailChoice
from bookings.services.tickets import MAX_IN_FILE, pdf_name, read_ticket, read_ticketed, seats_of_files, tickets_of
from ticks.api.headers import file_answer
from ticks.db.transactions import Busy
from ticks.exceptions import Refusal
from ticks.formatting import counted, plural, time_tag, with_unit
from ticks.languages import language_name
from ticks.parsing import parse_id
from ticks.staff_actions import PageAdmin

MAX_ENTRIES = 100
MAX_MAILS = 20


@admin.register(Booking)
class BookingAdmin(Exportable, PageAdmin):
    """All changes are actions of staff; Django's own form of a booking is never shown."""

    page_prefix, page_template = "bookings_booking", "bookings/admin/booking.html"
    page_subjects = Booking.objects.select_related("event", "user")
    page_actions = [CancelTickets, TransferBooking, VoidTickets, MoveBooking, ServeOutOfTurn, SendAgain]
    selection_actions = [CancelBookings]
    list_display = ["reference", "holder_name", "tickets", "short_status", "position", "event_name", "email", "made"]
    list_class, filter_form = BookingList, BookingFilterForm
    list_select_related = ["event", "user"]

    def get_urls(self):
        view = self.admin_site.admin_view(require_GET(self.tickets_view))
        return [path("<str:pk>/tickets.pdf", view, name="bookings_booking_tickets"), *super().get_urls()]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        """Nobody changes a booking by a form. Only actions change one."""
        return obj is None and super().has_change_permission(request)

    def find_to_view(self, request, pk):
        booking = super().find_to_view(request, pk)
        show_cancelled([booking])
        return booking

    def tickets_view(self, request, pk):
        """The tickets of a booking as a file, from the seat in `?first=` on."""
        from bookings.documents.pdf import tickets_pdf

        booking = self.find_to_view(request, pk)
        try:
            booking = read_ticketed(booking)
            first_seat = parse_id(request.GET.get("first", "1")) or 1
            content = tickets_pdf(booking, tickets_of(booking, first_seat=first_seat, most=MAX_IN_FILE))
        except Busy as refusal:
            return unavailable(refusal.message)
        except Refusal as refusal:
            messages.warning(request, refusal.message)
            return HttpResponseRedirect(booking_url(booking.pk))
        return file_answer(content, name=pdf_name(booking), content_type="application/pdf")

    def ticket_files(self, booking: Booking) -> list[tuple[str, str]]:
        """The title and the address of each file with tickets of a booking."""
        if booking.status != BookingStatus.COMPLETED:
            return []
        address = reverse("admin:bookings_booking_tickets", args=[booking.pk])
        files = seats_of_files(booking)
        if len(files) == 1:
            return [("Tickets (PDF)", address)]
        return [(f"Tickets {first:,} to {last:,} (PDF)", f"{address}?first={first}") for first, last in files]

    def page_context(self, request, booking):
        event, tickets, position = booking.event, booking.tickets_reserved, booking.waitlist_position
        # A booking has few entries, unless staff move it often.
        entries = LedgerEntry.objects.filter(booking=booking).select_related("booking", "actor")
        may_see_entries = request.user.has_perm("bookings.view_ledgerentry")
        shown = list(entries[:MAX_ENTRIES]) if may_see_entries else []
        MailChoice.attach(shown)
        mails = Mail.objects.filter(booking=booking).select_related("announcement").order_by("-sequence", "-pk")
        return {
            "title": f"{booking.full_name}, {counted(tickets, 'ticket')}",
            "booking": booking,
            "ticket_files": self.ticket_files(booking),
            "event": event,
            "language": language_name(booking.holder_language),
            "waiting_reason": position and formatting.waiting_reason(event, tickets=tickets, position=position),
            "entries": sorted(shown, key=lambda entry: entry.sequence) if may_see_entries else None,
            "mails": list(mails[:MAX_MAILS]),
        }

    def changelist_view(self, request, extra_context=None):
        """A search for one booking by its reference or number leads to its page. So does the code of a ticket, with a
        message about what the ticket is worth."""
        reading = read_ticket(request.GET.get(SEARCH_VAR, ""))
        if reading.booking and request.method == "GET" and self.has_view_permission(request):
            add = messages.success if reading.state == TicketState.VALID else messages.warning
            add(request, f"Ticket {reading.seat:,}: {reading.state.label}")
            return HttpResponseRedirect(booking_url(reading.booking.pk))
        response = super().changelist_view(request, extra_context)
        listed = (getattr(response, "context_data", None) or {}).get("cl")
        if request.method == "GET" and listed and listed.exact_ids and len(listed.result_list) == 1:
            return HttpResponseRedirect(booking_url(listed.result_list[0].pk))
        return response

    @admin.display(description="name")
    def holder_name(self, booking: Booking) -> str:
        name = booking.full_name
        return format_html('{} <small class="account">{}</small>', name, booking.user) if booking.user else name

    @admin.display(description="tickets")
    def tickets(self, booking: Booking) -> str:
        return with_unit(booking.tickets_reserved, plural(booking.tickets_reserved, "ticket"))

    @admin.display(description="status")
    def short_status(self, booking: Booking) -> str:
        return status_badge(booking)

    @admin.display(description="event")
    def event_name(self, booking: Booking) -> str:
        return event_link(booking.event)

    @admin.display(description="in line")
    def position(self, booking: Booking) -> str:
        return "" if booking.waitlist_position is None else with_unit(booking.waitlist_position, "in line")

    @admin.display(description="made")
    def made(self, booking: Booking) -> str:
        return time_tag(booking.created_at, zone=booking.event.zone)
