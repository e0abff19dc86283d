"""The totals of each hour of an event's sales are counted while the bookings are made."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.models import SalesHour
from bookings.services import batches
from bookings.services.batch_queue import Batch
from bookings.services.booking import BookingJob, BookingRequest
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db
TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch):
    """Says what time it is."""
    times = [TEN - timedelta(days=1)]
    monkeypatch.setattr(timezone, "now", lambda: times[-1])
    return times.append


def hours(event):
    return list(
        SalesHour.objects.filter(event=event)
        .order_by("hour")
        .values_list("hour", "bookings", "tickets", "held", "waiting")
    )


def findings():
    return [finding for report in verify_events() for finding in report.findings]


def test_event_that_nothing_was_booked_on_has_no_hour(clock):
    assert hours(EventFactory()) == []
    assert findings() == []


def test_hour_adds_bookings_and_keeps_the_latest_counts(clock):
    event = EventFactory(total_tickets=10)
    clock(TEN)
    BookingFactory(event=event, tickets=6)
    clock(TEN + timedelta(minutes=30))
    BookingFactory(event=event, tickets=3)
    BookingFactory(event=event, tickets=4)

    assert hours(event) == [(TEN, 3, 13, 9, 1)]
    assert findings() == []


def test_hour_begins_with_its_first_moment(clock):
    event = EventFactory(total_tickets=10)
    for moment in (timedelta(), timedelta(minutes=59, seconds=59, microseconds=999_999), timedelta(hours=1)):
        clock(TEN + moment)
        BookingFactory(event=event, tickets=2)

    assert hours(event) == [(TEN, 2, 4, 4, 0), (TEN + timedelta(hours=1), 1, 2, 6, 0)]
    assert findings() == []


def test_hours_of_two_events_in_one_group_are_apart(clock):
    events = EventFactory.create_batch(2, total_tickets=2)
    clock(TEN)

    batches.run_batch(
        Batch([BookingJob(BookingRequest(events[number % 2].pk, 1 + number // 2, "Ada")) for number in range(4)])
    )

    assert [hours(event) for event in events] == [[(TEN, 2, 3, 1, 1)]] * 2
    assert findings() == []


def test_cancellation_sells_nothing_and_sets_who_holds_and_waits(clock):
    event = EventFactory(total_tickets=4)
    clock(TEN)
    holder = BookingFactory(event=event, tickets=4)
    BookingFactory(event=event, tickets=3)
    BookingFactory(event=event, tickets=2)
    clock(TEN + timedelta(hours=2))

    cancel_tickets(holder)

    assert hours(event) == [(TEN, 3, 9, 4, 2), (TEN + timedelta(hours=2), 0, 0, 3, 1)]
    assert findings() == []


def test_edit_sets_the_hour_without_a_booking(clock):
    event = EventFactory(total_tickets=4)
    BookingFactory(event=event, tickets=3)
    clock(TEN)

    change_event(event.pk, changes={"total_tickets": 9, "venue": "Cellar"}, actor=event.created_by)

    assert hours(event)[1:] == [(TEN, 0, 0, 3, 0)]
    assert findings() == []


def test_cancelled_event_holds_nothing_in_its_last_hour(clock):
    event = EventFactory(total_tickets=4)
    clock(TEN)
    BookingFactory(event=event, tickets=3)
    BookingFactory(event=event, tickets=3)

    cancel_event(event.pk, actor=event.created_by)

    assert hours(event) == [(TEN, 2, 6, 0, 0)]
    assert findings() == []


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (
            {"bookings": 2},
            "counts (2, 3, 3, 0) (bookings, tickets, held, waiting), its ledger entries say (1, 3, 3, 0)",
        ),
        ({"tickets": 9}, "counts (1, 9, 3, 0)"),
        ({"held": 1}, "counts (1, 3, 1, 0)"),
        ({"waiting": 1}, "counts (1, 3, 3, 1)"),
        ({"hour": TEN + timedelta(hours=1)}, "the hour from 2026-03-01 11:00 counts (1, 3, 3, 0)"),
        ({"hour": TEN + timedelta(minutes=1)}, "its ledger entries say None"),
    ],
)
def test_verify_finds_a_damaged_hour(clock, damage, finding):
    event = EventFactory(total_tickets=4)
    clock(TEN)
    BookingFactory(event=event, tickets=3)
    SalesHour.objects.filter(event=event).update(**damage)

    assert any(finding in found for found in findings())


def test_verify_misses_an_hour_that_is_gone(clock):
    event = EventFactory(total_tickets=4)
    clock(TEN)
    BookingFactory(event=event, tickets=3)
    SalesHour.objects.all().delete()

    assert [found for found in findings() if "the hour from 2026-03-01 10:00 counts None" in found]
