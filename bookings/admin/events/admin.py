"""The list of events, and the page of one: how full it is, how it sells, who waits and why, and what happened last."""

from datetime import date
from functools import cached_property
from typing import NamedTuple

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import Count, QuerySet, Sum
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from bookings.admin.events.actions import (
    BookForCaller,
    ChangeCapacity,
    EditEvent,
    OpenOrCloseSales,
)
from bookings.admin.events.adding import AddEvent, ImportEvents
from bookings.admin.events.cancelling import CancelEvents, CancelWholeEvent
from bookings.admin.events.forms import LABELS, format_value
from bookings.admin.events.writing import StopWriting, WriteToHolders
from bookings.admin.exports import Exportable
from bookings.admin.filters import FilteredList, FilterForm, day_field, search_field
from bookings.admin.formatting import event_url, inventory_badge, waiting_reason
from bookings.exceptions import NoSuchPlace
from bookings.models import Booking, LedgerEntry
from bookings.outbox import MailChoice
from bookings.services.announcements import progress_of
from bookings.services.checks import quick_findings, start_check
from bookings.services.reports import sales_over_time
from bookings.services.search import number_in
from bookings.services.waitlist import number_at
from events.models import EDITABLE_FIELDS, STATES, Event
from ticks.exceptions import Refusal
from ticks.formatting import badge, counted, fill, time_tag, with_unit
from ticks.parsing import parse_id
from ticks.staff_actions import PageAdmin, action_view

PAGE_SIZE = 25
LATEST = 15
ANNOUNCEMENTS = 5
TONES = {"On sale": "good", "Sold out": "warn", "Not open yet": "", "Closed": "quiet", "Cancelled": "bad"}
# The page shows these fields in its head, as figures or as text, so they are not among the terms.
NO_TERMS = ("name", "date", "venue", "total_tickets", "description")
SUMS = ("total_tickets", "available_tickets", "waitlisted_count", "waitlisted_tickets")


class EventFilterForm(FilterForm):
    q = search_field("Name, venue or number")
    since = day_field("Date from")
    state = forms.ChoiceField(label="State", choices=[("", "Not cancelled"), *STATES], required=False)
    waits = forms.BooleanField(label="Somebody waits", required=False)
    field_order = ("q", "state", "since", "until", "waits")
    spans = [("Today", 0, 0), ("Next 7 days", 0, 6), ("Past", None, -1)]

    def start_of(self, day: date) -> date:
        # Each event has days of its own.
        return day


class TotalsPaginator(Paginator):
    """Counts the rows and adds their numbers up in one query: there are thousands of events, not a million."""

    @cached_property
    def totals(self) -> dict[str, int]:
        sums = {f"sum_{name}": Sum(name, default=0) for name in SUMS}
        totals = self.object_list.aggregate(sum_events=Count("pk"), **sums)
        return {name.removeprefix("sum_"): int(number) for name, number in totals.items()}

    @property
    def count(self) -> int:
        return self.totals["events"]


class EventList(FilteredList):
    def filter_rows(self, rows: QuerySet, *, q, state, since, until, waits) -> QuerySet:
        rows = rows.in_state(state)
        rows = rows.dated("gte", since) if since else rows
        rows = rows.dated("lt", until) if until else rows
        rows = rows.filter(waitlisted_count__gt=0) if waits else rows
        return rows.search(q) | rows.filter(pk=number_in(q)) if q else rows

    def url_for_result(self, result):
        return event_url(result.pk)

    @property
    def summary(self) -> str:
        totals = self.paginator.totals
        held = totals["total_tickets"] - totals["available_tickets"]
        waiting = totals["waitlisted_count"]
        waitlist = f"{counted(waiting, 'booking')} waiting for {counted(totals['waitlisted_tickets'], 'ticket')}"
        return (
            f"{counted(totals['events'], 'event')}: {held:,} of {counted(totals['total_tickets'], 'ticket')} held, "
            f"{waitlist if waiting else 'nobody waits'}"
        )


class WaitlistRow(NamedTuple):
    position: int
    booking: Booking
    # The reason why the booking is not served yet.
    reason: str


@admin.display(description="state")
def state_badge(event: Event) -> str:
    return badge(event.state, TONES[event.state])


@admin.register(Event)
class EventAdmin(Exportable, PageAdmin):
    """All changes are actions of staff; Django's own form of an event is never shown."""

    page_prefix, page_template = "bookings_event", "bookings/admin/event.html"
    page_subjects = Event.objects.select_related("created_by", "inventory_check")
    page_actions = [
        BookForCaller,
        ChangeCapacity,
        OpenOrCloseSales,
        EditEvent,
        WriteToHolders,
        StopWriting,
        CancelWholeEvent,
    ]
    selection_actions = [CancelEvents]
    list_display = ["name", state_badge, "held", "available", "waiting", "day", "more"]
    list_class, filter_form = EventList, EventFilterForm
    # Other columns would need a sort of all events for each page.
    sortable_by = ["day"]

    def get_urls(self):
        wrap = self.admin_site.admin_view
        return [
            path("add/", wrap(action_view(self, AddEvent)), name="events_event_add"),
            path("import/", wrap(action_view(self, ImportEvents)), name="events_event_import"),
            path("<str:pk>/verify/", wrap(require_POST(self.verify_view)), name="bookings_event_verify"),
            *super().get_urls(),
        ]

    def page_context(self, request, event):
        sees_bookings = request.user.has_perm("bookings.view_booking")
        # The entries' sentences contain the names of holders.
        sees_entries = sees_bookings and request.user.has_perm("bookings.view_ledgerentry")
        first = first_place(request, event)
        findings = quick_findings([event]).get(event.pk, [])
        now = timezone.now()
        sales = sales_over_time(event, now=now)
        terms = [name for name in EDITABLE_FIELDS if name not in NO_TERMS]
        entries = LedgerEntry.objects.filter(event=event).select_related("booking", "actor").order_by("-sequence")
        latest = list(entries[:LATEST]) if sees_entries else None
        MailChoice.attach(latest or [])
        return {
            "title": event.name,
            "event": event,
            "state": state_badge(event),
            "fill": fill(event.held_tickets, event.total_tickets),
            "badge": inventory_badge(event, getattr(event, "inventory_check", None), quick=findings),
            "terms": [(LABELS[name], format_value(name, getattr(event, name), event.zone)) for name in terms],
            "sales": sales,
            "chart_data": {**sales._asdict(), "zone": event.time_zone, "capacity": event.total_tickets, "now": now},
            "is_under_way": sales.periods and now < sales.end,
            "may_see_bookings": sees_bookings,
            "waitlist": waitlist_rows(event, first) if sees_bookings and event.waitlisted_count else [],
            "earlier": max(1, first - PAGE_SIZE) if first > 1 else None,
            "later": first + PAGE_SIZE if first + PAGE_SIZE <= event.waitlisted_count else None,
            "may_reorder": request.user.has_perm("bookings.reorder_waitlist"),
            "latest": latest,
            "announcements": progress_of(event, limit=ANNOUNCEMENTS),
        }

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

    def get_paginator(self, request, queryset, *args, **kwargs):
        # An event's history has pages too, and the rows there have no tickets.
        paginator = TotalsPaginator if queryset.model is Event else self.paginator
        return paginator(queryset, *args, **kwargs)

    def has_change_permission(self, request, obj=None):
        return super().has_change_permission(request, obj) and not (obj and obj.deleted_at)

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
        return time_tag(event.date, zone=event.zone)

    @admin.display(description="look up")
    def more(self, event: Event) -> str:
        return format_html(
            '<a href="{}?event={}">Bookings</a> · <a href="{}?event={}">Ledger</a>',
            reverse("admin:bookings_booking_changelist"),
            event.pk,
            reverse("admin:bookings_ledgerentry_changelist"),
            event.pk,
        )


def first_place(request: HttpRequest, event: Event) -> int:
    place = parse_id(request.GET.get("place", "")) or 1
    return min(place, event.waitlisted_count or 1)


def waitlist_rows(event: Event, first: int) -> list[WaitlistRow]:
    """The page of the waitlist from a place on. If the waitlist has become shorter than that, it is the first page."""
    bookings = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    if first > 1:
        try:
            bookings = bookings.filter(waitlist_number__gte=number_at(event, first))
        except NoSuchPlace:
            return waitlist_rows(event, 1)
    return [
        WaitlistRow(position, booking, waiting_reason(event, tickets=booking.tickets_reserved, position=position))
        for position, booking in enumerate(bookings[:PAGE_SIZE], start=first)
    ]
