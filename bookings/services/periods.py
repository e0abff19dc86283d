"""Hours with sales, brought together to as many periods as a chart can show. All in UTC."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)


class Hour(NamedTuple):
    """An hour in which somebody booked: how much in it, and how it stood at its end."""

    start: datetime
    bookings: int
    tickets: int
    held: int
    waiting: int


class Grain(NamedTuple):
    """What a period is: an hour, a day, a week from Monday on or a month."""

    word: str
    start_of: Callable[[datetime], datetime]
    after: Callable[[datetime], datetime]
    # Counts the periods of all times, so that one can ask for every third.
    number: Callable[[datetime], int]


class Period(NamedTuple):
    start: datetime
    end: datetime
    bookings: int
    tickets: int
    held: int
    waiting: int


class Sales(NamedTuple):
    grain: Grain
    periods: list[Period]


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


HOURS = Grain(
    "hour",
    lambda moment: moment.replace(minute=0, second=0, microsecond=0),
    lambda start: start + HOUR,
    lambda start: start.toordinal() * 24 + start.hour,
)
# The first day of all was a Monday, and so are the numbers that 7 divides.
DAYS = Grain("day", midnight, lambda start: start + DAY, lambda start: start.toordinal() - 1)
WEEKS = Grain(
    "week",
    lambda moment: midnight(moment) - moment.weekday() * DAY,
    lambda start: start + WEEK,
    lambda start: start.toordinal() // 7,
)
MONTHS = Grain(
    "month",
    lambda moment: midnight(moment).replace(day=1),
    lambda start: (start + 31 * DAY).replace(day=1),
    lambda start: start.year * 12 + start.month - 1,
)


def grain_of(length: timedelta) -> Grain:
    if length <= 3 * DAY:
        return HOURS
    if length <= 60 * DAY:
        return DAYS
    return WEEKS if length <= 60 * WEEK else MONTHS


def in_periods(hours: Iterable[Hour], *, until: datetime) -> Sales:
    """From the first hour to `until`, without gaps: nothing booked is nothing changed. `hours` in order."""
    hours = list(hours)
    if not hours:
        return Sales(HOURS, [])
    until = max(until, hours[-1].start + HOUR)
    grain = grain_of(until - hours[0].start)
    return Sales(grain, filled(hours, grain, until))


def filled(hours: list[Hour], grain: Grain, until: datetime) -> list[Period]:
    periods, left = [], iter(hours)
    hour = next(left)
    start, held, waiting = grain.start_of(hour.start), 0, 0
    while start < until:
        end, bookings, tickets = grain.after(start), 0, 0
        while hour and hour.start < end:
            bookings, tickets = bookings + hour.bookings, tickets + hour.tickets
            held, waiting = hour.held, hour.waiting
            hour = next(left, None)
        periods.append(Period(start, end, bookings, tickets, held, waiting))
        start = end
    return periods
