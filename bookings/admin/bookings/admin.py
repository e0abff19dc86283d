"""The list of bookings, and the page of one: its holder, its place in the waitlist, and its history."""

from django.contrib import admin
from django.http import HttpResponseRedirect
from django.utils.html import format_html

from bookings.admin import formatting
from bookings.admin.bookings.actions import (
    CancelBookings,
    CancelTickets,
    MoveBooking,
    SendAgain,
    ServeOutOfTurn,
    TransferBooking,
)
from bookings.admin.bookings.list import BookingFilterForm, BookingList
from bookings.admin.exports import Exportable
from bookings.admin.formatting import booking_url, event_link, status_badge
from bookings.models import Booking, LedgerEntry, show_cancelled
from bookings.outbox import Mail
from ticks.formatting import counted, plural, time_tag, with_unit
from ticks.staff_actions import PageAdmin

MAX_ENTRIES = 100
MAX_MAILS = 20


@admin.register(Booking)
class BookingAdmin(Exportable, PageAdmin):
    """All changes are actions of staff; Django's own form of a booking is never shown."""

    page_prefix, page_template = "bookings_booking", "bookings/admin/booking.html"
    page_subjects = Booking.objects.select_related("event", "user")
    page_actions = [CancelTickets, TransferBooking, MoveBooking, ServeOutOfTurn, SendAgain]
    selection_actions = [CancelBookings]
    list_display = ["reference", "holder_name", "tickets", "short_status", "position", "event_name", "email", "made"]
    list_class, filter_form = BookingList, BookingFilterForm
    list_select_related = ["event", "user"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        """Nobody changes a booking by a form. Only actions change one."""
        return obj is None and super().has_change_permission(request)

    def find_to_view(self, request, pk):
        booking = super().find_to_view(request, pk)
        show_cancelled([booking])
        return booking

    def page_context(self, request, booking):
        event, tickets, position = booking.event, booking.tickets_reserved, booking.waitlist_position
        # A booking has few entries, unless staff move it often.
        entries = LedgerEntry.objects.filter(booking=booking).select_related("booking", "actor")[:MAX_ENTRIES]
        mails = Mail.objects.filter(booking=booking).order_by("-sequence", "-pk")[:MAX_MAILS]
        may_see_entries = request.user.has_perm("bookings.view_ledgerentry")
        return {
            "title": f"{booking.full_name}, {counted(tickets, 'ticket')}",
            "booking": booking,
            "event": event,
            "waiting_reason": position and formatting.waiting_reason(event, tickets=tickets, position=position),
            "entries": sorted(entries, key=lambda entry: entry.sequence) if may_see_entries else None,
            "mails": list(mails),
        }

    def changelist_view(self, request, extra_context=None):
        """A search for one booking by its reference or number leads to its page."""
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
        return time_tag(booking.created_at)
