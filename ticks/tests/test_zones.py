"""Time zones, and local times that the clocks show twice or not at all."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from ticks.zones import (
    end_of_day,
    fault_of_zone,
    is_shown_twice,
    moment_in,
    name_in,
    start_of_day,
    zone_names,
)

BERLIN, SAO_PAULO = ZoneInfo("Europe/Berlin"), ZoneInfo("America/Sao_Paulo")


def clock(*time):
    return datetime(*time)  # noqa: DTZ001 (what a clock shows)


def test_zones_are_those_that_have_rules():
    assert {"UTC", "Europe/Berlin", "Asia/Kolkata", "US/Eastern"} <= {*zone_names()}
    assert not {"localtime", "posixrules", "Factory"} & {*zone_names()}
    assert [name for name in zone_names() if fault_of_zone(name)] == []
    assert max(map(len, zone_names())) <= 64


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Europe/Berlim", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("New York", "did you mean America/New_York?"),
        (" Zurich", "did you mean Europe/Zurich?"),
        ("utc", "did you mean UTC?"),
        *[
            (name, "use a name such as Europe/Berlin or UTC.")
            for name in ("CEST", "+02:00", "", "../UTC", "\0", "x" * 999)
        ],
    ],
)
def test_unknown_zone_has_a_hint(name, hint):
    assert fault_of_zone(name) == f"There is no such time zone; {hint}"


@pytest.mark.parametrize(
    ("local", "moment"),
    [
        ((2030, 1, 31, 2, 30), (2030, 1, 31, 1, 30)),
        ((2030, 7, 31, 2, 30), (2030, 7, 31, 0, 30)),
        # Clocks show it twice: as summer time, and an hour later.
        ((2030, 10, 27, 2, 30), (2030, 10, 27, 0, 30)),
    ],
)
def test_local_time_is_a_moment(local, moment):
    assert moment_in(BERLIN, clock(*local)) == datetime(*moment, tzinfo=UTC)


def test_local_time_that_the_clocks_pass_over_is_refused():
    with pytest.raises(ValueError, match="There is no 02:30 on 2030-03-31 in Europe/Berlin") as refused:
        moment_in(BERLIN, clock(2030, 3, 31, 2, 30))

    assert str(refused.value).endswith("since the clocks go forward; write 03:30 or another time.")


@pytest.mark.parametrize(
    ("moment", "is_twice"),
    [
        ((2030, 10, 26, 23, 59), False),
        ((2030, 10, 27, 0, 0), True),
        ((2030, 10, 27, 1, 59), True),
        ((2030, 10, 27, 2, 0), False),
        ((2030, 3, 31, 0, 59), False),
        ((2030, 3, 31, 1, 0), False),
    ],
)
def test_time_that_is_shown_twice_is_known(moment, is_twice):
    assert is_shown_twice(datetime(*moment, tzinfo=UTC), BERLIN) == is_twice


@pytest.mark.parametrize(
    ("zone", "day", "start", "end"),
    [
        (UTC, (2030, 6, 1), (2030, 6, 1, 0), (2030, 6, 1, 23, 59, 59)),
        (BERLIN, (2030, 6, 1), (2030, 5, 31, 22), (2030, 6, 1, 21, 59, 59)),
        (BERLIN, (2030, 3, 31), (2030, 3, 30, 23), (2030, 3, 31, 21, 59, 59)),
        # The clocks there went from midnight to one, and from midnight back to eleven.
        (SAO_PAULO, (2018, 11, 4), (2018, 11, 4, 3), (2018, 11, 5, 1, 59, 59)),
        (SAO_PAULO, (2018, 2, 17), (2018, 2, 17, 2), (2018, 2, 18, 2, 59, 59)),
    ],
)
def test_day_has_a_beginning_and_an_end(zone, day, start, end):
    assert start_of_day(date(*day), zone) == datetime(*start, tzinfo=UTC)
    assert end_of_day(date(*day), zone) == datetime(*end, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "month", "name"),
    [
        ("UTC", 1, "UTC"),
        ("Europe/Berlin", 1, "CET"),
        ("Europe/Berlin", 7, "CEST"),
        ("America/New_York", 7, "EDT"),
        ("America/Sao_Paulo", 1, "UTC-3"),
        ("Asia/Kathmandu", 1, "UTC+5:45"),
        ("America/St_Johns", 1, "NST"),
        ("Asia/Dubai", 1, "UTC+4"),
    ],
)
def test_time_has_a_name_in_its_zone(zone, month, name):
    assert name_in(ZoneInfo(zone), datetime(2030, month, 15, tzinfo=UTC)) == name
