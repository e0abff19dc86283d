from datetime import UTC, datetime, timedelta

import pytest

from bookings.services.periods import DAYS, HOUR, HOURS, MONTHS, WEEKS, Hour, grain_of, in_periods

START = datetime(2026, 11, 19, 9, tzinfo=UTC)


def sold(after, *, bookings=1, tickets=2, held=2, waiting=0):
    return Hour(START + after, bookings, tickets, held, waiting)


def told(sales):
    return [(period.start, *period[2:]) for period in sales.periods]


@pytest.mark.parametrize(
    ("length", "grain"),
    [
        (timedelta(hours=1), HOURS),
        (timedelta(days=3), HOURS),
        (timedelta(days=3, hours=1), DAYS),
        (timedelta(days=60), DAYS),
        (timedelta(days=60, hours=1), WEEKS),
        (timedelta(weeks=60), WEEKS),
        (timedelta(weeks=60, hours=1), MONTHS),
    ],
)
def test_periods_grow_with_the_length_of_sales(length, grain):
    assert grain_of(length) is grain


def test_hours_without_sales_are_filled_with_what_was_left_before():
    hours = [sold(0 * HOUR, held=4, waiting=1), sold(3 * HOUR, bookings=2, tickets=5, held=3, waiting=0)]

    sales = in_periods(hours, until=START + timedelta(hours=4, minutes=30))

    assert sales.grain is HOURS
    assert told(sales) == [
        (START, 1, 2, 4, 1),
        (START + HOUR, 0, 0, 4, 1),
        (START + 2 * HOUR, 0, 0, 4, 1),
        (START + 3 * HOUR, 2, 5, 3, 0),
        (START + 4 * HOUR, 0, 0, 3, 0),
    ]
    assert sales.periods[-1].end == START + 5 * HOUR


def test_days_add_up_bookings_and_keep_how_each_ended():
    hours = [
        sold(0 * HOUR, bookings=1, tickets=2, held=2),
        sold(14 * HOUR, bookings=3, tickets=4, held=6, waiting=9),
        sold(15 * HOUR, bookings=5, tickets=7, held=13),
    ]

    sales = in_periods(hours, until=START + timedelta(days=4))

    day = datetime(2026, 11, 19, tzinfo=UTC)
    assert sales.grain is DAYS
    assert told(sales)[:3] == [
        (day, 4, 6, 6, 9),
        (day + timedelta(days=1), 5, 7, 13, 0),
        (day + timedelta(days=2), 0, 0, 13, 0),
    ]
    assert len(sales.periods) == 5


def test_weeks_begin_on_mondays():
    sales = in_periods([sold(0 * HOUR)], until=START + timedelta(days=100))

    assert sales.grain is WEEKS
    assert {period.start.weekday() for period in sales.periods} == {0}
    assert sales.periods[0].start == datetime(2026, 11, 16, tzinfo=UTC)
    assert len(sales.periods) == 15


def test_months_follow_each_other_over_the_years():
    sales = in_periods([sold(0 * HOUR)], until=START + timedelta(days=800))

    starts = [period.start for period in sales.periods]
    assert sales.grain is MONTHS
    assert starts[:4] == [
        datetime(2026, 11, 1, tzinfo=UTC),
        *(datetime(2026 + m // 12, m % 12 + 1, 1, tzinfo=UTC) for m in (11, 12, 13)),
    ]
    assert all(start.day == 1 for start in starts)
    assert [p.end for p in sales.periods[:-1]] == starts[1:]


def test_the_latest_hour_is_told_even_when_sales_were_to_end_before():
    sales = in_periods([sold(0 * HOUR), sold(2 * HOUR, held=7)], until=START)

    assert [period.held for period in sales.periods] == [2, 2, 7]


def test_without_sales_there_are_no_periods():
    assert in_periods([], until=START).periods == []


@pytest.mark.parametrize("days", [1, 3, 4, 30, 60, 61, 300, 420])
def test_periods_are_never_more_than_a_chart_can_show(days):
    sales = in_periods([sold(0 * HOUR)], until=START + timedelta(days=days))

    assert len(sales.periods) <= 72
    assert sales.grain is HOURS or len(sales.periods) <= 61
