"""The addresses of the pages of one event and one booking, and links to them."""

from django.urls import reverse
from django.utils.html import format_html

from bookings.models import Booking
from events.models import Event


def event_url(event_id: int) -> str:
    return reverse("admin:bookings_event_page", args=[event_id])


def booking_url(booking_id: int) -> str:
    return reverse("admin:bookings_booking_page", args=[booking_id])


def event_link(event: Event) -> str:
    return format_html('<a href="{}">{}</a>', event_url(event.pk), event)


def booking_link(booking: Booking) -> str:
    return format_html('<a href="{}">{}</a>', booking_url(booking.pk), booking.reference)
