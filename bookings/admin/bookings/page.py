"""One booking: whose it is, where it stands, and its story."""

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.template.response import TemplateResponse

from bookings.admin.bookings.actions import WaitingAction
from bookings.admin.events.page import why_not_served
from bookings.admin.pages import BOOKING_ACTIONS
from bookings.enums import BookingStatus
from bookings.models import Booking, LedgerEntry
from ticks.formatting import counted
from ticks.parsing import find

STORY = 100


def booking_page(request: HttpRequest, pk: str, *, model_admin):
    booking = find(Booking.objects.select_related("event", "user"), pk)
    if booking is None:
        raise Http404
    if not model_admin.has_view_permission(request, booking):
        raise PermissionDenied
    position = booking.waitlist_position
    context = {
        **model_admin.admin_site.each_context(request),
        "title": f"{booking.full_name}, {counted(booking.tickets_reserved, 'ticket')}",
        "opts": model_admin.opts,
        "booking": booking,
        "event": booking.event,
        "name": booking.full_name,
        "why": why_not_served(booking.event, booking, position) if position else "",
        "actions": actions_for(request, booking),
        "story": story(booking) if request.user.has_perm("bookings.view_ledgerentry") else None,
    }
    return TemplateResponse(request, "bookings/admin/booking.html", context)


def actions_for(request: HttpRequest, booking: Booking) -> list:
    if booking.status == BookingStatus.CANCELLED:
        return []
    waits = booking.status == BookingStatus.WAITLISTED
    return [
        action
        for action in BOOKING_ACTIONS
        if request.user.has_perm(action.permission) and (waits or not issubclass(action, WaitingAction))
    ]


def story(booking: Booking) -> list[LedgerEntry]:
    """What happened to it, from the first on. Its entries are few, unless somebody moved it about."""
    entries = LedgerEntry.objects.filter(booking=booking).select_related("booking", "actor")
    return sorted(entries[:STORY], key=lambda entry: entry.sequence)
