"""One event as it stands: how full it is, how it sells, who waits and why, and what happened last."""

from dataclasses import dataclass

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from bookings.admin.links import event_url
from bookings.admin.pages import EVENT_ACTIONS
from bookings.exceptions import NotInLine
from bookings.models import Booking, LedgerEntry
from bookings.services.checks import badge_of, quick_findings, start_check
from bookings.services.reports import sales_over_time
from bookings.services.waitlist import number_at
from events.models import Event
from ticks.exceptions import Refusal
from ticks.formatting import counted, fill
from ticks.parsing import find

WAITING = 25
LATEST = 15
EVENTS = Event.objects.select_related("created_by", "inventory_check")


@dataclass(slots=True)
class Place:
    """One who waits: where, and why not served."""

    position: int
    booking: Booking
    why: str

    @property
    def up(self) -> int:
        return self.position - 1

    @property
    def down(self) -> int:
        return self.position + 1


def event_page(request: HttpRequest, pk: str, *, model_admin):
    event = find(EVENTS, pk)
    if event is None:
        raise Http404
    if not model_admin.has_view_permission(request, event):
        raise PermissionDenied
    sees_bookings = request.user.has_perm("bookings.view_booking")
    first = first_place(request, event)
    findings = quick_findings([event]).get(event.pk, [])
    badge = badge_of(event, getattr(event, "inventory_check", None), quick=findings)
    sales = sales_over_time(event, now=timezone.now())
    context = {
        **model_admin.admin_site.each_context(request),
        "title": event.name,
        "opts": model_admin.opts,
        "event": event,
        "state": model_admin.state_badge(event),
        "fill": fill(event.held_tickets, event.total_tickets),
        "badge": badge,
        "sales": sales,
        "chart_data": {**sales._asdict(), "capacity": event.total_tickets},
        "actions": actions_for(request, event),
        "may_see_bookings": sees_bookings,
        "places": places(event, first) if sees_bookings and event.waitlisted_count else [],
        "first_place": first,
        "earlier": max(1, first - WAITING) if first > 1 else None,
        "later": first + WAITING if first + WAITING <= event.waitlisted_count else None,
        "may_reorder": request.user.has_perm("bookings.reorder_waitlist"),
        # In words they name who booked.
        "latest": latest(event) if sees_bookings and request.user.has_perm("bookings.view_ledgerentry") else None,
    }
    return TemplateResponse(request, "bookings/admin/event.html", context)


def verify(request: HttpRequest, pk: str, *, model_admin) -> HttpResponseRedirect:
    """Begins a check of the event's inventory; its page tells how it went."""
    event = find(EVENTS, pk)
    if event is None:
        raise Http404
    if not model_admin.has_view_permission(request, event):
        raise PermissionDenied
    try:
        start_check(event.pk, actor=request.user)
        messages.success(request, "Counts, bookings and ledger are being compared; load this page again in a moment.")
    except Refusal as refusal:
        messages.warning(request, str(refusal))
    return HttpResponseRedirect(event_url(event.pk))


def actions_for(request: HttpRequest, event: Event) -> list:
    if event.deleted_at:
        return []
    return [action for action in EVENT_ACTIONS if request.user.has_perm(action.permission)]


def first_place(request: HttpRequest, event: Event) -> int:
    given = request.GET.get("place", "")
    wanted = int(given) if given.isascii() and given.isdigit() and len(given) < 10 else 1
    return max(1, min(wanted, event.waitlisted_count or 1))


def places(event: Event, first: int) -> list[Place]:
    """Some who wait, from a place on, in order; from the first where the line got shorter meanwhile."""
    line = Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number")
    if first > 1:
        try:
            line = line.filter(waitlist_number__gte=number_at(event, first))
        except NotInLine:
            return places(event, 1)
    return [
        Place(position, booking, why_not_served(event, booking, position))
        for position, booking in enumerate(line[:WAITING], start=first)
    ]


def why_not_served(event: Event, booking: Booking, position: int) -> str:
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
