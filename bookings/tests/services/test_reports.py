from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.models import SalesHour
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.reports import HOUR, booked_today, next_on_sale, sales_over_time
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 19, 9, tzinfo=UTC)
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)


def sold(event, at, *, bookings=1, tickets=2, held=2, waiting=0):
    SalesHour.objects.create(event=event, hour=at, bookings=bookings, tickets=tickets, held=held, waiting=waiting)


def sales_of_length(length):
    """Sales that began with one booking and go on until now."""
    event = EventFactory()
    sold(event, START)
    return sales_over_time(event, now=START + length)


def test_sales_follow_what_was_booked_and_given_back():
    event = EventFactory(total_tickets=3)
    first = BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=1)
    cancel_tickets(first)

    sales = sales_over_time(event, now=timezone.now())

    # The second booking was promoted with the tickets that the first gave back.
    assert (sales.periods[-1].held, sales.periods[-1].waiting) == (3, 0)
    assert sum(period.bookings for period in sales.periods) == 3
    assert sum(period.tickets for period in sales.periods) == 5


def test_hours_without_sales_are_filled_with_what_was_left_before():
    event = EventFactory()
    sold(event, START, held=4, waiting=1)
    sold(event, START + 3 * HOUR, bookings=2, tickets=5, held=3)
    sold(EventFactory(), START + HOUR, held=9)

    sales = sales_over_time(event, now=START + 4 * HOUR + timedelta(minutes=30))

    assert sales.unit == "hour"
    assert sales.periods == [
        (START, 1, 2, 4, 1),
        (START + HOUR, 0, 0, 4, 1),
        (START + 2 * HOUR, 0, 0, 4, 1),
        (START + 3 * HOUR, 2, 5, 3, 0),
        (START + 4 * HOUR, 0, 0, 3, 0),
    ]


def test_days_add_up_bookings_and_keep_how_each_ended():
    event, midnight = EventFactory(), START.replace(hour=0)
    sold(event, START, bookings=1, tickets=2, held=2)
    sold(event, START + 14 * HOUR, bookings=3, tickets=4, held=6, waiting=9)
    sold(event, START + 15 * HOUR, bookings=5, tickets=7, held=13)

    sales = sales_over_time(event, now=START + 4 * DAY)

    assert sales.unit == "day"
    assert sales.periods == [
        (midnight, 4, 6, 6, 9),
        (midnight + DAY, 5, 7, 13, 0),
        *((midnight + n * DAY, 0, 0, 13, 0) for n in (2, 3, 4)),
    ]


def test_days_are_those_of_the_zone_of_the_event():
    event = EventFactory(time_zone="Europe/Berlin")
    # The clocks go back in the night to 25 October: the day has 25 hours.
    sunday = datetime(2026, 10, 24, 22, tzinfo=UTC)
    sold(event, sunday - HOUR, tickets=1)
    sold(event, sunday, tickets=2)
    sold(event, sunday + 24 * HOUR, tickets=4)
    sold(event, sunday + 25 * HOUR, tickets=8)

    sales = sales_over_time(event, now=sunday + 4 * DAY)

    assert sales.unit == "day"
    starts = [sunday - DAY, sunday, *(sunday + HOUR + n * DAY for n in (1, 2, 3))]
    assert [(period.start, period.tickets) for period in sales.periods] == list(
        zip(starts, (1, 6, 8, 0, 0), strict=True)
    )
    assert sales.end == starts[-1] + DAY


def test_weeks_are_those_of_the_zone_of_the_event():
    event = EventFactory(time_zone="America/New_York")
    # In New York it is still Sunday.
    sold(event, datetime(2026, 3, 16, 3, tzinfo=UTC))
    sold(event, datetime(2026, 3, 16, 4, tzinfo=UTC))

    sales = sales_over_time(event, now=datetime(2026, 6, 1, tzinfo=UTC))

    assert sales.unit == "week"
    # The clocks had gone forward on 8 March.
    assert [period.start for period in sales.periods[:2]] == [
        datetime(2026, 3, 9, 4, tzinfo=UTC),
        datetime(2026, 3, 16, 4, tzinfo=UTC),
    ]
    assert [period.bookings for period in sales.periods[:3]] == [1, 1, 0]


def test_hour_across_midnight_belongs_to_the_day_in_which_it_begins():
    event = EventFactory(time_zone="Asia/Kolkata")
    # Half past eleven in the evening there.
    sold(event, datetime(2026, 3, 1, 18, tzinfo=UTC))
    sold(event, datetime(2026, 3, 1, 19, tzinfo=UTC))

    sales = sales_over_time(event, now=datetime(2026, 3, 10, tzinfo=UTC))

    assert [(period.start, period.bookings) for period in sales.periods[:2]] == [
        (datetime(2026, 2, 28, 18, 30, tzinfo=UTC), 1),
        (datetime(2026, 3, 1, 18, 30, tzinfo=UTC), 1),
    ]


def test_today_is_that_of_the_usual_zone(settings):
    settings.EVENT_TIME_ZONE = "Asia/Tokyo"
    event = EventFactory()
    sold(event, START.replace(hour=14) - DAY, bookings=7)
    sold(event, START.replace(hour=15) - DAY, bookings=1)

    assert booked_today(START) == (1, 2)


def test_today_has_the_whole_hour_that_it_begins_in(settings):
    settings.EVENT_TIME_ZONE = "Asia/Kolkata"
    event = EventFactory()
    # The day begins at half past six in the evening of UTC.
    for hour, bookings in ((17, 70), (18, 7), (19, 1)):
        sold(event, START.replace(hour=hour) - DAY, bookings=bookings, tickets=bookings)

    assert booked_today(START) == (8, 8)
    assert [event.tickets_today for event in next_on_sale(START, 1)] == [8]


def test_weeks_begin_on_mondays():
    sales = sales_of_length(100 * DAY)

    assert sales.unit == "week"
    assert sales.periods[0].start == datetime(2026, 11, 16, tzinfo=UTC)
    assert {period.start.weekday() for period in sales.periods} == {0}
    assert len(sales.periods) == 15


@pytest.mark.parametrize(
    ("length", "unit", "periods"),
    [
        (HOUR, "hour", 1),
        (3 * DAY, "hour", 72),
        (3 * DAY + MICROSECOND, "day", 4),
        (60 * DAY, "day", 61),
        (60 * DAY + MICROSECOND, "week", 10),
    ],
)
def test_periods_grow_with_the_length_of_sales(length, unit, periods):
    sales = sales_of_length(length)

    assert (sales.unit, len(sales.periods)) == (unit, periods)


def test_sales_that_have_ended_end_there():
    event = EventFactory(sales_end=START + 2 * HOUR)
    sold(event, START)

    assert len(sales_over_time(event, now=START + 900 * DAY).periods) == 2


def test_hours_after_the_end_of_sales_are_included():
    event = EventFactory(sales_end=START + HOUR)
    sold(event, START)
    sold(event, START + 2 * HOUR, bookings=0, tickets=0, held=1)

    assert [period.held for period in sales_over_time(event, now=START + DAY).periods] == [2, 2, 1]


def test_sales_of_a_cancelled_event_end_with_it(admin_user):
    event = EventFactory()
    BookingFactory(event=event)
    cancel_event(event.pk, actor=admin_user)
    event.refresh_from_db()

    sales = sales_over_time(event, now=timezone.now() + 9 * DAY)

    assert len(sales.periods) <= 2
    assert sales.periods[-1].held == 0


def test_sales_of_an_event_that_nobody_booked_are_empty():
    assert sales_over_time(EventFactory(), now=timezone.now()).periods == []


@pytest.mark.parametrize("hours", [1, 500])
def test_sales_are_one_query_whatever_was_sold(hours, django_assert_num_queries):
    event = EventFactory()
    SalesHour.objects.bulk_create(
        SalesHour(event=event, hour=START + n * HOUR, bookings=1, tickets=1, held=n, waiting=0) for n in range(hours)
    )

    with django_assert_num_queries(1):
        sales_over_time(event, now=START + hours * HOUR)


def test_the_day_begins_with_its_first_hour():
    one, other = EventFactory(), EventFactory()
    midnight = START.replace(hour=0)
    sold(one, midnight - HOUR, bookings=7, tickets=70)
    sold(one, midnight, bookings=1, tickets=2)
    sold(one, START, bookings=2, tickets=3)
    sold(other, START + 5 * HOUR, bookings=4, tickets=9)

    assert booked_today(START) == (7, 14)
    assert {event.pk: event.tickets_today for event in next_on_sale(START, 5)} == {one.pk: 5, other.pk: 9}
    assert [event.tickets_today for event in next_on_sale(START, 1)] == [5]
