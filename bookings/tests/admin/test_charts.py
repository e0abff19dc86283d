import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from bookings.admin.charts import sales_chart, waitlist_chart
from bookings.admin.charts.drawing import PLOT, Panel, round_numbers, short
from bookings.services.periods import HOUR, Hour, in_periods

START = datetime(2026, 11, 19, 9, tzinfo=UTC)


def sales(*rows, hours=None):
    """One row an hour: bookings, tickets, held, waiting."""
    made = [Hour(START + n * HOUR, *row) for n, row in enumerate(rows)]
    return in_periods(made, until=START + (hours or len(rows)) * HOUR)


def parsed(chart):
    return ElementTree.fromstring(str(chart))  # noqa: S314


def texts(figure, css):
    return ["".join(found.itertext()) for found in figure.iter() if found.get("class") == css]


TWO_HOURS = sales((2, 5, 5, 0), (3, 8, 10, 2))


def test_sales_chart_says_in_words_what_it_shows():
    figure = parsed(sales_chart(TWO_HOURS, capacity=10))

    words = (
        "13 tickets asked for in 5 bookings since 19 Nov 2026, 09:00 UTC, most of them (8) in one hour:"
        " 19 Nov 2026, 10:00 to 11:00. 10 of 10 tickets held now."
    )
    svg = figure.find("svg")
    assert svg.get("role") == "img"
    assert svg.get("aria-labelledby") == "sales-title sales-desc"
    assert (svg.find("title").get("id"), svg.find("title").text) == ("sales-title", "Sales over time")
    assert (svg.find("desc").get("id"), svg.find("desc").text) == ("sales-desc", words)


def test_words_of_days_name_no_hour():
    chart = sales_chart(sales((2, 5, 5, 0), hours=100), capacity=10)

    assert chart.words == (
        "5 tickets asked for in 2 bookings since 19 Nov 2026, most of them (5) in one day: Thu 19 Nov 2026."
        " 5 of 10 tickets held now."
    )


def test_sales_chart_has_its_numbers_as_a_table():
    figure = parsed(sales_chart(TWO_HOURS, capacity=10))

    rows = [[cell.text for cell in row] for row in figure.iter("tr")]
    assert rows == [
        ["Time (UTC)", "Bookings made", "Tickets asked for", "Held at its end"],
        ["19 Nov 2026, 09:00 to 10:00", "2", "5", "5"],
        ["19 Nov 2026, 10:00 to 11:00", "3", "8", "10"],
    ]


def test_every_column_says_its_numbers_when_pointed_at():
    figure = parsed(sales_chart(TWO_HOURS, capacity=10))

    assert texts(figure, "column") == [
        "19 Nov 2026, 09:00 to 10:00: 5 tickets held at its end",
        "19 Nov 2026, 10:00 to 11:00: 10 tickets held at its end",
        "19 Nov 2026, 09:00 to 10:00: 5 tickets asked for in 2 bookings",
        "19 Nov 2026, 10:00 to 11:00: 8 tickets asked for in 3 bookings",
    ]


def test_one_ticket_is_no_plural():
    figure = parsed(sales_chart(sales((1, 1, 1, 0)), capacity=1))

    assert texts(figure, "column") == [
        "19 Nov 2026, 09:00 to 10:00: 1 ticket held at its end",
        "19 Nov 2026, 09:00 to 10:00: 1 ticket asked for in 1 booking",
    ]


def test_bars_are_as_high_as_their_share_of_the_scale():
    panel = Panel("Tickets", [0, 4, 8], ["", "", ""], is_bars=True)

    bars = [(column.bar_x, column.bar_width, column.bar_y, column.bar_height) for column in panel.columns]

    assert panel.scale == [0, 2, 4, 6, 8]
    assert [(float(y), float(height)) for *_, y, height in bars] == [
        (panel.bottom, 0),
        (panel.bottom - PLOT / 2, PLOT / 2),
        (panel.top, PLOT),
    ]
    assert bars[0][:2] == ("3.333%", "26.667%")


def test_line_begins_with_nothing_and_reaches_each_value_at_the_periods_end():
    panel = Panel("Held", [5, 10], ["", ""])

    assert panel.points == f"0.00,{PLOT}.0 50.00,{PLOT / 2} 100.00,0.0"


def test_capacity_is_a_line_within_the_scale():
    figure = parsed(sales_chart(sales((1, 2, 2, 0)), capacity=1234))

    assert texts(figure, "limit-label") == ["capacity 1,234"]
    limit = next(found for found in figure.iter() if found.get("class") == "limit")
    assert limit.get("y1") == limit.get("y2") == Panel("", [2], [""], limit=1234).y(1234)


@pytest.mark.parametrize(
    ("largest", "scale"),
    [
        (1, [0, 1]),
        (5, [0, 1, 2, 3, 4, 5]),
        (6, [0, 2, 4, 6]),
        (11, [0, 5, 10, 15]),
        (26, [0, 10, 20, 30]),
        (50, [0, 10, 20, 30, 40, 50]),
        (999_999, [0, 200_000, 400_000, 600_000, 800_000, 1_000_000]),
    ],
)
def test_scales_have_few_steps_of_round_numbers(largest, scale):
    assert round_numbers(largest) == scale


def test_scales_reach_the_largest_number_and_no_step_more():
    for largest in (*range(1, 400), 10**9 + 1):
        scale = round_numbers(largest)

        assert scale[-2] < largest <= scale[-1], largest
        assert len(scale) <= 6, largest


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (999, "999"), (1000, "1k"), (1500, "1.5k"), (200_000, "200k"), (1_000_000, "1M"), (2_500_000, "2.5M")],
)
def test_large_numbers_of_a_scale_are_short(number, said):
    assert short(number) == said


def times(chart):
    """What stands below; in brackets what a narrow page leaves out."""
    return ", ".join(f"({time.label})" if time.is_spare else time.label for time in chart.times)


@pytest.mark.parametrize(
    ("hours", "labels"),
    [
        (2, "09:00, 10:00"),
        (6, "(09:00), 10:00, (11:00), 12:00, (13:00), 14:00"),
        (48, "12:00, (18:00), 20 Nov, (06:00), 12:00, (18:00), 21 Nov, (06:00)"),
        (72, "(12:00), 20 Nov, (12:00), 21 Nov, (12:00), 22 Nov"),
        (24 * 10, "(19 Nov), 21 Nov, (23 Nov), 25 Nov, (27 Nov), 29 Nov"),
        (24 * 40, "23 Nov, (30 Nov), 7 Dec, (14 Dec), 21 Dec, (28 Dec)"),
        (24 * 800, "Jan 2027, (Jul), Jan 2028, (Jul), Jan 2029"),
    ],
)
def test_times_are_labelled_at_whole_hours_days_and_months(hours, labels):
    chart = sales_chart(sales((1, 1, 1, 0), hours=hours), capacity=1)

    assert times(chart) == labels


@pytest.mark.parametrize("days", [1, 5, 20, 60, 61, 200, 420, 421, 4000])
def test_time_labels_are_few_whatever_the_length(days):
    chart = sales_chart(sales((1, 1, 1, 0), hours=24 * days), capacity=1)

    assert 1 <= len(chart.times) <= 8
    assert len([time for time in chart.times if not time.is_spare]) <= 5


def test_days_weeks_and_months_are_named_in_the_table():
    first = [sales_chart(sales((1, 1, 1, 0), hours=24 * days), capacity=1).rows[0][0] for days in (5, 100, 500)]

    assert first == ["Thu 19 Nov 2026", "week from 16 Nov 2026", "November 2026"]


def test_waitlist_chart_shows_how_many_wait():
    figure = parsed(waitlist_chart(sales((1, 1, 1, 0), (4, 9, 1, 4), (0, 0, 1, 1))))

    assert figure.find("svg/desc").text == (
        "1 booking waiting now. The longest waitlist since 19 Nov 2026, 09:00 UTC: 4, 19 Nov 2026, 10:00 to 11:00."
    )
    assert texts(figure, "column")[1] == "19 Nov 2026, 10:00 to 11:00: 4 bookings waiting at its end"
    assert [[cell.text for cell in row] for row in figure.iter("tr")][2] == ["19 Nov 2026, 10:00 to 11:00", "4"]
    assert [found.get("class") for found in figure.iter() if found.get("class") in ("bar", "run")] == ["run"]


@pytest.mark.parametrize(
    ("chart", "words"),
    [
        (sales_chart(sales(), capacity=5), "No bookings so far."),
        (waitlist_chart(sales()), "Nobody has waited so far."),
        (waitlist_chart(sales((1, 1, 1, 0))), "Nobody has waited so far."),
    ],
)
def test_chart_of_nothing_says_so_without_a_picture(chart, words):
    figure = parsed(chart)

    assert figure.find("svg") is None
    assert figure.find("details") is None
    assert figure.find("figcaption/p").text == words


def test_chart_keeps_to_the_policy_of_the_page():
    drawn = str(sales_chart(sales((1, 1, 1, 0), hours=24 * 60), capacity=3)) + str(waitlist_chart(TWO_HOURS))

    assert not re.search(r"<style|style=|<script|\son\w+=|href|url\(", drawn)


def test_all_of_a_busy_years_bars_are_drawn():
    busy = in_periods([Hour(START + n * HOUR, 2, 3, n, 0) for n in range(24 * 365)], until=START + timedelta(days=365))

    chart = sales_chart(busy, capacity=10_000)

    assert len(chart.rows) == len(re.findall('class="bar"', str(chart))) == 53
    assert sum(row[2] for row in chart.rows) == 3 * 24 * 365
