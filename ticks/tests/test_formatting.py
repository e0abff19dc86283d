from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from ticks.formatting import badge, exact_time, fill, format_duration, format_time, time_and_utc, time_tag, with_unit

NOW = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ((2026, 12, 31, 0, 0), "today 00:00 UTC"),
        ((2026, 12, 30, 23, 59), "yesterday 23:59 UTC"),
        ((2027, 1, 1, 14, 5), "tomorrow 14:05 UTC"),
        ((2027, 1, 2, 0, 0), "2 Jan 2027, 00:00 UTC"),
        ((2025, 12, 31, 20, 0), "31 Dec 2025, 20:00 UTC"),
    ],
)
def test_moment_is_told_as_people_do(moment, told):
    assert format_time(datetime(*moment, tzinfo=UTC), NOW) == told


@pytest.mark.parametrize(
    ("moment", "zone", "told"),
    [
        # At half past eleven in UTC it is the next day in Tokyo, and six in the evening in New York.
        ((2026, 12, 31, 0, 0), "Asia/Tokyo", "yesterday 09:00 JST"),
        ((2026, 12, 31, 15, 0), "Asia/Tokyo", "today 00:00 JST"),
        ((2027, 1, 1, 4, 59), "America/New_York", "today 23:59 EST"),
        ((2027, 1, 1, 5, 0), "America/New_York", "tomorrow 00:00 EST"),
        ((2027, 7, 1, 18, 0), "Europe/Berlin", "1 Jul 2027, 20:00 CEST"),
    ],
)
def test_moment_is_told_in_its_zone(moment, zone, told):
    assert format_time(datetime(*moment, tzinfo=UTC), NOW, zone=ZoneInfo(zone)) == told


def test_moment_without_a_zone_is_told_in_the_usual_one(settings):
    settings.EVENT_TIME_ZONE = "Asia/Kolkata"

    assert exact_time(datetime(2027, 7, 1, 18, 0, tzinfo=UTC)) == "1 Jul 2027, 23:30 IST"


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        ("UTC", "1 Jul 2027, 22:30 UTC"),
        ("Africa/Abidjan", "1 Jul 2027, 22:30 GMT"),
        ("Europe/London", "1 Jul 2027, 23:30 BST (22:30 UTC)"),
        ("Europe/Berlin", "2 Jul 2027, 00:30 CEST (1 Jul 2027, 22:30 UTC)"),
    ],
)
def test_moment_is_told_with_utc(zone, told):
    assert time_and_utc(datetime(2027, 7, 1, 22, 30, tzinfo=UTC), ZoneInfo(zone)) == told


def test_moment_is_shown_with_the_whole_of_it():
    assert time_tag(datetime(2027, 1, 2, 20, 0, 7, tzinfo=UTC), NOW) == (
        '<time datetime="2027-01-02T20:00:07+00:00" title="Saturday 2 January 2027, 20:00:07 UTC">'
        "2 Jan 2027, 20:00 UTC</time>"
    )
    assert time_tag(None) == ""


@pytest.mark.parametrize(("held", "total", "width"), [(0, 10, "0.0"), (1, 3, "33.3"), (10, 10, "100.0"), (0, 0, "0")])
def test_fill_draws_what_is_held(held, total, width):
    assert f'<rect class="held" width="{width}" height="8"/>' in fill(held, total)
    assert (' full"' in fill(held, total)) == (held >= total)


def test_parts_escape_what_they_show():
    assert badge("<b>", "good") == '<span class="badge good">&lt;b&gt;</span>'
    assert with_unit(1234, "a<b") == '1,234 <span class="unit">a&lt;b</span>'
    assert '<span class="fill-label">1,000 / 2,000</span>' in fill(1000, 2000)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (59, "moments"),
        (60, "1 minute"),
        (7199, "1 hour"),
        (7200, "2 hours"),
        (86400, "1 day"),
        (1000 * 86400, "1,000 days"),
    ],
)
def test_length_is_told_in_its_largest_unit(seconds, told):
    assert format_duration(timedelta(seconds=seconds)) == told
