"""An event's sales and waitlist over time, as pictures, in words and as tables."""

from bookings.admin.charts.drawing import Chart, Panel
from bookings.admin.charts.times import span, time_labels
from bookings.services.periods import HOURS, Period, Sales
from ticks.words import counted


def sales_chart(sales: Sales, *, capacity: int) -> Chart:
    """Tickets held by the end of each period, and how many were asked for in it: two scales, so two panels."""
    grain, periods = sales
    if not periods:
        return in_words_only("sales", "Sales over time", "No bookings so far.")
    times = [span(grain, period) for period in periods]
    held = Panel(
        "Tickets held",
        [period.held for period in periods],
        [
            f"{time}: {counted(period.held, 'ticket')} held at its end"
            for time, period in zip(times, periods, strict=True)
        ],
        limit=capacity,
        limit_said=f"capacity {capacity:,}",
    )
    asked = Panel(
        f"Tickets asked for per {grain.word}",
        [period.tickets for period in periods],
        [f"{time}: {asked_for(period)}" for time, period in zip(times, periods, strict=True)],
        is_bars=True,
        above=1,
    )
    return Chart(
        "sales",
        "Sales over time",
        sales_in_words(sales, capacity),
        [held, asked],
        time_labels(grain, periods),
        ["Time (UTC)", "Bookings made", "Tickets asked for", "Held at its end"],
        [(time, p.bookings, p.tickets, p.held) for time, p in zip(times, periods, strict=True)],
    )


def waitlist_chart(sales: Sales) -> Chart:
    """Bookings that wait at the end of each period."""
    grain, periods = sales
    if not any(period.waiting for period in periods):
        return in_words_only("waitlist", "Waitlist over time", "Nobody has waited so far.")
    times = [span(grain, period) for period in periods]
    waiting = Panel(
        "Bookings waiting",
        [period.waiting for period in periods],
        [
            f"{time}: {counted(period.waiting, 'booking')} waiting at its end"
            for time, period in zip(times, periods, strict=True)
        ],
    )
    return Chart(
        "waitlist",
        "Waitlist over time",
        waitlist_in_words(sales),
        [waiting],
        time_labels(grain, periods),
        ["Time (UTC)", "Waiting at its end"],
        [(time, p.waiting) for time, p in zip(times, periods, strict=True)],
    )


def in_words_only(name: str, title: str, words: str) -> Chart:
    return Chart(name, title, words, [], [], [], [])


def sales_in_words(sales: Sales, capacity: int) -> str:
    grain, periods = sales
    bookings, tickets = (sum(column) for column in zip(*((p.bookings, p.tickets) for p in periods), strict=True))
    busiest = max(periods, key=lambda period: period.tickets)
    return (
        f"{counted(tickets, 'ticket')} asked for in {counted(bookings, 'booking')} since {since(sales)},"
        f" most of them ({busiest.tickets:,}) in one {grain.word}: {span(grain, busiest)}."
        f" {periods[-1].held:,} of {counted(capacity, 'ticket')} held now."
    )


def waitlist_in_words(sales: Sales) -> str:
    grain, periods = sales
    longest = max(periods, key=lambda period: period.waiting)
    return (
        f"{counted(periods[-1].waiting, 'booking')} waiting now. The longest waitlist since {since(sales)}:"
        f" {longest.waiting:,}, {span(grain, longest)}."
    )


def since(sales: Sales) -> str:
    start = sales.periods[0].start
    return f"{start.day} {start:%b %Y, %H:%M} UTC" if sales.grain is HOURS else f"{start.day} {start:%b %Y}"


def asked_for(period: Period) -> str:
    return f"{counted(period.tickets, 'ticket')} asked for in {counted(period.bookings, 'booking')}"
