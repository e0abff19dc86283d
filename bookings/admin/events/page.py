"""The page of one event: how full it is, how it sells, the waitlist with reasons, and the latest ledger entries."""

from typing import NamedTuple

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from bookings.admin.events.actions import BookForCaller, CancelWholeEvent, ChangeCapacity
from bookings.admin.events.edit import LABELS, EditEvent, OpenOrCloseSales, format_value
from bookings.exceptions import NotInLine
from bookings.models import Booking, LedgerEntry
from bookings.services.checks import badge_of, quick_findings
from bookings.services.reports import sales_over_time
from bookings.services.waitlist import number_at
from events.models import EDITABLE_FIELDS, Event, state_of
from ticks.formatting import badge, counted, fill
from ticks.parsing import parse_id

EVENT_ACTIONS = [BookForCaller, ChangeCapacity, OpenOrCloseSales, EditEvent, CancelWholeEvent]
PAGE_SIZE = 25
LATEST = 15
TONES = {"On sale": "good", "Sold out": "warn", "Not open yet": "", "Closed": "quiet", "Cancelled": "bad"}
# The page shows these fields in its head, as figures or as text, so they are not among the terms.
NO_TERMS = ("name", "date", "venue", "total_tickets", "description")


class WaitlistRow(NamedTuple):
    position: int
    booking: Booking
    # The reason why the booking is not served yet.
    reason: str


def event_context(request: HttpRequest, event: Event) -> dict:
    sees_bookings = request.user.has_perm("bookings.view_booking")
    first = first_place(request, event)
    findings = quick_findings([event]).get(event.pk, [])
    sales = sales_over_time(event, now=timezone.now())
    terms = [name for name in EDITABLE_FIELDS if name not in NO_TERMS]
    return {
        "title": event.name,
        "event": event,
        "state": state_badge(event),
        "fill": fill(event.held_tickets, event.total_tickets),
        "badge": badge_of(event, getattr(event, "inventory_check", None), quick=findings),
        "terms": [(LABELS[name], format_value(name, getattr(event, name))) for name in terms],
        "sales": sales,
        "chart_data": {**sales._asdict(), "capacity": event.total_tickets},
        "may_see_bookings": sees_bookings,
        "waitlist": waitlist_rows(event, first) if sees_bookings and event.waitlisted_count else [],
        "earlier": max(1, first - PAGE_SIZE) if first > 1 else None,
        "later": first + PAGE_SIZE if first + PAGE_SIZE <= event.waitlisted_count else None,
        "may_reorder": request.user.has_perm("bookings.reorder_waitlist"),
        # The entries' sentences contain the names of holders.
        "latest": latest(event) if sees_bookings and request.user.has_perm("bookings.view_ledgerentry") else None,
    }


@admin.display(description="state")
def state_badge(event: Event) -> str:
    state = state_of(event.deleted_at, event.sales_start, event.sales_end, event.available_tickets)
    return badge(state, TONES[state])


def first_place(request: HttpRequest, event: Event) -> int:
    place = parse_id(request.GET.get("place", "")) or 1
    return min(place, event.waitlisted_count or 1)


def waitlist_rows(event: Event, first: int) -> list[WaitlistRow]:
    """The page of the waitlist from a place on. If the waitlist has become shorter than that, it is the first page."""
    bookings = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    if first > 1:
        try:
            bookings = bookings.filter(waitlist_number__gte=number_at(event, first))
        except NotInLine:
            return waitlist_rows(event, 1)
    return [
        WaitlistRow(position, booking, waiting_reason(event, booking, position))
        for position, booking in enumerate(bookings[:PAGE_SIZE], start=first)
    ]


def waiting_reason(event: Event, booking: Booking, position: int) -> str:
    needs, available = booking.tickets_reserved, event.available_tickets
    if needs > available:
        return f"needs {needs:,}, {available:,} available"
    if event.waitlist_policy == Event.WaitlistPolicy.STRICT and position > 1:
        return f"would fit, but nobody passes number 1: {counted(position - 1, 'booking')} ahead"
    return "is served next"


def latest(event: Event) -> list[LedgerEntry]:
    return list(
        LedgerEntry.objects.filter(event=event).select_related("booking", "actor").order_by("-sequence")[:LATEST]
    )
