"""A key is revoked while bookings are made with it: those that begin afterwards are refused."""

import threading
from collections import Counter

import pytest

from accounts.api_keys import revoke_api_key
from accounts.exceptions import ApiKeyRefused
from accounts.tests.factories import new_api_key
from bookings.models import Booking
from bookings.services import batches
from bookings.services.batches import queue
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.verification import verify_events
from bookings.tests.factories import EventFactory
from bookings.tests.threads import TIMEOUT_SECONDS, run_together

pytestmark = pytest.mark.django_db(transaction=True)
THREADS, BOOKINGS = 6, 15


@pytest.fixture(autouse=True)
def _own_order(monkeypatch):
    # For a second after a login has ended, all of them are looked up first. Other tests must not see that.
    monkeypatch.setattr(batches, "logins", batches.LoginOrder())


@pytest.fixture(params=["groups", "one by one"])
def _both_ways(request, settings):
    """With groups, one batch has jobs of this key, of another, and of guests."""
    settings.GROUP_BOOKING = request.param == "groups"
    queue.cache_clear()
    queue().start()
    yield
    queue().stop()
    queue.cache_clear()


def outcomes_around_a_revocation() -> Counter:
    """The number of bookings by whose key they were, whether they began after the revocation, and the outcome."""
    event = EventFactory(total_tickets=10_000)
    keys = {"revoked": new_api_key("bookings:write")[0], "other": new_api_key("bookings:write")[0], "guest": None}
    is_revoked, outcomes = threading.Event(), Counter()

    def book(whose):
        key, began_after = keys[whose], is_revoked.is_set()
        request = BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", actor=key and key.account)
        try:
            book_tickets(request, api_key_id=key and key.pk)
            outcome = "booked"
        except ApiKeyRefused:
            outcome = "refused"
        outcomes[whose, began_after, outcome] += 1

    def work(number):
        if number == 0:
            book("revoked")
            revoke_api_key(keys["revoked"])
            is_revoked.set()
        for turn in range(BOOKINGS):
            book(["revoked", "other", "guest"][(number + turn) % 3])
        # However slow this thread was, its last booking begins afterwards.
        assert is_revoked.wait(TIMEOUT_SECONDS)
        book("revoked")

    assert run_together(THREADS, work) == [None] * THREADS
    booked = sum(number for (_, _, outcome), number in outcomes.items() if outcome == "booked")
    assert Booking.objects.count() == booked
    assert [finding for report in verify_events() for finding in report.findings] == []
    return outcomes


@pytest.mark.usefixtures("_both_ways")
def test_booking_that_begins_after_the_revocation_is_refused():
    outcomes = outcomes_around_a_revocation()

    assert outcomes["revoked", True, "booked"] == 0
    assert outcomes["revoked", True, "refused"] >= THREADS
    assert outcomes["revoked", False, "booked"] >= 1
    assert {outcome for whose, _, outcome in outcomes if whose != "revoked"} == {"booked"}


def test_without_the_look_at_the_key_it_would_be_booked(monkeypatch):
    monkeypatch.setattr(batches, "valid_keys_query", lambda ids, now: (f"SELECT {min(ids)} WHERE 1 = 1", []))

    assert outcomes_around_a_revocation()["revoked", True, "booked"] >= 1
