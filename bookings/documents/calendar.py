"""A booking's event as an entry for calendars (iCalendar, RFC 5545)."""

from email.utils import parseaddr

from django.conf import settings
from django.utils.translation import ngettext, override
from icalendar import Calendar, Event

from bookings.exceptions import NoDate
from bookings.models import Booking


def calendar_entry(booking: Booking, *, method: str = "PUBLISH", is_described: bool = True) -> bytes:
    """The entry of a booking whose event is loaded. Raises `NoDate` if the event has none.

    It has no end, since Ticks does not know when an event ends. A calendar that gets it again replaces the entry by its
    UID if the SEQUENCE or the DTSTAMP is higher. With the method "CANCEL" it takes the entry out (RFC 5546, section
    3.2.5). Whoever has lost the booking to somebody else gets it without a description, which is about the tickets.
    """
    is_cancelled = method == "CANCEL"
    event = booking.event
    if event.date is None:
        raise NoDate
    entry = Event()
    entry.add("uid", f"{booking.reference}@ticks")
    entry.add("dtstamp", max(event.updated_at, booking.updated_at))
    epoch = getattr(booking, "ticket_epoch", None)
    # Whoever gives a booking away and gets it back has a cancelled entry, which a higher number brings back.
    entry.add("sequence", event.version + 2 * (epoch.epoch if epoch else 0) + is_cancelled)
    # In UTC, which each calendar shows in the zone of whoever looks, and which needs no rules of a zone in the file. An
    # event that happens once gains nothing from them.
    entry.add("dtstart", event.date)
    entry.add("summary", event.name)
    if event.venue:
        entry.add("location", event.venue)
    if is_described:
        with override(booking.holder_language):
            entry.add("description", description(booking))
    entry.add("status", "CANCELLED" if is_cancelled else "CONFIRMED")
    if address := parseaddr(settings.DEFAULT_FROM_EMAIL)[1]:
        entry.add("organizer", f"mailto:{address}")
    calendar = Calendar()
    calendar.add("prodid", "-//Ticks//Ticks//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(entry)
    return calendar.to_ical()


def description(booking: Booking) -> str:
    tickets = booking.tickets_reserved
    text = ngettext("Booking %(reference)s, %(tickets)d ticket", "Booking %(reference)s, %(tickets)d tickets", tickets)
    return text % {"reference": booking.reference, "tickets": tickets}
