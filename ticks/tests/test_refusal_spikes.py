from datetime import UTC, datetime, timedelta

import pytest

from ticks.models import RefusalMinute
from ticks.refusal_spikes import CodeRefusals, RefusalsLately, refusals_lately

NOW = datetime(2026, 3, 1, 12, 30, 29, tzinfo=UTC)
THIS = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def refused(*, minutes_ago, code="sold_out", count=1):
    RefusalMinute.objects.create(minute=THIS - timedelta(minutes=minutes_ago), code=code, count=count)


@pytest.mark.parametrize(
    ("last_five", "before", "is_spike"),
    [
        (0, 0, False),
        (1, 0, False),
        (19, 0, False),
        (20, 0, True),
        (20, 79, True),
        # 60 in the hour before are 5 in five minutes, and 15 three times that.
        (20, 60, True),
        (20, 80, False),
        (21, 80, True),
        (300, 1200, False),
        (301, 1200, True),
        (100_000, 0, True),
    ],
)
def test_spike_is_twenty_in_five_minutes_and_more_than_three_times_the_usual(last_five, before, is_spike):
    lately = RefusalsLately(codes=[], last_five=last_five, lately=last_five, before=before)

    assert lately.is_spike is is_spike


@pytest.mark.django_db
def test_refusals_lately_are_told_by_code_and_time_in_one_query(django_assert_num_queries):
    for minutes_ago, count in [(-1, 1000), (0, 1), (4, 2), (5, 4), (9, 8), (10, 16), (69, 32), (70, 64)]:
        refused(minutes_ago=minutes_ago, count=count)
    refused(minutes_ago=2, code="busy", count=100)
    refused(minutes_ago=30, code="throttled", count=7)

    with django_assert_num_queries(1):
        lately = refusals_lately(NOW)

    assert lately == RefusalsLately(
        codes=[CodeRefusals("busy", lately=100, before=0), CodeRefusals("sold_out", lately=15, before=48)],
        last_five=103,
        lately=115,
        before=55,
    )


@pytest.mark.django_db
def test_no_refusals_are_no_spike():
    lately = refusals_lately(NOW)

    assert lately == RefusalsLately(codes=[], last_five=0, lately=0, before=0)
    assert not lately.is_spike


@pytest.mark.django_db
@pytest.mark.parametrize(("minutes", "is_spike"), [(1, True), (10, True), (25, True), (40, False)])
def test_spike_that_goes_on_becomes_the_usual(minutes, is_spike):
    for minute in range(minutes):
        refused(minutes_ago=minute, count=60)

    assert refusals_lately(NOW).is_spike is is_spike


@pytest.mark.django_db
def test_spike_that_is_over_is_none_after_five_minutes():
    refused(minutes_ago=4, count=500)
    during = refusals_lately(NOW)

    after = refusals_lately(NOW + timedelta(minutes=1))

    assert (during.is_spike, after.is_spike) == (True, False)
    assert after.lately == 500
