"""The connection breaks around COMMIT. Either the COMMIT itself is lost, or only the answer to it."""

import time

import pytest
from django.db import connection

from bookings.models import Booking, IdempotencyKey
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts
from bookings.tests.wire import booking_body, failure
from ticks.db.outage import outage
from tools.chaos.proxy import AFTER_COMMIT, BEFORE_COMMIT, Proxy

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db(transaction=True)]

PATH = "/api/v1/booking"
WITH_KEY = {"Idempotency-Key": "k1"}
TRIES = 200
UNKNOWN = failure(
    "The database was lost while it saved this: it may be done or not. Look before you repeat it; a request with an "
    "Idempotency-Key can simply be sent again.",
    "outcome_unknown",
)


@pytest.fixture
def proxy(transactional_db, monkeypatch):
    """Gives a proxy between Ticks and the database. It cuts nothing until the test says so."""
    options = dict(connection.settings_dict["OPTIONS"])
    server_socket = options.pop("unix_socket", None)
    if server_socket is None:
        pytest.skip("This database is not reached by a unix socket.")
    with Proxy(server_socket) as between:
        connection.close()
        through_proxy = {"HOST": "127.0.0.1", "PORT": between.port, "OPTIONS": options}
        for name, value in through_proxy.items():
            monkeypatch.setitem(connection.settings_dict, name, value)
        yield between
        wait_for_the_database()
        connection.close()


@pytest.fixture
def event(proxy):
    return EventFactory(total_tickets=10)


def wait_for_the_database():
    """On a busy machine the probe that finds it alive takes longer than the moment that requests give it."""
    for _ in range(TRIES):
        if outage.is_over():
            return
        time.sleep(0.05)


def persist(client, event):
    """Books with the key, and again while the answer is to come back later, as a client should."""
    for _ in range(TRIES):
        response = client.post(PATH, booking_body(event), headers=WITH_KEY)
        if response.status_code != 503 and response.json().get("code") != "idempotency_key_in_flight":
            break
        time.sleep(0.05)
    return response


def findings():
    return [finding for report in verify_events() for finding in report.findings]


@pytest.mark.parametrize(("lost", "cuts"), [(AFTER_COMMIT, 1), (BEFORE_COMMIT, 1), (BEFORE_COMMIT, 4)])
def test_book_with_key_books_once_whatever_is_lost(proxy, event, anonymous, lost, cuts):
    proxy.arm(lost, cuts)

    first = persist(anonymous, event)
    again = persist(anonymous, event)

    assert proxy.cuts == {lost: cuts}
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again["Idempotent-Replayed"] == "true"
    assert Booking.objects.get().pk == IdempotencyKey.objects.get().booking_id == first.json()["data"]["id"]
    assert counts(event) == (10, 8, 0, 2)
    assert findings() == []


@pytest.mark.parametrize(("lost", "stored"), [(AFTER_COMMIT, 1), (BEFORE_COMMIT, 0)])
def test_book_without_key_is_told_that_nobody_knows(proxy, event, anonymous, lost, stored):
    proxy.arm(lost)

    response = anonymous.post(PATH, booking_body(event))
    wait_for_the_database()

    assert proxy.cuts == {lost: 1}
    assert response.status_code == 503
    assert response.json() == UNKNOWN
    assert response["Retry-After"] == "2"
    assert Booking.objects.count() == stored
    assert counts(event) == (10, 10 - 2 * stored, 0, 2 * stored)
    assert findings() == []


def test_cancel_again_after_a_lost_answer_frees_once(proxy, event, staff):
    booking = BookingFactory(event=event, tickets=4)
    proxy.arm(AFTER_COMMIT)

    first = staff.delete(f"{PATH}/{booking.pk}")
    wait_for_the_database()
    again = staff.delete(f"{PATH}/{booking.pk}")

    assert proxy.cuts == {AFTER_COMMIT: 1}
    assert first.status_code == 503
    assert first.json() == UNKNOWN
    assert again.status_code == 409
    assert again.json() == failure("This booking is already cancelled.", "already_cancelled")
    assert counts(event) == (10, 10, 0, 0)
    assert findings() == []
