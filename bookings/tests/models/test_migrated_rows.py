"""The migrations change existing bookings, as in an installation with events on sale."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import connection, models
from django.db.models import F

from bookings.models import Booking, LedgerEntry, LinePart, SalesHour
from bookings.rules import NUMBERS_A_PART, ROOM
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from events.migrations import _fills
from events.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def events():
    """Two full events, their lines interleaved, with gaps and long enough for two parts; one that was cancelled."""
    events = [EventFactory(total_tickets=2), EventFactory(total_tickets=2, waitlist_policy="strict")]
    for event in events:
        BookingFactory(event=event, tickets=2)
    waiting = [BookingFactory(event=events[number % 2], tickets=2) for number in range(26)]
    for number in (0, 3, 4, 5, 12, 25):
        cancel_tickets(waiting[number])
    cancel_tickets(waiting[7], tickets=1)
    change_event(events[0].pk, changes={"total_tickets": 7}, actor=events[0].created_by)
    gone = EventFactory()
    BookingFactory(event=gone)
    cancel_event(gone.pk, actor=gone.created_by)
    return [*events, gone]


def make_old():
    """Leaves the rows as they were when an arrival's number was its ledger entry's."""
    # The rows are changed one by one from the front, since no two may have one number at any time.
    for booking in Booking.objects.waitlisted().order_by("waitlist_number"):
        Booking.objects.filter(pk=booking.pk).update(waitlist_number=booking.waitlist_number // ROOM)
    SalesHour.objects.all().delete()
    LinePart.objects.all().delete()


def run_sql(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def migrate():
    run_sql(_fills.WAITED_FOR)
    _fills.fill_hours(apps, None)
    make_room()


def make_room():
    # This is no true editor. SQLite's would have to turn off foreign keys before the test's transaction begins.
    _fills.make_room(apps, SimpleNamespace(connection=connection))


def findings():
    return [report.findings for report in verify_events()]


def rows(model, *columns):
    return list(model.objects.order_by("pk").values_list(*columns))


def test_migrations_make_of_old_rows_what_would_have_been_made_of_them(events):
    told = rows(Event, "pk", "waitlisted_tickets"), rows(Booking, "pk", "waitlist_number")
    line = rows(LinePart, "event", "first_number")
    make_old()
    Event.objects.update(waitlisted_tickets=F("waitlisted_count"))
    assert all(findings()[:2])

    migrate()

    assert findings() == [[], [], []]
    assert (rows(Event, "pk", "waitlisted_tickets"), rows(Booking, "pk", "waitlist_number")) == told
    assert rows(LinePart, "event", "first_number") == line


def test_bookings_are_counted_as_they_stand(events):
    make_old()
    Event.objects.update(booking_count=99, completed_count=0)
    LinePart.objects.all().delete()

    run_sql(*_fills.COUNT_BOOKINGS)
    migrate()

    assert findings() == [[], [], []]
    assert rows(Event, "booking_count", "completed_count", "waitlisted_count", "waitlisted_tickets") == [
        (14, 3, 8, 16),
        (14, 1, 10, 19),
        (1, 0, 0, 0),
    ]


def test_waiting_bookings_of_others_are_not_wanted_here():
    waits, sold = EventFactory(total_tickets=3), EventFactory(total_tickets=3)
    for tickets in (2, 2, 3):
        BookingFactory(event=waits, tickets=tickets)
    BookingFactory(event=sold, tickets=3)
    Event.objects.update(waitlisted_tickets=F("waitlisted_count"))

    run_sql(_fills.WAITED_FOR)

    assert rows(Event, "waitlisted_tickets") == [(5,), (0,)]


def test_numbers_get_room_whatever_they_were():
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    # The first becomes what the last has, and the second what the last but one has.
    numbers = [9, 256, 256 * ROOM, 9 * ROOM]
    waiting = [BookingFactory(event=event) for _ in numbers]
    for booking, number in zip(waiting, numbers, strict=True):
        models.QuerySet(LedgerEntry).filter(booking=booking).update(sequence=number)
        Booking.objects.filter(pk=booking.pk).update(waitlist_number=number)
    LinePart.objects.all().delete()

    make_room()
    # This is the state after an interruption.
    make_room()

    places = Booking.objects.waitlisted().order_by("pk").values_list("waitlist_number", flat=True)
    assert list(places) == [number * ROOM for number in numbers]
    assert sorted(rows(LinePart, "first_number", "waiting")) == [
        (0, 1),
        (NUMBERS_A_PART, 1),
        (9 * ROOM * ROOM, 1),
        (NUMBERS_A_PART * ROOM, 1),
    ]


def test_hours_are_read_from_the_ledger(monkeypatch, events):
    monkeypatch.setattr(_fills, "ENTRIES", 7)
    event = events[0]
    times = iter([10, 10, 11, 11, 11, 14])
    start = datetime(2026, 3, 1, tzinfo=UTC)
    for entry in LedgerEntry.objects.filter(event=event).order_by("sequence"):
        at = start + timedelta(hours=next(times, 14), minutes=59, seconds=59)
        # The ledger's own manager would refuse this.
        models.QuerySet(LedgerEntry).filter(pk=entry.pk).update(created_at=at)
    SalesHour.objects.all().delete()

    _fills.fill_hours(apps, None)
    # It starts anew, as after an interruption.
    _fills.fill_hours(apps, None)

    told = SalesHour.objects.filter(event=event).order_by("hour")
    assert list(told.values_list("hour", "bookings", "tickets", "held", "waiting")) == [
        (start + timedelta(hours=10), 1, 2, 2, 0),
        (start + timedelta(hours=11), 3, 6, 2, 3),
        (start + timedelta(hours=14), 10, 20, 6, 8),
    ]
    assert SalesHour.objects.exclude(event=event).values("event").distinct().count() == 2
    assert findings() == [[], [], []]


def test_addresses_of_bookings_get_ascii_domains():
    bookings = [BookingFactory(), BookingFactory(), BookingFactory()]
    emails = ["ada@exämple.org", "ada@example.org", "ada@\u2603.net"]
    for booking, email in zip(bookings, emails, strict=True):
        Booking.objects.filter(pk=booking.pk).update(email=email)

    import_module("bookings.migrations.0008_ascii_domains").encode_domains(apps, None)

    found = list(Booking.objects.order_by("pk").values_list("email", flat=True))
    assert found == ["ada@xn--exmple-cua.org", "ada@example.org", "ada@\u2603.net"]
