from datetime import UTC, datetime, timedelta

import pytest

from bookings.models import Booking
from bookings.tests.factories import EventFactory
from ticks.db import scanning
from ticks.db.scanning import range_of, scan

pytestmark = pytest.mark.django_db

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 3000


@pytest.fixture
def rows():
    """One booking is made each hour. The ids have gaps, and neighbours are in the wrong order."""
    event = EventFactory()
    Booking.objects.bulk_create(
        Booking(
            pk=1000 + 3 * hour,
            reference=f"{hour}",
            event=event,
            tickets_reserved=1,
            status="completed",
            created_at=BEGAN + timedelta(hours=hour, seconds=-(hour % 2) * 3700),
        )
        for hour in range(HOURS)
    )
    return Booking.objects.all()


def made_between(rows, since, until):
    rows = rows.filter(created_at__gte=since) if since else rows
    rows = rows.filter(created_at__lt=until) if until else rows
    return list(rows.values_list("pk", flat=True))


@pytest.mark.parametrize(
    ("since", "until"),
    [(None, None), (100, None), (None, 100), (100, 124), (0, 1), (-5, -3), (HOURS + 5, None), (2999, 3000), (7, 7)],
)
def test_bounds_hold_every_row_of_the_span(rows, since, until, monkeypatch):
    monkeypatch.setattr(scanning, "DISORDER", timedelta(hours=2))
    since, until = (None if hour is None else BEGAN + timedelta(hours=hour) for hour in (since, until))

    low, high = range_of(rows, "pk", since, until)

    assert all(low <= pk <= high for pk in made_between(rows, since, until))


@pytest.mark.parametrize(("at", "hour"), [(0, 2999), (1500, 0), (2999, 0), (1500, 2999)])
def test_bounds_hold_every_row_whatever_one_of_them_says(rows, at, hour):
    rows.filter(pk=1000 + 3 * at).update(created_at=BEGAN + timedelta(hours=hour))
    since, until = BEGAN + timedelta(hours=1000), BEGAN + timedelta(hours=1024)

    low, high = range_of(rows, "pk", since, until)

    assert all(low <= pk <= high for pk in made_between(rows, since, until))


def test_bounds_are_close(rows):
    low, high = range_of(rows, "pk", BEGAN + timedelta(hours=1000), BEGAN + timedelta(hours=1024))

    assert 1000 + 3 * 980 < low <= 1000 + 3 * 1000
    assert 1000 + 3 * 1023 <= high < 1000 + 3 * 1045


def test_bounds_take_three_queries(rows, django_assert_num_queries):
    with django_assert_num_queries(3):
        range_of(rows, "pk", BEGAN, BEGAN + timedelta(days=1))


def test_bounds_of_no_rows_are_nothing():
    assert range_of(Booking.objects.all(), "pk", BEGAN, None) == (0, 0)


def test_scan_that_is_quick_reads_four_times_as_much_each_time(rows, monkeypatch):
    monkeypatch.setattr(scanning, "FIRST_WIDTH", 10)

    parts = list(scan(rows.order_by("-pk"), range(9999, 999, -1), seconds=60))

    assert [end for _, end in parts] == [9990, 9950, 9790, 9150, 6590, 1000]
    assert [row.pk for found, _ in parts for row in found] == list(range(9997, 999, -3))


def test_scan_goes_on_behind_the_last_row_of_a_full_statement(rows):
    parts = list(scan(rows.order_by("-pk"), range(9999, 999, -1), limit=1000, seconds=60))

    assert [(len(found), end) for found, end in parts] == [(1000, 7000), (1000, 4000), (1000, 1000)]
