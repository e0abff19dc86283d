import pytest

from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.wire import NO_EVENT, NO_IDS, failure

pytestmark = pytest.mark.django_db


def status(client, event, **headers):
    return client.get(f"/api/v1/booking/status/{event.pk}", headers=headers)


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous"])
def test_event_status_for_anybody(request, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory(total_tickets=10)
    BookingFactory(event=event, tickets=7)
    BookingFactory.create_batch(2, event=event, tickets=5)

    response = status(client, event)

    assert response.status_code == 200
    assert response.json() == {
        "message": "Event status retrieved successfully.",
        "data": {"availableTickets": 3, "waitlistedCount": 2},
        "error": False,
    }
    assert response["ETag"] == '"3-2"'
    assert response["Cache-Control"] == "no-cache"


def test_event_status_takes_one_query(anonymous, django_assert_num_queries):
    event = EventFactory()

    with django_assert_num_queries(1):
        response = status(anonymous, event)

    assert response.status_code == 200


def test_event_status_with_bad_token_is_refused(anonymous):
    event = EventFactory()

    response = status(anonymous, event, Authorization="Bearer no.token.this")

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"


def test_event_status_with_a_token_takes_one_query_more(owner, django_assert_num_queries):
    event = EventFactory()

    with django_assert_num_queries(2):
        response = status(owner, event)

    assert response.status_code == 200


def test_event_status_with_a_token_of_an_ended_login_is_refused(owner, user):
    event = EventFactory()
    before = status(owner, event)
    user.login_sessions.all().delete()

    response = status(owner, event, **{"If-None-Match": before["ETag"]})

    assert (before.status_code, response.status_code) == (200, 401)


@pytest.mark.parametrize("tag", ["{}", "W/{}", '"old", {}', "*"])
def test_event_status_unchanged_is_304(anonymous, tag):
    event = EventFactory()
    etag = status(anonymous, event)["ETag"]

    response = status(anonymous, event, **{"If-None-Match": tag.format(etag)})

    assert response.status_code == 304
    assert response.content == b""
    assert response["ETag"] == etag


@pytest.mark.parametrize("tag", ['"old"', "", "garbage", '"10-00"', '"10-0", ' + '"old", ' * 200])
def test_event_status_with_other_etag_is_told(anonymous, tag):
    event = EventFactory(total_tickets=10)

    response = status(anonymous, event, **{"If-None-Match": tag})

    assert response.status_code == 200
    assert response.json()["data"] == {"availableTickets": 10, "waitlistedCount": 0}


def test_event_status_changes_with_every_booking(anonymous, staff):
    event = EventFactory(total_tickets=2)
    seen = [status(anonymous, event)["ETag"]]

    for _ in range(3):
        booking = BookingFactory(event=event)
        response = status(anonymous, event, **{"If-None-Match": seen[-1]})
        assert response.status_code == 200
        seen.append(response["ETag"])
    staff.delete(f"/api/v1/booking/{booking.pk}")
    response = status(anonymous, event, **{"If-None-Match": seen[-1]})

    assert seen == ['"2-0"', '"1-0"', '"0-0"', '"0-1"']
    assert response.json()["data"] == {"availableTickets": 0, "waitlistedCount": 0}


def test_event_status_of_deleted_is_gone(anonymous, staff):
    event = EventFactory()
    etag = status(anonymous, event)["ETag"]
    staff.delete(f"/api/v1/event/{event.pk}")

    response = status(anonymous, event, **{"If-None-Match": etag})

    assert response.status_code == 404
    assert response.json() == NO_EVENT


@pytest.mark.parametrize("identity", NO_IDS)
def test_event_status_of_no_such_id(anonymous, identity):
    EventFactory()

    response = anonymous.get(f"/api/v1/booking/status/{identity}")

    assert response.status_code == 404
    assert response.json() == NO_EVENT


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_event_status_by_other_methods_is_refused(staff, method):
    event = EventFactory()

    response = getattr(staff, method)(f"/api/v1/booking/status/{event.pk}", {})

    assert response.status_code == 405
    assert response.json() == failure(f'Method "{method.upper()}" not allowed.', "method_not_allowed")
    assert response["Allow"] == "GET, HEAD, OPTIONS"
