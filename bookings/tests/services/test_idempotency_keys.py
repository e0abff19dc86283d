"""Idempotency keys on every route that writes, in both contracts; `test_idempotency.py` has more on bookings."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Timer
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from django.db import OperationalError, connection
from drf_spectacular.generators import SchemaGenerator
from rest_framework.test import APIClient

from accounts.tests.factories import UserFactory
from bookings.models import Booking, IdempotencyKey
from bookings.services import batches, idempotency, sql
from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger
from bookings.tests.threads import await_unlocked, run_together
from bookings.tests.wire import booking_body, failure, invalid
from events.models import Event

pytestmark = pytest.mark.django_db
REUSED = "This Idempotency-Key was used with another request; use a new key for a new request."
IN_FLIGHT = "A request with this Idempotency-Key is being carried out; send it again in a second for its answer."
NO_KEY = "This request takes no Idempotency-Key; leave the header out."
LOST = OperationalError(2013, "Lost connection to server during query")
NEW_EVENT = {"name": "Gala", "date": "2080-12-31T20:00:00.123Z", "totalTickets": 5, "description": "Žofia\nplays"}


class Route(NamedTuple):
    """A route that takes a key, and requests to it as (path, body): one that is carried out, one that asks for
    something else, and one that is refused."""

    method: str
    right: Callable
    other: Callable
    refused: Callable
    # The first request has this status, and the same request without its key has the other afterwards.
    status: int
    afterwards: int


def booking(at):
    return f"/api/v1/booking/{at.booking.pk}"


def event(at):
    return f"/api/v1/event/{at.event.pk}"


def seat(at, of, user):
    return {"eventId": of.pk, "userId": user.pk}


ROUTES = {
    "book": Route(
        "post",
        lambda at: ("/api/v1/booking", booking_body(at.event)),
        lambda at: ("/api/v1/booking", booking_body(at.event, ticketsReserved=1)),
        lambda at: ("/api/v1/booking", booking_body(at.event, eventId=999_999)),
        201,
        201,
    ),
    "cancel": Route(
        "delete",
        lambda at: (booking(at), {}),
        lambda at: (booking(at), {"ticketsToCancel": 2}),
        lambda at: (booking(at), {"ticketsToCancel": 9}),
        200,
        409,
    ),
    "part-cancel": Route(
        "delete",
        lambda at: (booking(at), {"ticketsToCancel": 1}),
        lambda at: (booking(at), {"ticketsToCancel": 2}),
        lambda at: (booking(at), {"ticketsToCancel": 9}),
        200,
        200,
    ),
    "create event": Route(
        "post",
        lambda at: ("/api/v1/event", NEW_EVENT),
        lambda at: ("/api/v1/event", NEW_EVENT | {"totalTickets": 6}),
        lambda at: ("/api/v1/event", NEW_EVENT | {"totalTickets": 0}),
        201,
        201,
    ),
    "change event": Route(
        "patch",
        lambda at: (event(at), {"totalTickets": 20, "name": "Larger"}),
        lambda at: (event(at), {"totalTickets": 21, "name": "Larger"}),
        lambda at: (event(at), {"totalTickets": 1}),
        200,
        200,
    ),
    "delete event": Route(
        "delete",
        lambda at: (event(at), None),
        lambda at: (f"/api/v1/event/{at.other_event.pk}", None),
        lambda at: ("/api/v1/event/999999", None),
        200,
        404,
    ),
    "initialize": Route(
        "post",
        lambda at: ("/api/events/initialize", {"name": "Gala", "totalTickets": 5}),
        lambda at: ("/api/events/initialize", {"name": "Ball", "totalTickets": 5}),
        lambda at: ("/api/events/initialize", {"name": "Gala", "totalTickets": 0}),
        201,
        201,
    ),
    "book one ticket": Route(
        "post",
        lambda at: ("/api/events/book", seat(at, at.event, at.stranger)),
        lambda at: ("/api/events/book", seat(at, at.other_event, at.stranger)),
        lambda at: ("/api/events/book", seat(at, at.event, at.user)),
        201,
        409,
    ),
    "cancel one ticket": Route(
        "post",
        lambda at: ("/api/events/cancel", seat(at, at.event, at.user)),
        lambda at: ("/api/events/cancel", seat(at, at.other_event, at.user)),
        lambda at: ("/api/events/cancel", seat(at, at.event, at.stranger)),
        200,
        404,
    ),
}
every_route = pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)


@pytest.fixture
def at(user):
    """An event on which the owner holds three tickets, and a guest waits for eight."""
    event, other_event = EventFactory(), EventFactory()
    held = BookingFactory(event=event, user=user, tickets=3)
    BookingFactory(event=event, user=None, tickets=8)
    return SimpleNamespace(
        event=event, other_event=other_event, booking=held, user=user, stranger=UserFactory(username="strange")
    )


def send(client, route, asked, key="k1", **headers):
    path, body = asked
    if key is not None:
        headers["Idempotency-Key"] = key
    return getattr(client, route.method)(path, body, format="json", headers=headers)


def assert_first(response, route):
    assert response.status_code == route.status
    assert "Idempotent-Replayed" not in response


def assert_replays(first, again):
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again["Idempotent-Replayed"] == "true"
    varying = {"X-Request-ID", "Idempotent-Replayed"}
    first_headers, headers = ({**one.headers} for one in (first, again))
    assert {**headers, **dict.fromkeys(varying)} == {**first_headers, **dict.fromkeys(varying)}


def assert_refused(response, status, message, code):
    """In the shape of the route's contract."""
    is_plain = not response.request["PATH_INFO"].startswith("/api/v1/")
    assert response.status_code == status
    assert response.json() == ({"error": message} if is_plain else failure(message, code))


@every_route
def test_known_key_replays_the_first_answer(at, staff, route):
    first = send(staff, route, route.right(at))
    before = everything()
    again, third = send(staff, route, route.right(at)), send(staff, route, route.right(at), '"k1"')

    assert_first(first, route)
    assert_replays(first, again)
    assert_replays(first, third)
    assert everything() == before
    assert IdempotencyKey.objects.count() == 1


@every_route
def test_known_key_replays_whatever_came_after(at, staff, route):
    first = send(staff, route, route.right(at))
    for event in Event.objects.filter(deleted_at=None):
        staff.patch(f"/api/v1/event/{event.pk}", {"name": "Otherwise", "totalTickets": 50})
        staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    again = send(staff, route, route.right(at))

    assert_replays(first, again)
    assert everything() == before


@pytest.mark.parametrize(
    "sales",
    [
        # The replay comes after the date, after the default end of sales, after the start and after the end of sales.
        {"date": "2080-01-01T10:02:00Z"},
        {"date": "2080-01-01T10:02:00Z", "salesEnd": None},
        {"salesStart": "2080-01-01T10:02:00Z"},
        {"salesEnd": "2080-01-01T10:02:00Z"},
    ],
)
@pytest.mark.parametrize("route", ["create event", "change event"])
def test_known_key_replays_whatever_the_time(at, staff, admin_user, route, sales, monkeypatch):
    now = [datetime(2080, 1, 1, 10, tzinfo=UTC)]
    monkeypatch.setattr("django.utils.timezone.now", lambda: now[0])
    body = NEW_EVENT | sales if route == "create event" else sales
    send_it = getattr(staff, ROUTES[route].method)
    path, headers = ROUTES[route].right(at)[0], {"Idempotency-Key": "k1"}
    # A token would end with the time that passes.
    staff.force_authenticate(admin_user)
    first = send_it(path, body, format="json", headers=headers)
    before = everything()
    now[0] += timedelta(minutes=5)

    again = send_it(path, body, format="json", headers=headers)

    assert_first(first, ROUTES[route])
    assert_replays(first, again)
    assert everything() == before


@every_route
def test_known_key_with_another_body_or_path_is_refused(at, staff, route):
    send(staff, route, route.right(at))
    before = everything()

    response = send(staff, route, route.other(at))

    assert_refused(response, 422, REUSED, "idempotency_key_reused")
    assert everything() == before


@every_route
def test_known_key_of_another_route_is_refused(at, staff, route):
    others = [other for other in ROUTES.values() if other is not route]
    send(staff, route, route.right(at))
    before = everything()

    responses = [send(staff, other, other.right(at)) for other in others]

    for response in responses:
        assert_refused(response, 422, REUSED, "idempotency_key_reused")
    assert everything() == before


@every_route
def test_key_of_another_caller_is_another_key(at, staff, client_of, route):
    send(staff, route, route.right(at))

    response = send(client_of(UserFactory(is_staff=True)), route, route.right(at))

    assert response.status_code == route.afterwards
    assert "Idempotent-Replayed" not in response


@every_route
def test_key_of_a_refused_request_is_free(at, staff, route):
    before = everything()
    refused = send(staff, route, route.refused(at))
    after = everything()

    first = send(staff, route, route.right(at))
    again = send(staff, route, route.right(at))

    assert 400 <= refused.status_code < 500
    assert after == before
    assert_first(first, route)
    assert_replays(first, again)


@every_route
@pytest.mark.parametrize("key", ["", '""', "two words", "x" * 256])
def test_bad_key_is_refused(at, staff, route, key):
    before = everything()

    response = send(staff, route, route.right(at), key)

    text = "Send 1 to 255 visible characters without spaces."
    is_plain = route.right(at)[0].startswith("/api/events/")
    assert response.status_code == 400
    assert response.json() == ({"error": f"Idempotency-Key: {text}"} if is_plain else invalid("Idempotency-Key", text))
    assert everything() == before


@every_route
def test_without_a_key_nothing_is_remembered(at, staff, route):
    first = send(staff, route, route.right(at), None)
    again = send(staff, route, route.right(at), None)

    assert (first.status_code, again.status_code) == (route.status, route.afterwards)
    assert not IdempotencyKey.objects.exists()


@every_route
def test_key_that_another_node_commits_meanwhile_decides(at, staff, monkeypatch, route):
    first = send(staff, route, route.right(at))
    before = everything()
    # The first look comes too early. Then the rules refuse, or the key's unique index does.
    read_keys = sql.read_keys
    looks = iter([lambda digests: {}])
    monkeypatch.setattr(sql, "read_keys", lambda digests: next(looks, read_keys)(digests))

    again = send(staff, route, route.right(at))

    assert_replays(first, again)
    assert everything() == before


@every_route
@pytest.mark.parametrize("carried_out", [True, False])
def test_commit_that_is_not_answered_is_settled_by_the_key(at, staff, commits, route, carried_out):
    commits(LOST, carried_out=carried_out)

    found = send(staff, route, route.right(at))
    again = send(staff, route, route.right(at))

    assert found.status_code == route.status
    assert ("Idempotent-Replayed" in found) == carried_out
    assert (again.content, again.get("ETag")) == (found.content, found.get("ETag"))
    assert again["Idempotent-Replayed"] == "true"
    assert IdempotencyKey.objects.count() == 1


@every_route
def test_commits_that_are_never_answered_are_unknown_and_can_be_sent_again(
    at, staff, admin_user, commits, route, caplog
):
    commits(LOST, LOST, LOST)

    unknown = send(staff, route, route.right(at))
    await_unlocked("k1", admin_user)
    first = send(staff, route, route.right(at))

    assert (unknown.status_code, unknown["Retry-After"]) == (503, "2")
    assert "Lost connection to server during query" in caplog.text
    assert_first(first, route)


@every_route
@pytest.mark.mariadb
def test_lock_that_a_lost_connection_leaves_is_waited_for(at, staff, commits, route):
    connection.ensure_connection()
    driver = connection.connection
    # The server ends the connection, and so its lock, only after this time.
    late_close = Timer(0.2, driver.close)
    driver.close = late_close.start
    commits(LOST)

    response = send(staff, route, route.right(at))

    late_close.join()
    assert_first(response, route)


@every_route
@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_key_in_flight_is_refused_until_it_is_done(at, staff, admin_user, route):
    digest = idempotency.digest_of("k1", admin_user)
    before = everything()

    def meanwhile(_):
        with idempotency.lock_keys([digest]) as free:
            assert free == {digest}
            other = APIClient()
            other.credentials(**staff._credentials)
            [response] = run_together(1, lambda _: send(other, route, route.right(at)))
            return response

    [response] = run_together(1, meanwhile)

    assert_refused(response, 409, IN_FLIGHT, "idempotency_key_in_flight")
    assert response["Retry-After"] == "1"
    assert everything() == before
    assert_first(send(staff, route, route.right(at)), route)
    with connection.cursor() as cursor:
        cursor.execute("SELECT RELEASE_ALL_LOCKS()")
        assert cursor.fetchone() == (0,)


def crowd(client, route, asked, key):
    def ask(_):
        one = APIClient()
        one.credentials(**client._credentials)
        return send(one, route, asked, key)

    return run_together(4, ask)


@every_route
@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_lock", [True, False])
def test_one_key_sent_at_once_is_carried_out_once(at, staff, monkeypatch, route, has_lock):
    if not has_lock:
        # As in a cluster that refuses such locks. The unique index alone decides.
        monkeypatch.setattr(idempotency, "lock_keys", nullcontext)
        monkeypatch.setattr(batches, "lock_keys", nullcontext)
    entries = sum(len(ledger(event)) for event in Event.objects.all())

    responses = crowd(staff, route, route.right(at), "k1")

    done = [response for response in responses if response.status_code == route.status]
    in_flight = [response for response in responses if response.status_code == 409]
    assert len(done) + len(in_flight) == 4
    assert has_lock or not in_flight
    assert [("Idempotent-Replayed" in response) for response in done].count(False) == 1
    assert len({response.content for response in done}) == 1
    assert IdempotencyKey.objects.count() == 1
    added = sum(len(ledger(event)) for event in Event.objects.all()) - entries
    assert added == ONCE[route]


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["book", "part-cancel", "create event", "initialize"])
def test_control_sent_at_once_without_a_key_is_carried_out_each_time(at, staff, name):
    route = ROUTES[name]
    asked = (booking(at), {"ticketsToCancel": 1}) if name == "part-cancel" else route.right(at)

    responses = crowd(staff, route, asked, None)

    done = [response for response in responses if response.status_code == route.status]
    # The booking had three tickets.
    assert len(done) == (3 if name == "part-cancel" else 4)


# The ledger entries of one request. What frees tickets serves the waiting booking as well.
ONCE = {
    ROUTES["book"]: 1,
    ROUTES["cancel"]: 2,
    ROUTES["part-cancel"]: 2,
    ROUTES["create event"]: 1,
    ROUTES["change event"]: 3,
    ROUTES["delete event"]: 3,
    ROUTES["initialize"]: 1,
    ROUTES["book one ticket"]: 1,
    ROUTES["cancel one ticket"]: 2,
}


def test_guest_cancels_once_with_the_booking_s_token(anonymous):
    booking = BookingFactory(user=None, tickets=4)
    path, token = f"/api/v1/booking/{booking.pk}", {"Booking-Token": booking.token}

    first = anonymous.delete(path, {"ticketsToCancel": 1}, headers={"Idempotency-Key": "k1", **token})
    again = anonymous.delete(path, {"ticketsToCancel": "1"}, headers={"Idempotency-Key": "k1", **token})
    by_query = anonymous.delete(f"{path}?ticketsToCancel=1", headers={"Idempotency-Key": "k1", **token})
    without_token = anonymous.delete(path, {"ticketsToCancel": 1}, headers={"Idempotency-Key": "k1"})

    assert first.status_code == 200
    assert_replays(first, again)
    assert_replays(first, by_query)
    assert without_token.status_code == 404
    assert counts(booking.event) == (10, 7, 0, 3)


def test_key_of_a_guest_s_booking_is_no_key_for_its_cancellation(anonymous):
    event = EventFactory()
    data = anonymous.post("/api/v1/booking", booking_body(event), headers={"Idempotency-Key": "k1"}).json()["data"]
    before = everything()

    headers = {"Idempotency-Key": "k1", "Booking-Token": data["bookingToken"]}
    response = anonymous.delete(f"/api/v1/booking/{data['id']}", headers=headers)

    assert_refused(response, 422, REUSED, "idempotency_key_reused")
    assert everything() == before


def test_change_with_if_match_replays_although_the_version_has_moved(at, staff):
    tag = staff.get(event(at))["ETag"]
    route = ROUTES["change event"]
    stale = send(staff, route, (event(at), {"name": "New"}), **{"If-Match": '"9"'})

    first = send(staff, route, (event(at), {"name": "New"}), **{"If-Match": tag})
    again = send(staff, route, (event(at), {"name": "New"}), **{"If-Match": tag})

    assert stale.status_code == 412
    assert first["ETag"] != tag
    assert_replays(first, again)


def test_waiting_for_one_ticket_replays_with_its_status(staff, admin_user):
    event = EventFactory(total_tickets=1)
    held = BookingFactory(event=event)
    route, asked = ROUTES["book one ticket"], ("/api/events/book", {"eventId": event.pk, "userId": admin_user.pk})

    first = send(staff, route, asked)
    staff.delete(f"/api/v1/booking/{held.pk}")
    again = send(staff, route, asked)

    assert (first.status_code, first.json()["status"]) == (200, "waiting")
    assert_replays(first, again)
    assert Booking.objects.get(user=admin_user).status == "completed"


def test_one_ticket_replays_after_the_account_has_another_name(owner, user):
    event = EventFactory()
    route, asked = ROUTES["book one ticket"], ("/api/events/book", {"eventId": event.pk, "userId": user.pk})
    first = send(owner, route, asked)
    owner.patch("/api/v1/auth/me", {"username": "renamed", "email": "renamed@example.org"})

    again = send(owner, route, asked)

    assert_replays(first, again)


def test_key_of_a_booking_from_before_the_keys_of_every_write_replays(anonymous):
    """The row is what the version before has written."""
    held = BookingFactory(user=None, tickets=2)
    asked = [held.event_id, 2, "Divine", "Alphonsus", "divinealph@example.com"]
    answer = {
        "reference": held.reference, "event_id": held.event_id, "user_id": None, "first_name": "Divine",
        "last_name": "Alphonsus", "email": "divinealph@example.com", "tickets_reserved": 2, "status": "completed",
        "position": None, "created_at": "2026-03-01T10:30:00.123456+00:00",
    }  # fmt: skip
    IdempotencyKey.objects.create(
        digest=sha256(b"guest\nk1").hexdigest(),
        fingerprint=sha256(json.dumps(asked).encode()).hexdigest(),
        booking=held,
        answer=answer,
    )

    again = anonymous.post("/api/v1/booking", booking_body(held.event), headers={"Idempotency-Key": "k1"})

    assert (again.status_code, again["Idempotent-Replayed"]) == (201, "true")
    assert again.json()["data"]["id"] == held.pk
    assert again.json()["data"]["createdAt"] == "2026-03-01T10:30:00.123Z"


def test_key_of_a_cancellation_keeps_the_name_that_it_is_stored_by():
    """Servers of the version before replay it, and the rows that they wrote are replayed."""
    event = EventFactory(total_tickets=1)
    held, _ = BookingFactory.create_batch(2, event=event, tickets=1)

    first = cancel_tickets(held, key="k1")

    assert IdempotencyKey.objects.get().answer == {"served": 1}
    again = cancel_tickets(held, key="k1")
    assert [(one.promoted, one.is_replayed) for one in (first, again)] == [(1, False), (1, True)]


def test_answer_with_a_column_that_is_gone_replays(at, staff):
    route = ROUTES["create event"]
    first = send(staff, route, route.right(at))
    kept = IdempotencyKey.objects.get()
    kept.answer[0]["fields"]["former"] = 1
    kept.save()

    assert_replays(first, send(staff, route, route.right(at)))


def test_answer_of_a_booking_with_a_column_that_is_not_known_replays(anonymous):
    body = booking_body(EventFactory())
    first = anonymous.post("/api/v1/booking", body, headers={"Idempotency-Key": "k1"})
    kept = IdempotencyKey.objects.get()
    kept.answer["of_a_later_version"] = 1
    kept.save()

    assert_replays(first, anonymous.post("/api/v1/booking", body, headers={"Idempotency-Key": "k1"}))


KEYED = {
    ("/api/v1/booking", "post"),
    ("/api/v1/booking/{id}", "delete"),
    ("/api/v1/event", "post"),
    ("/api/v1/event/{id}", "patch"),
    ("/api/v1/event/{id}", "delete"),
    ("/api/events/initialize", "post"),
    ("/api/events/book", "post"),
    ("/api/events/cancel", "post"),
}


@pytest.fixture(scope="module")
def operations():
    """The operations of the schema, by path and method."""
    paths = SchemaGenerator().get_schema(public=True)["paths"]
    return {(path, method): one for path, methods in paths.items() for method, one in methods.items()}


def test_schema_names_the_key_where_it_is_taken_and_its_answers(operations):
    keyed = {
        place
        for place, one in operations.items()
        if "Idempotency-Key" in [parameter["name"] for parameter in one.get("parameters", [])]
    }

    assert keyed == KEYED
    for place in keyed:
        responses = operations[place]["responses"]
        assert {"400", "409", "422"} <= responses.keys()
        assert "Retry-After" in responses["409"]["headers"]
        assert "Idempotent-Replayed" in next(iter(responses.values()))["headers"]


def test_every_other_route_refuses_a_key(operations, at, staff):
    places = {*operations, ("/api/schema", "get"), ("/api/docs", "get"), ("/api/v1/booking", "options")}
    before = everything()

    for path, method in sorted(places - KEYED):
        address = path.format(id=at.booking.pk, pk=at.event.pk)
        response = getattr(staff, method)(address, headers={"Idempotency-Key": "k1"})

        is_plain = path.startswith(("/api/events/", "/api/users/"))
        body = {"error": f"Idempotency-Key: {NO_KEY}"} if is_plain else invalid("Idempotency-Key", NO_KEY)
        assert (path, method, response.status_code, response.json()) == (path, method, 400, body)
    assert everything() == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("get", "/api/nowhere", 404), ("put", "/api/v1/booking", 405), ("get", "/healthz", 200), ("get", "/", 200)],
)
def test_key_changes_no_answer_elsewhere(staff, method, path, status):
    assert getattr(staff, method)(path, headers={"Idempotency-Key": "k1"}).status_code == status


def test_guest_s_key_where_none_is_taken_is_told_after_the_login(anonymous):
    assert anonymous.get("/api/v1/event", headers={"Idempotency-Key": "k1"}).status_code == 401


def test_key_changes_no_page_of_staff(superuser_client):
    for path in ("/admin/", "/admin/events/event/", "/admin/events/event/add/"):
        assert superuser_client.get(path, headers={"Idempotency-Key": "k1"}).status_code == 200


def test_browsable_api_shows_its_forms(superuser_client, at):
    for path in ("/api/v1/booking", "/api/v1/event", event(at)):
        response = superuser_client.get(path, headers={"Accept": "text/html"})

        assert response.status_code == 200
        assert "<form" in response.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["part-cancel", "cancel one ticket"])
def test_one_key_sent_at_once_to_one_process_waits_and_replays(at, staff, queue, name):
    route = ROUTES[name]

    responses = crowd(staff, route, route.right(at), "k1")

    assert [response.status_code for response in responses] == [200] * 4
    assert ["Idempotent-Replayed" in response for response in responses].count(True) == 3
    assert counts(at.event)[1] == (0 if name == "part-cancel" else 2)
