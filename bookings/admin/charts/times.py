"""Times for people: on the scale of a chart, and of one period. In UTC, as everywhere on the staff's site."""

from bookings.admin.charts.drawing import Tick, percent
from bookings.services.periods import DAYS, HOURS, MONTHS, WEEKS, Grain, Period

# Labels that a wide page has room for; a narrow one shows every second if there are more than half as many.
MOST = 8
# Every how many periods there may be a label: at whole parts of a day, on Mondays, in whole parts of a year.
STEPS = {HOURS: (1, 2, 3, 6, 12, 24), DAYS: (1, 2, 7, 14), WEEKS: (1, 2, 4, 8), MONTHS: (1, 2, 3, 6, 12, 24, 60)}


def time_labels(grain: Grain, periods: list[Period]) -> list[Tick]:
    """At the left edge of every first, second, third ... period, as many as there is room for."""
    numbers = [grain.number(period.start) for period in periods]
    for step in STEPS[grain]:
        chosen = [n for n, number in enumerate(numbers) if number % step == 0]
        if len(chosen) <= MOST:
            break
    is_crowded = len(chosen) > MOST // 2
    return [
        Tick(
            percent(100 * n / len(periods)),
            label(grain, periods[n]),
            "start" if n == 0 else "middle",
            # Counted from midnight or January, so that these stay.
            is_crowded and numbers[n] // step % 2 == 1,
        )
        for n in chosen
    ]


def label(grain: Grain, period: Period) -> str:
    start = period.start
    if grain is HOURS and start.hour:
        return f"{start:%H:%M}"
    if grain is MONTHS:
        return f"{start:%b %Y}" if start.month == 1 else f"{start:%b}"
    return f"{start.day} {start:%b}"


def span(grain: Grain, period: Period) -> str:
    start = period.start
    if grain is MONTHS:
        return f"{start:%B %Y}"
    day = f"{start.day} {start:%b %Y}"
    if grain is HOURS:
        return f"{day}, {start:%H:%M} to {period.end:%H:%M}"
    return f"week from {day}" if grain is WEEKS else f"{start:%a} {day}"
