"""Every answer of the API that refuses is counted by its code, in front of Django and behind it."""

import pytest
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from accounts.models import LoginSession
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.threads import run_together
from bookings.tests.wire import booking_body
from ticks.models import RefusalMinute
from ticks.refusal_counts import Tally, tally

pytestmark = pytest.mark.django_db
BOOKING = "/api/v1/booking"
# The lane takes the first alone.
WAYS = pytest.mark.parametrize("query", ["", "?a=b"], ids=["lane", "django"])


@pytest.fixture(autouse=True)
def _nothing_counted():
    tally.gathered.clear()


def sold_out_event():
    event = EventFactory(total_tickets=2, waitlist_enabled=False)
    BookingFactory(event=event, tickets=2)
    return event


@WAYS
def test_booking_that_is_refused_is_counted(anonymous, query):
    response = anonymous.post(BOOKING + query, booking_body(sold_out_event()))

    assert (response.status_code, response.json()["code"]) == (409, "sold_out")
    assert list(tally.gathered) == ["sold_out"]


@WAYS
def test_booking_that_is_made_is_not_counted(anonymous, query):
    response = anonymous.post(BOOKING + query, booking_body(EventFactory()))

    assert response.status_code == 201
    assert list(tally.gathered) == []


@WAYS
def test_login_that_has_ended_is_counted_once(client_of, user, query):
    client = client_of(user)
    LoginSession.objects.all().delete()

    response = client.post(BOOKING + query, booking_body(EventFactory()))

    assert (response.status_code, response.json()["code"]) == (401, "token_not_valid")
    assert list(tally.gathered) == ["token_not_valid"]


@WAYS
def test_caller_over_the_rate_is_counted_once(anonymous, settings, monkeypatch, query):
    settings.THROTTLE_ENABLED = True
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest", "1/min")
    event = EventFactory()
    anonymous.get(f"{BOOKING}/status/{event.pk}")

    response = anonymous.post(BOOKING + query, booking_body(event))

    assert response.status_code == 429
    assert list(tally.gathered) == ["throttled"]


@WAYS
def test_outage_is_counted(anonymous, unreachable_database, query):
    body = booking_body(EventFactory())
    unreachable_database()

    response = anonymous.post(BOOKING + query, body)

    assert response.status_code == 503
    assert list(tally.gathered) == ["database_unavailable"]


@pytest.mark.parametrize(
    ("method", "path", "status", "codes"),
    [
        ("get", "/api/v1/nothing", 404, []),
        ("get", "/api/users/nothing", 404, []),
        ("get", "/api/v1/booking/status/999999", 404, ["event_not_found"]),
        ("get", "/api/v1/booking", 401, ["not_authenticated"]),
        ("get", "/api/events/999999", 401, ["not_authenticated"]),
        ("put", "/api/v1/booking", 405, ["method_not_allowed"]),
    ],
)
def test_other_answers_are_counted_but_for_addresses_that_there_are_not(anonymous, method, path, status, codes):
    response = getattr(anonymous, method)(path)

    assert response.status_code == status
    assert list(tally.gathered) == codes


@pytest.mark.urls("ticks.tests.api.broken_urls")
@pytest.mark.parametrize(("path", "codes"), [("/api/v1/broken", ["server_error"]), ("/broken", [])])
def test_fault_of_ours_is_counted_where_it_is_the_apis(path, codes):
    client = APIClient(raise_request_exception=False)

    assert client.get(path).status_code == 500
    assert list(tally.gathered) == codes


def test_malformed_request_is_counted(anonymous):
    form = "&".join(f"a{number}=1" for number in range(1001))

    response = anonymous.post("/api/v1/auth/login", form, content_type="application/x-www-form-urlencoded")

    assert response.status_code == 400
    assert list(tally.gathered) == ["malformed"]


@pytest.mark.django_db(transaction=True)
def test_workers_that_meet_on_a_row_both_count():
    def work(number):
        worker = Tally()
        for _ in range(20):
            worker.count("busy")
            worker.count("sold_out")
            worker.write()

    raised = run_together(4, work)

    assert raised == [None] * 4
    totals = {}
    for code, count in RefusalMinute.objects.values_list("code", "count"):
        totals[code] = totals.get(code, 0) + count
    assert totals == {"busy": 80, "sold_out": 80}
