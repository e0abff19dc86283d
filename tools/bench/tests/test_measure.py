"""The findings when 2xx = rows = tickets gone does not hold."""

from dataclasses import replace

import pytest

pytest.importorskip("MySQLdb")

from tools.bench.measure import Stored, findings
from tools.bench.scenarios import Answered

SOLD = Answered(booked=7, tickets=5, waitlisted=2)
SOLD_STORED = Stored(rows=7, held=5, gone=5, waitlisted=2, waiting=2)
MIXED = Answered(booked=7, cancelled=3)
MIXED_STORED = Stored(rows=7, held=6, gone=6, waitlisted=1, waiting=1, cancelled=3)


@pytest.mark.parametrize(("answered", "stored"), [(SOLD, SOLD_STORED), (MIXED, MIXED_STORED), (Answered(), Stored())])
def test_what_agrees_is_no_finding(answered, stored):
    assert findings(answered, stored, unanswered=0) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"rows": 6}, "7 bookings were answered 201, but 6 are stored"),
        ({"rows": 8}, "7 bookings were answered 201, but 8 are stored"),
        ({"gone": 6, "held": 6}, "5 tickets were sold with 201, but 6 are gone"),
        ({"gone": 4}, "5 tickets are held by bookings, but 4 are gone by the events' counters"),
        ({"waitlisted": 1, "waiting": 1}, "2 bookings were answered as waiting, but 1 wait"),
        ({"waiting": 3}, "2 bookings wait, but 3 do by the events' counters"),
        ({"cancelled": 1}, "0 bookings were cancelled with 200, but 1 are stored as cancelled"),
    ],
)
def test_what_differs_is_found(change, finding):
    assert finding in findings(SOLD, replace(SOLD_STORED, **change), unanswered=0)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"cancelled": 2}, "3 bookings were cancelled with 200, but 2 are stored as cancelled"),
        ({"held": 7}, "7 tickets are held by bookings, but 6 are gone by the events' counters"),
    ],
)
def test_what_differs_is_found_where_bookings_were_cancelled(change, finding):
    assert findings(MIXED, replace(MIXED_STORED, **change), unanswered=0) == [finding]


def test_request_without_an_answer_is_a_finding_even_if_all_else_agrees():
    assert findings(SOLD, SOLD_STORED, unanswered=1) == ["1 requests got no answer"]
