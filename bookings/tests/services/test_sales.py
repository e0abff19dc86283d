from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from bookings.models import SalesHour
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.periods import HOURS
from bookings.services.sales import sales_of, sold_since, tickets_since
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 19, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def sold(event, at, *, bookings=1, tickets=2, held=2, waiting=0):
    SalesHour.objects.create(event=event, hour=at, bookings=bookings, tickets=tickets, held=held, waiting=waiting)


def told(sales):
    return [(period.start, *period[2:]) for period in sales.periods]


def test_sales_follow_what_was_booked_and_given_back():
    event = EventFactory(total_tickets=3)
    first = BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=1)
    cancel_tickets(first)

    sales = sales_of(event, now=timezone.now())

    # The second was promoted with what the first gave back.
    assert [period[2:] for period in sales.periods][-1][2:] == (3, 0)
    assert sum(period.bookings for period in sales.periods) == 3
    assert sum(period.tickets for period in sales.periods) == 5


def test_sales_go_on_to_this_hour_without_gaps():
    event = EventFactory()
    sold(event, START, held=2)
    sold(event, START + 2 * HOUR, held=4, waiting=1)
    sold(EventFactory(), START + HOUR, held=9)

    sales = sales_of(event, now=START + 3 * HOUR + timedelta(minutes=1))

    assert sales.grain is HOURS
    assert told(sales) == [
        (START, 1, 2, 2, 0),
        (START + HOUR, 0, 0, 2, 0),
        (START + 2 * HOUR, 1, 2, 4, 1),
        (START + 3 * HOUR, 0, 0, 4, 1),
    ]


def test_sales_that_have_ended_end_there():
    event = EventFactory(sales_end=START + 2 * HOUR)
    sold(event, START)

    assert len(sales_of(event, now=START + timedelta(days=900)).periods) == 2


def test_sales_of_a_cancelled_event_end_with_it(admin_user):
    event = EventFactory()
    BookingFactory(event=event)
    cancelled = cancel_event(event.pk, actor=admin_user)

    sales = sales_of(type(event).objects.get(pk=event.pk), now=timezone.now() + timedelta(days=9))

    assert cancelled is not None
    assert len(sales.periods) <= 2
    assert sales.periods[-1].held == 0


def test_sales_of_an_event_that_nobody_booked_are_empty():
    assert sales_of(EventFactory(), now=timezone.now()).periods == []


@pytest.mark.parametrize("hours", [1, 500])
def test_sales_are_one_query_whatever_was_sold(hours, django_assert_num_queries):
    event = EventFactory()
    SalesHour.objects.bulk_create(
        SalesHour(event=event, hour=START + n * HOUR, bookings=1, tickets=1, held=n, waiting=0) for n in range(hours)
    )

    with django_assert_num_queries(1):
        sales_of(event, now=START + hours * HOUR)


def test_the_day_begins_with_its_first_hour():
    one, other = EventFactory(), EventFactory()
    sold(one, START - HOUR, bookings=7, tickets=70)
    sold(one, START, bookings=1, tickets=2)
    sold(one, START + HOUR, bookings=2, tickets=3)
    sold(other, START + 5 * HOUR, bookings=4, tickets=9)

    assert sold_since(START) == (7, 14)
    assert tickets_since(START, [one.pk, other.pk]) == {one.pk: 5, other.pk: 9}
    assert tickets_since(START, [other.pk]) == {other.pk: 9}


def test_a_day_without_bookings_has_none():
    assert sold_since(START) == (0, 0)
    assert tickets_since(START, []) == {}
