from django.contrib import admin, messages
from django.http import HttpResponseRedirect
from django.urls import path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from bookings.admin.events.actions import CancelEvents
from bookings.admin.events.adding import AddEvent, ImportEvents
from bookings.admin.events.list import EventList, TotalsPaginator
from bookings.admin.events.page import EVENT_ACTIONS, event_context, state_badge
from bookings.admin.exports import Exportable
from bookings.admin.filters import EventFilterForm
from bookings.services.checks import start_check
from events.models import Event
from ticks.exceptions import Refusal
from ticks.formatting import counted, fill, time_tag, with_unit
from ticks.staff_actions import PageAdmin, action_view


@admin.register(Event)
class EventAdmin(Exportable, PageAdmin):
    """The list of events and the way to their pages; all changes are actions of staff."""

    page_prefix, page_template = "bookings_event", "bookings/admin/event.html"
    page_subjects = Event.objects.select_related("created_by", "inventory_check")
    page_actions = EVENT_ACTIONS
    list_display = ["name", state_badge, "held", "available", "waiting", "day", "more"]
    filter_form = EventFilterForm
    # Django shows its search where there are search fields; the list's form searches.
    search_fields = ["name", "venue"]
    # Other columns would need a sort of all events for each page.
    sortable_by = ["day"]
    empty_value_display = ""
    preserve_filters = False
    ordering = ["-pk"]
    list_per_page = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ["cancel_events"]

    def get_urls(self):
        wrap = self.admin_site.admin_view
        return [
            path("add/", wrap(action_view(self, AddEvent)), name="events_event_add"),
            path("import/", wrap(action_view(self, ImportEvents)), name="events_event_import"),
            path("<str:pk>/verify/", wrap(require_POST(self.verify_view)), name="bookings_event_verify"),
            *super().get_urls(),
        ]

    def page_context(self, request, subject):
        return event_context(request, subject)

    def verify_view(self, request, pk):
        """Starts a check of the event's inventory; the event's page shows its result."""
        event = self.find_to_view(request, pk)
        try:
            start_check(event.pk, actor=request.user)
            text = "Counts, bookings and ledger are being compared; load this page again in a moment."
            messages.success(request, text)
        except Refusal as refusal:
            messages.warning(request, str(refusal))
        return HttpResponseRedirect(self.page_url(event.pk))

    def get_changelist(self, request, **kwargs):
        return EventList

    def get_paginator(self, request, queryset, *args, **kwargs):
        # An event's history has pages too, and the rows there have no tickets.
        paginator = TotalsPaginator if queryset.model is Event else self.paginator
        return paginator(queryset, *args, **kwargs)

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and not (obj and obj.deleted_at)

    def has_delete_permission(self, request, obj=None):
        return False

    def has_cancel_permission(self, request) -> bool:
        return request.user.has_perm(CancelEvents.permission)

    @admin.action(description="Cancel selected events …", permissions=["cancel"])
    def cancel_events(self, request, queryset):
        return CancelEvents.respond_to_list(self, request, queryset)

    @admin.display(description="held")
    def held(self, event: Event) -> str:
        return fill(event.held_tickets, event.total_tickets)

    @admin.display(description="available")
    def available(self, event: Event) -> str:
        return with_unit(event.available_tickets, "available")

    @admin.display(description="waiting")
    def waiting(self, event: Event) -> str:
        if not event.waitlisted_count:
            return ""
        return with_unit(event.waitlisted_count, f"waiting for {counted(event.waitlisted_tickets, 'ticket')}")

    @admin.display(description="date", ordering="date")
    def day(self, event: Event) -> str:
        return time_tag(event.date)

    @admin.display(description="look up")
    def more(self, event: Event) -> str:
        return format_html(
            '<a href="{}?event={}">Bookings</a> · <a href="{}?event={}">Ledger</a>',
            reverse("admin:bookings_booking_changelist"),
            event.pk,
            reverse("admin:bookings_ledgerentry_changelist"),
            event.pk,
        )
