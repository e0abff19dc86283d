from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import F, Q
from django.urls import reverse
from django.utils.html import format_html

from accounts.models import normalise_email, username_key
from bookings.admin.selection import KnownRows, confirm_cancellation, selected_ids, too_many
from bookings.exceptions import AlreadyCancelled
from bookings.models import Booking, attach_positions
from bookings.services.cancellation import cancel_tickets
from bookings.services.references import is_reference
from ticks.refusals import Refusal

MAX_BOOKINGS_AT_ONCE = 500


class BookingList(ChangeList):
    def get_results(self, request):
        super().get_results(request)
        self.result_list = list(self.result_list)
        attach_positions(self.result_list)


@admin.register(Booking)
class BookingAdmin(KnownRows, admin.ModelAdmin):
    """Bookings are made by their holders; staff look at them, and cancel them by the list's action."""

    list_display = [
        "reference",
        "holder_name",
        "tickets",
        "short_status",
        "position",
        "event_name",
        "email",
        "created_at",
    ]
    list_filter = ["status", "created_at"]
    list_select_related = ["event"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ["-pk"]
    # Said to be searchable; `get_search_results` knows how.
    search_fields = ["reference"]
    search_help_text = "Reference, name, email, username or event"
    actions = ["cancel_bookings"]
    fieldsets = [
        (None, {"fields": ["reference", "event", "tickets_reserved", "status", "position"]}),
        (
            "Booked by",
            {
                "fields": ["first_name", "last_name", "email", "user"],
                "description": "A booking without a user is a guest's.",
            },
        ),
        (
            "Record",
            {
                "fields": ["created_at", "updated_at", "ledger"],
                "description": "Bookings are cancelled, never deleted: choose the action in the list.",
            },
        ),
    ]
    readonly_fields = [field for _, options in fieldsets for field in options["fields"]]

    def has_add_permission(self, request):
        return False

    def has_change_permission(self, request, obj=None):
        """Actions are the only change: a single booking is for reading."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request, obj=None):
        return False

    def get_changelist(self, request, **kwargs):
        return BookingList

    def get_queryset(self, request):
        return super().get_queryset(request).select_related("event", "user")

    def get_search_results(self, request, queryset, search_term):
        """Each word must be found somewhere. The exactly collated columns hold one case only."""
        wanted = search_term.strip().upper()
        if is_reference(wanted):
            return queryset.filter(reference=wanted), False
        for word in search_term.split():
            queryset = queryset.filter(
                Q(reference__contains=word.upper())
                | Q(email__contains=normalise_email(word))
                | Q(user__username_key__contains=username_key(word))
                | Q(first_name__icontains=word)
                | Q(last_name__icontains=word)
                | Q(event__name__icontains=word)
            )
        return queryset, False

    @admin.display(description="name", ordering="first_name")
    def holder_name(self, booking: Booking) -> str:
        return f"{booking.first_name} {booking.last_name}".strip()

    @admin.display(description="tickets", ordering="tickets_reserved")
    def tickets(self, booking: Booking) -> int:
        return booking.tickets_reserved

    @admin.display(description="status", ordering="status")
    def short_status(self, booking: Booking) -> str:
        return booking.status.capitalize()

    @admin.display(description="event", ordering="event__name")
    def event_name(self, booking: Booking) -> str:
        return format_html(
            '<a href="{}">{}</a>', reverse("admin:events_event_change", args=[booking.event_id]), booking.event
        )

    @admin.display(description="in line", ordering="waitlist_number")
    def position(self, booking: Booking) -> int | None:
        return booking.waitlist_position

    @admin.display(description="ledger")
    def ledger(self, booking: Booking) -> str:
        url = reverse("admin:bookings_ledgerentry_changelist")
        return format_html('<a href="{}?booking__id__exact={}">What happened to it</a>', url, booking.pk)

    @admin.action(description="Cancel selected bookings …", permissions=["change"])
    def cancel_bookings(self, request, queryset):
        ids = selected_ids(request, queryset, at_most=MAX_BOOKINGS_AT_ONCE)
        if len(ids) > MAX_BOOKINGS_AT_ONCE:
            return too_many(self, request, "bookings", MAX_BOOKINGS_AT_ONCE)
        bookings = Booking.objects.filter(pk__in=ids).select_related("event")
        # From the end of the waitlist up, and who waits before who holds: nobody of the selection
        # is served by what another of it gives back.
        bookings = list(bookings.order_by(F("waitlist_number").desc(nulls_last=True), "pk"))
        if "confirmed" not in request.POST:
            return confirm_cancellation(
                self,
                request,
                title="Cancel bookings",
                action="cancel_bookings",
                question="Cancel these bookings, and serve the waitlist with their tickets? This cannot be undone.",
                rows=[(booking.pk, described(booking)) for booking in bookings],
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
    tickets = f"{booking.tickets_reserved} ticket{'' if booking.tickets_reserved == 1 else 's'}"
    return (
        f"{booking.reference}, {booking.first_name} {booking.last_name}, {booking.event}: {tickets}, {booking.status}"
    )
