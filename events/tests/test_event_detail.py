from datetime import UTC, datetime

import pytest

from events.tests.factories import EventFactory

pytestmark = pytest.mark.django_db
NO_EVENT = {"message": "There is no such event.", "error": True, "code": "event_not_found"}
NO_IDS = ["0", "-1", "999999", "9" * 19, "9" * 30, "9" * 5000, "1.0", "one", "1%20OR%201=1", "%D9%A1"]


def test_event_detail_has_every_field_and_etag(owner):
    event = EventFactory(
        name="Concert",
        date=datetime(2024, 12, 1, tzinfo=UTC),
        total_tickets=100,
        available_tickets=0,
        waitlisted_count=2,
        waitlisted_tickets=5,
        version=3,
        ledger_sequence=17,
        created_at=datetime(2024, 10, 30, 17, 22, 2, 444000, tzinfo=UTC),
        updated_at=datetime(2024, 10, 30, 17, 22, 2, 444000, tzinfo=UTC),
    )

    response = owner.get(f"/api/v1/event/{event.pk}")

    assert response.status_code == 200
    assert response.json() == {
        "message": "Event retrieved successfully.",
        "data": {
            "id": event.pk,
            "name": "Concert",
            "date": "2024-12-01T00:00:00.000Z",
            "timeZone": "UTC",
            "description": "",
            "venue": "",
            "totalTickets": 100,
            "availableTickets": 0,
            "waitlistedCount": 2,
            "salesStart": None,
            "salesEnd": None,
            "maxTicketsPerBooking": None,
            "maxTicketsPerPerson": None,
            "waitlistEnabled": True,
            "waitlistPolicy": "first_fit",
            "salesOpen": True,
            "version": 3,
            "createdBy": event.created_by_id,
            "createdAt": "2024-10-30T17:22:02.444Z",
            "updatedAt": "2024-10-30T17:22:02.444Z",
        },
        "error": False,
    }
    assert response["ETag"] == '"3.17"'


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff"])
def test_event_detail_for_every_account(request, persona):
    event = EventFactory()

    response = request.getfixturevalue(persona).get(f"/api/v1/event/{event.pk}")

    assert response.status_code == 200
    assert response.json()["data"]["id"] == event.pk


def test_event_detail_without_a_date(owner):
    event = EventFactory(date=None)

    response = owner.get(f"/api/v1/event/{event.pk}")

    assert response.json()["data"]["date"] is None


def test_event_detail_as_anonymous_is_refused(anonymous):
    event = EventFactory()

    response = anonymous.get(f"/api/v1/event/{event.pk}")

    assert response.status_code == 401
    assert response.json() == {
        "message": "Log in first, and send the header Authorization: Bearer <access token>.",
        "error": True,
        "code": "not_authenticated",
    }
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'


def test_event_detail_as_anonymous_where_public(anonymous, settings):
    settings.PUBLIC_EVENTS = True
    event = EventFactory()

    response = anonymous.get(f"/api/v1/event/{event.pk}")

    assert response.status_code == 200
    assert response.json()["data"]["id"] == event.pk


@pytest.mark.parametrize("persona", ["owner", "staff"])
def test_event_detail_of_deleted_is_gone(request, persona):
    event = EventFactory(deleted=True)

    response = request.getfixturevalue(persona).get(f"/api/v1/event/{event.pk}")

    assert response.status_code == 404
    assert response.json() == NO_EVENT


@pytest.mark.parametrize("identity", NO_IDS)
def test_event_detail_of_no_such_id(staff, identity):
    EventFactory()

    response = staff.get(f"/api/v1/event/{identity}")

    assert response.status_code == 404
    assert response.json() == NO_EVENT


def test_event_detail_with_trailing_slash_is_no_route(staff):
    event = EventFactory()

    response = staff.get(f"/api/v1/event/{event.pk}/")

    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


@pytest.mark.parametrize("method", ["put", "post"])
def test_event_detail_by_other_methods_is_refused(staff, method):
    event = EventFactory()

    response = getattr(staff, method)(f"/api/v1/event/{event.pk}", {"name": "X"})

    assert response.status_code == 405
    assert response.json()["code"] == "method_not_allowed"
    assert response["Allow"] == "GET, PATCH, DELETE, HEAD, OPTIONS"


def test_event_detail_unchanged_is_304(owner):
    event = EventFactory(version=3, ledger_sequence=17)

    response = owner.get(f"/api/v1/event/{event.pk}", headers={"If-None-Match": 'W/"3.17"'})

    assert (response.status_code, response.content) == (304, b"")
    assert (response["ETag"], response["Cache-Control"]) == ('"3.17"', "private, no-cache")


@pytest.mark.parametrize("etag", ['"3.16"', '"2.17"', '"3"', "3.17"])
def test_event_detail_changed_is_sent_again(owner, etag):
    event = EventFactory(version=3, ledger_sequence=17)

    response = owner.get(f"/api/v1/event/{event.pk}", headers={"If-None-Match": etag})

    assert response.status_code == 200


def test_event_detail_asked_again_as_anonymous_is_refused(anonymous):
    event = EventFactory()

    response = anonymous.get(f"/api/v1/event/{event.pk}", headers={"If-None-Match": event.etag})

    assert response.status_code == 401


def test_event_detail_of_a_deleted_event_is_404_whoever_has_it(owner):
    event = EventFactory(deleted=True)

    response = owner.get(f"/api/v1/event/{event.pk}", headers={"If-None-Match": "*"})

    assert response.status_code == 404


def test_event_detail_as_anonymous_where_public_takes_one_query(anonymous, settings, django_assert_num_queries):
    settings.PUBLIC_EVENTS = True
    event = EventFactory()

    with django_assert_num_queries(1):
        response = anonymous.get(f"/api/v1/event/{event.pk}", headers={"If-None-Match": event.etag})

    assert response.status_code == 304
