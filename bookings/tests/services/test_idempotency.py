import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import OperationalError, connection
from rest_framework.test import APIClient

from bookings.commands import Outcome
from bookings.exceptions import SoldOut
from bookings.models import Booking, IdempotencyKey
from bookings.services import batches, idempotency, sql
from bookings.services.inventory import Plan
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything
from bookings.tests.threads import TIMEOUT_SECONDS, await_unlocked
from bookings.tests.wire import NO_EVENT, booking_body, failure, invalid

pytestmark = pytest.mark.django_db
REUSED = failure(
    "This Idempotency-Key was used with another request; use a new key for a new request.", "idempotency_key_reused"
)
NO_KEY = "Send 1 to 255 visible characters without spaces."


def book(client, event, key, **changes):
    return client.post("/api/v1/booking", booking_body(event, **changes), headers={"Idempotency-Key": key})


def assert_replays(first, again):
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("persona", ["owner", "staff", "anonymous"])
def test_book_with_known_key_replays_byte_for_byte(request, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory(total_tickets=3)

    first = book(client, event, "k1")
    before = everything()
    again = book(client, event, "k1")
    third = book(client, event, "k1")

    assert_replays(first, again)
    assert_replays(first, third)
    assert everything() == before
    assert counts(event) == (3, 1, 0, 2)
    assert ("bookingToken" in again.json()["data"]) == (persona == "anonymous")


def test_book_with_known_key_replays_a_working_token(anonymous):
    event = EventFactory()
    book(anonymous, event, "k1")

    data = book(anonymous, event, "k1").json()["data"]

    response = anonymous.delete(f"/api/v1/booking/{data['id']}", headers={"Booking-Token": data["bookingToken"]})
    assert response.status_code == 200


def test_book_with_key_stores_neither_key_nor_token(anonymous):
    event = EventFactory()

    token = book(anonymous, event, "a-very-secret-key").json()["data"]["bookingToken"]

    stored = str(IdempotencyKey.objects.values().get())
    assert "a-very-secret-key" not in stored
    assert token not in stored


@pytest.mark.parametrize(("first_key", "again_key"), [("k1", '"k1"'), ('"k1"', "k1"), ("k1", "  k1  ")])
def test_book_with_key_quoted_or_bare_is_the_same_key(anonymous, first_key, again_key):
    event = EventFactory()

    first = book(anonymous, event, first_key)
    again = book(anonymous, event, again_key)

    assert_replays(first, again)
    assert Booking.objects.count() == 1


def test_book_with_known_key_spelt_otherwise_is_the_same_request(anonymous):
    event = EventFactory()

    first = book(anonymous, event, "k1", ticketsReserved=2, email="ada@example.org")
    again = book(anonymous, event, "k1", eventId=str(event.pk), ticketsReserved="2", email=" ADA@example.org")

    assert_replays(first, again)


@pytest.mark.parametrize("persona", ["owner", "anonymous"])
def test_book_with_known_key_replays_after_the_booking_was_cancelled(request, staff, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory()
    first = book(client, event, "k1")
    staff.delete(f"/api/v1/booking/{first.json()['data']['id']}", {"ticketsToCancel": 1})

    after_part = book(client, event, "k1")
    staff.delete(f"/api/v1/booking/{first.json()['data']['id']}")
    after_all = book(client, event, "k1")

    assert_replays(first, after_part)
    assert_replays(first, after_all)
    assert first.json()["data"]["bookingStatus"] == "completed"
    assert counts(event) == (10, 10, 0, 0)


@pytest.mark.parametrize("persona", ["owner", "anonymous"])
def test_book_with_known_key_replays_after_the_event_was_deleted(request, staff, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory()
    first = book(client, event, "k1")
    staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    again = book(client, event, "k1")

    assert_replays(first, again)
    assert everything() == before


def test_book_with_known_key_replays_the_first_place_in_the_waitlist(anonymous, staff):
    event = EventFactory(total_tickets=2)
    held = BookingFactory(event=event, tickets=2)
    BookingFactory(event=event, tickets=1)
    first = book(anonymous, event, "k1", ticketsReserved=1)
    staff.delete(f"/api/v1/booking/{held.pk}")

    again = book(anonymous, event, "k1", ticketsReserved=1)

    assert_replays(first, again)
    assert again.json()["data"]["waitlistPosition"] == 2
    assert Booking.objects.get(pk=first.json()["data"]["id"]).status == "completed"


def test_book_with_known_key_replays_after_sales_closed_and_tickets_went(anonymous, staff):
    event = EventFactory(total_tickets=2)
    first = book(anonymous, event, "k1")
    staff.patch(f"/api/v1/event/{event.pk}", {"salesEnd": "2024-01-01", "waitlistEnabled": False})

    again = book(anonymous, event, "k1")

    assert_replays(first, again)


@pytest.mark.parametrize(("tickets", "answered"), [(2, 201), (1, 422)])
def test_book_with_key_that_another_node_commits_meanwhile_is_answered_by_the_key(
    anonymous, monkeypatch, tickets, answered
):
    event = EventFactory(total_tickets=2, waitlist_enabled=False)
    first = book(anonymous, event, "k1", ticketsReserved=2)
    before = everything()
    # The first look at the keys comes too early: the other node's booking is not here yet.
    read_keys = sql.read_keys
    looks = iter([lambda digests: {}])
    monkeypatch.setattr(sql, "read_keys", lambda digests: next(looks, read_keys)(digests))

    again = book(anonymous, event, "k1", ticketsReserved=tickets)

    if answered == 201:
        assert_replays(first, again)
    else:
        assert (again.status_code, again.json()) == (422, REUSED)
    assert everything() == before


@pytest.mark.parametrize(
    "changes", [{"ticketsReserved": 1}, {"firstName": "D"}, {"lastName": "A"}, {"email": "other@example.com"}]
)
def test_book_with_known_key_and_another_body_is_refused(anonymous, changes):
    event = EventFactory()
    book(anonymous, event, "k1")
    before = everything()

    response = book(anonymous, event, "k1", **changes)

    assert response.status_code == 422
    assert response.json() == REUSED
    assert "Idempotent-Replayed" not in response
    assert everything() == before


def test_book_with_known_key_for_another_event_is_refused(anonymous):
    event, other = EventFactory.create_batch(2)
    book(anonymous, event, "k1")
    before = everything()

    response = book(anonymous, other, "k1")

    assert response.status_code == 422
    assert response.json() == REUSED
    assert everything() == before


def test_book_with_other_key_books_again(anonymous):
    event = EventFactory()

    first = book(anonymous, event, "k1")
    second = book(anonymous, event, "K1")

    assert first.json()["data"]["id"] != second.json()["data"]["id"]
    assert counts(event) == (10, 6, 0, 4)


def test_book_without_key_books_again(anonymous):
    event = EventFactory()

    for _ in range(2):
        anonymous.post("/api/v1/booking", booking_body(event))

    assert counts(event) == (10, 6, 0, 4)
    assert not IdempotencyKey.objects.exists()


def test_book_with_key_of_another_caller_is_a_new_booking(owner, stranger, anonymous):
    event = EventFactory()

    answers = [book(client, event, "k1") for client in (owner, stranger, anonymous)]

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert all("Idempotent-Replayed" not in answer for answer in answers)
    assert len({answer.json()["data"]["id"] for answer in answers}) == 3
    assert counts(event) == (10, 4, 0, 6)


def test_book_with_known_key_as_another_caller_tells_nothing(owner, stranger):
    event = EventFactory()
    book(owner, event, "k1")

    response = book(stranger, event, "k1", firstName="Eve")

    assert response.status_code == 201
    assert response.json()["data"]["firstName"] == "Eve"


@pytest.mark.parametrize("key", ["", " ", '""', "two words", "tab\there", "é", "x" * 256, '"' + "x" * 256 + '"'])
def test_book_with_bad_key_is_refused(anonymous, key):
    event = EventFactory()
    before = everything()

    response = book(anonymous, event, key)

    assert response.status_code == 400
    assert response.json() == invalid("Idempotency-Key", NO_KEY)
    assert everything() == before


@pytest.mark.parametrize("key", ["x", "!", '"', "x" * 255, '"' + "x" * 255 + '"', "!~{}'\\;--"])
def test_book_with_good_key_replays(anonymous, key):
    event = EventFactory()

    first = book(anonymous, event, key)
    again = book(anonymous, event, key)

    assert_replays(first, again)


def test_book_with_key_refused_does_not_keep_the_key(anonymous, staff):
    event = EventFactory(total_tickets=2, waitlist_enabled=False)
    held = BookingFactory(event=event, tickets=2)

    refused = book(anonymous, event, "k1")
    kept = IdempotencyKey.objects.count()
    staff.delete(f"/api/v1/booking/{held.pk}")
    booked = book(anonymous, event, "k1")
    again = book(anonymous, event, "k1")

    assert (refused.status_code, refused.json()["code"], kept) == (409, "sold_out", 0)
    assert_replays(booked, again)
    assert counts(event) == (2, 0, 0, 2)


def test_book_with_key_invalid_does_not_keep_the_key(anonymous):
    event = EventFactory()

    invalid_body = book(anonymous, event, "k1", email="x")
    unknown_event = book(anonymous, event, "k1", eventId=999_999)
    booked = book(anonymous, event, "k1")

    assert invalid_body.status_code == 400
    assert (unknown_event.status_code, unknown_event.json()) == (404, NO_EVENT)
    assert booked.status_code == 201
    assert IdempotencyKey.objects.count() == 1


def test_replay_after_a_new_secret_key_tells_no_dead_token(anonymous, settings):
    event = EventFactory()
    first = anonymous.post("/api/v1/booking", booking_body(event), headers={"Idempotency-Key": "k"}).json()["data"]
    settings.SECRET_KEY = "another secret of at least 32 bytes, made for this test"

    again = anonymous.post("/api/v1/booking", booking_body(event), headers={"Idempotency-Key": "k"}).json()["data"]

    token = first.pop("bookingToken")
    assert again == first
    shown = anonymous.get(f"/api/v1/booking/{first['id']}", headers={"Booking-Token": token})
    assert shown.status_code == 200


LOST = OperationalError(2013, "Lost connection to server during query")
UNKNOWN = failure(
    "The database was lost while it saved this: it may be done or not. Look before you repeat it; "
    "a request with an Idempotency-Key can simply be sent again.",
    "outcome_unknown",
)


@pytest.mark.parametrize("persona", ["owner", "anonymous"])
@pytest.mark.parametrize("carried_out", [True, False])
def test_book_with_key_whose_commit_was_not_answered_books_once(request, commits, persona, carried_out):
    client = request.getfixturevalue(persona)
    event = EventFactory()
    commits(LOST, carried_out=carried_out)

    found = book(client, event, "k1")
    again = book(client, event, "k1")

    assert found.status_code == 201
    assert ("Idempotent-Replayed" in found) == carried_out
    assert found.content == again.content
    assert counts(event) == (10, 8, 0, 2)


@pytest.mark.parametrize("carried_out", [True, False])
def test_book_without_key_whose_commit_was_not_answered_is_unknown(anonymous, commits, carried_out):
    event = EventFactory()
    commits(LOST, carried_out=carried_out)

    response = anonymous.post("/api/v1/booking", booking_body(event))

    assert response.status_code == 503
    assert response["Retry-After"] == "2"
    assert response.json() == UNKNOWN
    assert Booking.objects.count() == carried_out


def test_book_with_key_whose_commit_is_lost_twice_books_once(anonymous, commits):
    event = EventFactory()
    commits(LOST, LOST)

    response = book(anonymous, event, "k1")

    assert response.status_code == 201
    assert counts(event) == (10, 8, 0, 2)


def test_book_with_key_whose_commits_are_never_answered_is_unknown_and_can_be_sent_again(anonymous, commits):
    event = EventFactory()
    commits(LOST, LOST, LOST)

    unknown = book(anonymous, event, "k1")
    await_unlocked("k1", None)
    booked = book(anonymous, event, "k1")

    assert (unknown.status_code, unknown.json()) == (503, UNKNOWN)
    assert booked.status_code == 201
    assert counts(event) == (10, 8, 0, 2)


def test_book_with_key_whose_commit_timed_out_is_not_kept_waiting_again(anonymous, commits, monkeypatch):
    monkeypatch.setattr(idempotency, "REPEAT_SECONDS", 0)
    event = EventFactory()
    done = commits(LOST)

    response = book(anonymous, event, "k1")

    assert (response.status_code, response.json()) == (503, UNKNOWN)
    assert len(done) == 1


def sold_out(works, *, now):
    for work in works:
        work.outcomes = [Outcome(error=SoldOut())]
    return Plan([], now)


def disk_full(*args, **kwargs):
    raise OperationalError(1114, "The table 'bookings_booking' is full")


@pytest.mark.parametrize("then", [sold_out, disk_full])
def test_book_with_key_that_fails_after_a_commit_that_was_not_answered_is_unknown(
    anonymous, commits, monkeypatch, then
):
    # In a cluster the next node may not have seen the booking yet: what it says of the tickets decides nothing.
    event = EventFactory()
    commits(LOST)
    outcomes = [batches.plan_writes, then]
    monkeypatch.setattr(batches, "plan_writes", lambda *args, **kwargs: outcomes.pop(0)(*args, **kwargs))

    response = book(anonymous, event, "k1")

    assert (response.status_code, response.json()) == (503, UNKNOWN)


@pytest.mark.parametrize("tickets", [None, 1])
def test_cancel_whose_commit_was_not_answered_frees_once(owner, user, commits, tickets):
    booking = BookingFactory(user=user, tickets=2)
    wanted = {"ticketsToCancel": tickets} if tickets else {}
    commits(LOST, carried_out=True)

    unknown = owner.delete(f"/api/v1/booking/{booking.pk}", wanted)

    assert (unknown.status_code, unknown.json()) == (503, UNKNOWN)
    assert counts(booking.event) == (10, 9 if tickets else 10, 0, 1 if tickets else 0)
    if not tickets:
        assert owner.delete(f"/api/v1/booking/{booking.pk}").json()["code"] == "already_cancelled"
        assert counts(booking.event) == (10, 10, 0, 0)


@pytest.fixture
def first_of_two(monkeypatch):
    """Gives a function that books in a thread, which waits before the event's lock until a second request was sent."""
    has_begun, may_go_on = threading.Event(), threading.Event()
    lock_events = batches.lock_events

    def lock_slowly(event_ids):
        has_begun.set()
        may_go_on.wait(1)
        return lock_events(event_ids)

    def run(event, ask_second):
        monkeypatch.setattr(batches, "lock_events", lock_slowly)
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(lambda: (book(APIClient(), event, "k1"), connection.close())[0])
            has_begun.wait(TIMEOUT_SECONDS)
            second = ask_second()
            may_go_on.set()
        return first.result(), second

    return run


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_book_with_key_in_flight_in_another_process_is_refused_until_it_is_done(anonymous, settings, first_of_two):
    settings.GROUP_BOOKING = False
    event = EventFactory()

    first, second = first_of_two(event, lambda: book(anonymous, event, "k1"))
    third = book(anonymous, event, "k1")

    assert second.status_code == 409
    assert second["Retry-After"] == "1"
    assert second.json() == failure(
        "A request with this Idempotency-Key is being carried out; send it again in a second for its answer.",
        "idempotency_key_in_flight",
    )
    assert_replays(first, third)
    assert counts(event) == (10, 8, 0, 2)


@pytest.mark.django_db(transaction=True)
def test_book_with_key_in_flight_in_the_same_process_waits_and_replays(anonymous, queue, first_of_two):
    event = EventFactory()

    first, second = first_of_two(event, lambda: book(anonymous, event, "k1"))

    assert_replays(first, second)
    assert counts(event) == (10, 8, 0, 2)


@pytest.mark.mariadb
@pytest.mark.parametrize("tickets", [1, 2])
def test_key_is_let_go_booked_or_refused(anonymous, tickets):
    event = EventFactory(total_tickets=1, waitlist_enabled=False)

    book(anonymous, event, "k1", ticketsReserved=tickets)

    with connection.cursor() as cursor:
        cursor.execute("SELECT RELEASE_ALL_LOCKS()")
        assert cursor.fetchone() == (0,)
