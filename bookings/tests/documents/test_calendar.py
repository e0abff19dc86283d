"""A booking's entry for calendars, read by another library than the one that writes it."""

from datetime import UTC, datetime, timedelta

import pytest
import vobject

from bookings.documents.calendar import calendar_entry
from bookings.exceptions import NoDate
from bookings.services.events import change_event
from bookings.services.tickets import read_ticketed
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db
DATE = datetime(2080, 12, 31, 20, tzinfo=UTC)


def entry_of(booking):
    return vobject.readOne(calendar_entry(read_ticketed(booking)).decode())


def test_entry_says_what_when_and_where():
    event = EventFactory(name="Gala; with, commas\\ 🎟", venue="Hall 3, left", date=DATE)
    booking = BookingFactory(event=event, tickets=2)

    calendar = entry_of(booking)

    assert (calendar.method.value, calendar.version.value) == ("PUBLISH", "2.0")
    [entry] = calendar.vevent_list
    assert entry.summary.value == "Gala; with, commas\\ 🎟"
    assert entry.location.value == "Hall 3, left"
    assert entry.dtstart.value == DATE
    assert entry.uid.value == f"{booking.reference}@ticks"
    assert entry.sequence.value == "1"
    assert entry.description.value == f"Booking {booking.reference}, 2 tickets"
    assert not hasattr(entry, "attendee")


def test_entry_has_lines_as_the_standard_wants_them():
    booking = BookingFactory(event=EventFactory(name="ž" * 200, date=DATE))

    content = calendar_entry(read_ticketed(booking))

    assert content.count(b"\n") == content.count(b"\r\n") > 10
    assert content.endswith(b"END:VCALENDAR\r\n")
    assert max(map(len, content.split(b"\r\n"))) <= 75


def test_changed_event_replaces_the_entry(admin_user):
    event = EventFactory(date=DATE)
    booking = BookingFactory(event=event)
    before = entry_of(booking).vevent

    change_event(event.pk, changes={"date": DATE + timedelta(days=1)}, actor=admin_user)
    after = entry_of(booking).vevent

    assert after.uid.value == before.uid.value
    assert (before.sequence.value, after.sequence.value) == ("1", "2")
    assert after.dtstart.value == DATE + timedelta(days=1)
    assert after.dtstamp.value >= before.dtstamp.value


def test_event_without_a_date_has_no_entry():
    with pytest.raises(NoDate):
        calendar_entry(read_ticketed(BookingFactory(event=EventFactory(date=None))))
