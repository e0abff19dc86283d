"""Positions are computed from the counts of the waitlist's parts. Here a part has the numbers of four arrivals."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bookings.models import Booking, LinePart, attach_positions
from bookings.rules import ROOM, part_of_waitlist
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db
URL = "/api/v1/booking"


@pytest.fixture(autouse=True)
def _short_parts(monkeypatch):
    monkeypatch.setattr("bookings.rules.NUMBERS_A_PART", 4 * ROOM)


@pytest.fixture
def lines():
    """Two full events, their lines interleaved and with gaps; nobody fits until two tickets are free."""
    events = [EventFactory(total_tickets=2), EventFactory(total_tickets=2)]
    for event in events:
        BookingFactory(event=event, tickets=2)
    waiting = [BookingFactory(event=events[number % 2], tickets=2) for number in range(26)]
    for number in (0, 3, 4, 5, 12, 25):
        cancel_tickets(waiting[number])
    return events


def places(event):
    return list(Booking.objects.filter(event=event).waitlisted().order_by("waitlist_number"))


def parts(event):
    return dict(LinePart.objects.filter(event=event).exclude(waiting=0).values_list("first_number", "waiting"))


def parts_of(event):
    found = {}
    for booking in places(event):
        part = part_of_waitlist(booking.waitlist_number)
        found[part] = found.get(part, 0) + 1
    return found


def test_parts_count_who_waits(lines):
    for event in lines:
        assert len(parts(event)) >= 3
        assert parts(event) == parts_of(event)


def test_position_of_each_alone(lines):
    for event in lines:
        assert [booking.waitlist_position for booking in places(event)] == list(range(1, event.bookings.live().count()))


@pytest.mark.parametrize("step", [1, 3, 5])
def test_positions_of_some_together(lines, step):
    told = {booking.pk: place for event in lines for place, booking in enumerate(places(event), 1)}
    some = list(Booking.objects.waitlisted().order_by("-pk"))[::step]

    attach_positions(some)

    assert [booking.waitlist_position for booking in some] == [told[booking.pk] for booking in some]


def test_positions_move_up_over_parts(lines):
    event = lines[0]
    first, *others = places(event)

    cancel_tickets(Booking.objects.get(event=event, status="completed"))

    first.refresh_from_db()
    assert first.status == "completed"
    attach_positions(others)
    assert [booking.waitlist_position for booking in others] == list(range(1, len(others) + 1))
    assert parts(event) == parts_of(event)


def test_larger_event_serves_several_parts(lines):
    event = lines[1]

    change_event(event.pk, changes={"total_tickets": 2 + 10}, actor=event.created_by)

    assert event.bookings.filter(status="completed").count() == 6
    assert parts(event) == parts_of(event)


def test_deleted_event_has_no_line(lines):
    event, other = lines

    cancel_event(event.pk, actor=event.created_by)

    assert not LinePart.objects.filter(event=event).exists()
    assert parts(other) == parts_of(other)


def line_queries(work):
    with CaptureQueriesContext(connection) as queries:
        work()
    return [query["sql"] for query in queries if LinePart._meta.db_table in query["sql"]]


def test_line_costs_a_booking_nothing_where_nobody_waits():
    event = EventFactory(total_tickets=2)

    assert line_queries(lambda: book_tickets(BookingRequest(event.pk, 2, "Ada"))) == []


def test_line_costs_one_statement_however_many_leave_it(lines):
    event = lines[0]

    [_] = line_queries(lambda: change_event(event.pk, changes={"total_tickets": 100}, actor=event.created_by))

    assert parts(event) == {}
