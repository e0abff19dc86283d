from functools import partial

from django.contrib import admin, messages
from django.db.models import F
from django.http import HttpResponseRedirect
from django.urls import path
from django.utils.html import format_html

from bookings.admin import formatting
from bookings.admin.action import action_view
from bookings.admin.bookings.list import BookingList
from bookings.admin.bookings.page import booking_page
from bookings.admin.exports import Exportable
from bookings.admin.filters import BookingFilterForm
from bookings.admin.links import booking_url, event_link
from bookings.admin.pages import BOOKING_ACTIONS
from bookings.admin.selection import KnownRows, confirm_cancellation, is_confirmed, led_to, selected_ids, too_many
from bookings.exceptions import AlreadyCancelled
from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
from bookings.services.preview import foresee_cancellations
from ticks.exceptions import Refusal
from ticks.formatting import counted, plural, time_tag, with_unit

MAX_BOOKINGS_AT_ONCE = 500


@admin.register(Booking)
class BookingAdmin(Exportable, KnownRows, admin.ModelAdmin):
    """The list of bookings and the way to their pages; Django's own form of one is never shown."""

    list_display = [
        "reference",
        "holder_name",
        "tickets",
        "short_status",
        "position",
        "event_name",
        "email",
        "made",
    ]
    filter_form = BookingFilterForm
    list_select_related = ["event", "user"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    empty_value_display = ""
    preserve_filters = False
    ordering = ["-pk"]
    # Django shows a search field where this is set; `bookings.admin.bookings.search` knows how.
    search_fields = ["reference"]
    actions = ["cancel_bookings"]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        """Actions are the only change: a single booking is for reading."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request, obj=None):
        return False

    def get_urls(self):
        wrap = self.admin_site.admin_view
        actions = [
            path(f"<str:pk>/{action.name}/", wrap(action_view(self, action)), name=f"bookings_booking_{action.name}")
            for action in BOOKING_ACTIONS
        ]
        page = path("<str:pk>/", wrap(partial(booking_page, model_admin=self)), name="bookings_booking_page")
        return [*actions, *super().get_urls()[:-1], page, *super().get_urls()[-1:]]

    def get_changelist(self, request, **kwargs):
        return BookingList

    def changelist_view(self, request, extra_context=None):
        """The list; the booking itself for a search by its reference or number."""
        response = super().changelist_view(request, extra_context)
        listed = (getattr(response, "context_data", None) or {}).get("cl")
        search = listed and listed.search
        if request.method == "GET" and search and search.exact_ids and len(listed.result_list) == 1:
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
        return formatting.status_badge(booking)

    @admin.display(description="event")
    def event_name(self, booking: Booking) -> str:
        return event_link(booking.event)

    @admin.display(description="in line")
    def position(self, booking: Booking) -> str:
        return "" if booking.waitlist_position is None else with_unit(booking.waitlist_position, "in line")

    @admin.display(description="made")
    def made(self, booking: Booking) -> str:
        return time_tag(booking.created_at)

    def change_view(self, request, object_id, form_url="", extra_context=None):
        return led_to(booking_url, object_id)

    def has_cancel_permission(self, request) -> bool:
        return request.user.has_perm("bookings.cancel_booking")

    @admin.action(description="Cancel selected bookings …", permissions=["cancel"])
    def cancel_bookings(self, request, queryset):
        ids = selected_ids(request, queryset, at_most=MAX_BOOKINGS_AT_ONCE)
        if len(ids) > MAX_BOOKINGS_AT_ONCE:
            return too_many(self, request, "bookings", MAX_BOOKINGS_AT_ONCE)
        bookings = Booking.objects.filter(pk__in=ids).select_related("event")
        # From the end of the waitlist up, and who waits before who holds: nobody of the selection
        # is served by what another of it gives back.
        bookings = list(bookings.order_by(F("waitlist_number").desc(nulls_last=True), "pk"))
        rows = [(booking.pk, described(booking)) for booking in bookings]
        if not is_confirmed(request, rows):
            return confirm_cancellation(
                self,
                request,
                title="Cancel bookings",
                action="cancel_bookings",
                question="Cancel these bookings, and serve the waitlist with their tickets? This cannot be undone.",
                rows=rows,
                effects=[
                    " ".join(
                        filter(None, [f"{forecast.event}:", formatting.promotes(forecast), formatting.then(forecast)])
                    )
                    for forecast in foresee_cancellations(bookings)
                ],
            )
        self.cancel_each(request, bookings)
        return None

    def cancel_each(self, request, bookings: list[Booking]) -> None:
        done = already = served = 0
        for booking in bookings:
            try:
                cancellation = cancel_tickets(booking, actor=request.user)
            except AlreadyCancelled:
                already += 1
            except Refusal as refusal:
                self.message_user(request, f"{booking.reference}: {refusal}", level=messages.ERROR)
            else:
                done += 1
                served += cancellation.served
                self.log_change(request, booking, "Cancelled.")
        said = (
            f"Bookings cancelled: {done}. Already cancelled before: {already}. "
            f"Waiting bookings served with their tickets: {served}."
        )
        self.message_user(request, said, level=messages.SUCCESS if done else messages.WARNING)


def described(booking: Booking) -> str:
    tickets = counted(booking.tickets_reserved, "ticket")
    status, _ = formatting.STATUSES[booking.status]
    return f"{booking.reference}, {booking.full_name}, {booking.event}: {tickets}, {status}"
