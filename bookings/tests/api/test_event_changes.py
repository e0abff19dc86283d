"""GET /api/v1/event/{id}/changes."""

import pytest

from bookings.models import LedgerEntry
from bookings.services.events import cancel_event
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.wire import NO_EVENT, NO_IDS, failure, stamp
from ticks.parsing import MAX_ID

pytestmark = pytest.mark.django_db
FORBIDDEN = failure("Only an admin may do this.", "permission_denied")


def changes(client, event, **query):
    return client.get(f"/api/v1/event/{event.pk}/changes", query)


def sequences(response):
    return [entry["sequence"] for entry in response.json()["data"]]


def test_changes_are_the_ledger_in_order(staff, user):
    event = EventFactory(total_tickets=10)
    booking = BookingFactory(event=event, user=user, tickets=3)
    guest = BookingFactory(event=event, user=None, tickets=8)
    opened, booked, waits = event.ledger.order_by("sequence")

    response = changes(staff, event)

    assert response.status_code == 200
    assert response.json() == {
        "message": "Changes retrieved successfully.",
        "data": [
            {
                "eventId": event.pk,
                "sequence": 1,
                "kind": "opened",
                "tickets": 10,
                "availableAfter": 10,
                "waitlistedAfter": 0,
                "bookingId": None,
                "actorId": event.created_by_id,
                "note": "",
                "createdAt": stamp(opened.created_at),
            },
            {
                "eventId": event.pk,
                "sequence": 2,
                "kind": "booked",
                "tickets": 3,
                "availableAfter": 7,
                "waitlistedAfter": 0,
                "bookingId": booking.pk,
                "actorId": user.pk,
                "note": "",
                "createdAt": stamp(booked.created_at),
            },
            {
                "eventId": event.pk,
                "sequence": 3,
                "kind": "waitlisted",
                "tickets": 8,
                "availableAfter": 7,
                "waitlistedAfter": 1,
                "bookingId": guest.pk,
                "actorId": None,
                "note": "",
                "createdAt": stamp(waits.created_at),
            },
        ],
        "nextAfter": 3,
        "error": False,
    }
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("persona", "status"), [("owner", 403), ("stranger", 403), ("staff", 200), ("anonymous", 401)])
def test_changes_are_for_admins(request, persona, status):
    client = request.getfixturevalue(persona)
    event = EventFactory()

    response = changes(client, event)

    assert response.status_code == status
    if status == 403:
        assert response.json() == FORBIDDEN
    if status == 401:
        assert response.json()["code"] == "not_authenticated"
        assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'


@pytest.mark.parametrize("bookings", [1, 3])
def test_changes_take_two_queries(staff, django_assert_num_queries, bookings):
    event = EventFactory()
    BookingFactory.create_batch(bookings, event=event)

    with django_assert_num_queries(2):
        response = changes(staff, event, after=1)

    assert len(response.json()["data"]) == bookings


def test_changes_of_another_event_are_left_out(staff):
    event, other = EventFactory(), EventFactory()
    BookingFactory(event=other)

    response = changes(staff, event)

    assert [entry["eventId"] for entry in response.json()["data"]] == [event.pk]


def test_changes_go_on_from_next_after(staff):
    event = EventFactory()
    BookingFactory.create_batch(4, event=event)
    pages, after = [], 0

    for _ in range(4):
        response = changes(staff, event, after=after, limit=2)
        pages.append(sequences(response))
        after = response.json()["nextAfter"]

    assert pages == [[1, 2], [3, 4], [5], []]
    assert after == 5


@pytest.mark.parametrize("after", [1, 7, MAX_ID])
def test_changes_after_the_last_are_none_and_the_position_stays(staff, after):
    event = EventFactory()

    response = changes(staff, event, after=after)

    assert (response.json()["data"], response.json()["nextAfter"]) == ([], after)


def test_changes_of_a_cancelled_event_show_its_end(staff):
    event = EventFactory(total_tickets=2)
    booking = BookingFactory(event=event)
    cancel_event(event.pk, actor=event.created_by)

    response = changes(staff, event, after=2)

    assert [(entry["kind"], entry["bookingId"], entry["note"]) for entry in response.json()["data"]] == [
        ("event_cancelled", None, ""),
        ("cancelled", booking.pk, "the event was cancelled"),
    ]


def test_changes_of_an_edit_say_what_was_edited(staff):
    event = EventFactory(name="Gala", total_tickets=2)
    staff.patch(f"/api/v1/event/{event.pk}", {"name": "Ball", "totalTickets": 3}, format="json")

    response = changes(staff, event, after=1)

    assert [(entry["sequence"], entry["kind"], entry["note"]) for entry in response.json()["data"]] == [
        (2, "edited", "name: Gala → Ball"),
        (3, "capacity_changed", ""),
    ]


def test_changes_ask_for_a_hundred_unless_more_are_wanted(staff):
    event = EventFactory(total_tickets=1)
    LedgerEntry.objects.bulk_create(
        LedgerEntry(event=event, sequence=number, kind="edited", tickets=0, available_after=1, waitlisted_after=0)
        for number in range(2, 1102)
    )

    assert sequences(changes(staff, event)) == list(range(1, 101))
    assert sequences(changes(staff, event, limit=1000)) == list(range(1, 1001))


@pytest.mark.parametrize(
    ("query", "at_fault"),
    [
        ("after=-1", "after"),
        ("after=1.0", "after"),
        ("after=x", "after"),
        ("after=", "after"),
        (f"after={MAX_ID + 1}", "after"),
        ("after=%D9%A1", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=26", "wait"),
        ("wait=-1", "wait"),
        ("wait=0.5", "wait"),
        ("after=1&after=2", "after"),
        ("cursor=1", "cursor"),
        ("page=1", "page"),
        ("afer=1", "afer"),
    ],
)
def test_changes_by_a_bad_value_name_it(staff, query, at_fault):
    event = EventFactory()

    response = staff.get(f"/api/v1/event/{event.pk}/changes?{query}")

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert list(response.json()["errors"]) == [at_fault]


def test_changes_answer_at_once_without_the_event_loop(staff):
    event = EventFactory()

    response = changes(staff, event, after=1, wait=25)

    assert (response.status_code, response.json()["data"]) == (200, [])


@pytest.mark.parametrize("identity", NO_IDS)
def test_changes_of_no_such_event(staff, identity):
    EventFactory()

    response = staff.get(f"/api/v1/event/{identity}/changes")

    assert response.status_code == 404
    assert response.json() == NO_EVENT


def test_changes_take_no_idempotency_key(staff):
    event = EventFactory()

    response = staff.get(f"/api/v1/event/{event.pk}/changes", headers={"Idempotency-Key": "k"})

    assert response.status_code == 400
    assert list(response.json()["errors"]) == ["Idempotency-Key"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_changes_by_other_methods_are_refused(staff, method):
    event = EventFactory()

    response = getattr(staff, method)(f"/api/v1/event/{event.pk}/changes", {})

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD, OPTIONS"


def test_changes_are_throttled_as_all_requests(staff, settings, monkeypatch):
    settings.THROTTLE_ENABLED = True
    monkeypatch.setattr("ticks.api.throttling.seconds_to_wait", lambda counted: 5)
    event = EventFactory()

    response = changes(staff, event)

    assert response.status_code == 429
    assert response["Retry-After"] == "5"
