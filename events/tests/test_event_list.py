from datetime import UTC, datetime

import pytest

from events.models import Event
from events.serializers import EventSerializer, event_data
from events.tests.factories import EventFactory

pytestmark = pytest.mark.django_db
NOT_LOGGED_IN = {
    "message": "Log in first, and send the header Authorization: Bearer <access token>.",
    "error": True,
    "code": "not_authenticated",
}
ISO = "Send a date or time in ISO 8601, such as 2024-12-01 or 2024-12-01T19:30:00Z."
FILTERS = "There is no such filter; use available, dateFrom, dateTo, ordering, page, pageSize, search."
ORDER = "Order by id, name, date, availableTickets, totalTickets, createdAt, with a minus for descending."


def names(response):
    assert response.status_code == 200
    return [event["name"] for event in response.json()["data"]]


def test_event_list_shows_every_field(owner):
    event = EventFactory(
        name="Concert",
        description="Two sets.",
        venue="Hall",
        date=datetime(2024, 12, 1, tzinfo=UTC),
        total_tickets=100,
        available_tickets=97,
        waitlisted_count=0,
        sales_start=datetime(2024, 1, 1, tzinfo=UTC),
        sales_end=datetime(2024, 11, 30, 23, 59, 59, 999000, tzinfo=UTC),
        max_tickets_per_booking=4,
        max_tickets_per_person=6,
        waitlist_enabled=False,
        waitlist_policy="strict",
        version=3,
        created_at=datetime(2024, 10, 30, 17, 22, 2, 444999, tzinfo=UTC),
        updated_at=datetime(2024, 10, 30, 17, 22, 3, tzinfo=UTC),
    )

    response = owner.get("/api/v1/event")

    assert response.status_code == 200
    assert response.json() == {
        "message": "Events retrieved successfully.",
        "data": [
            {
                "id": event.pk,
                "name": "Concert",
                "date": "2024-12-01T00:00:00.000Z",
                "timeZone": "UTC",
                "description": "Two sets.",
                "venue": "Hall",
                "totalTickets": 100,
                "availableTickets": 97,
                "waitlistedCount": 0,
                "salesStart": "2024-01-01T00:00:00.000Z",
                "salesEnd": "2024-11-30T23:59:59.999Z",
                "maxTicketsPerBooking": 4,
                "maxTicketsPerPerson": 6,
                "waitlistEnabled": False,
                "waitlistPolicy": "strict",
                "salesOpen": False,
                "version": 3,
                "createdBy": event.created_by_id,
                "createdAt": "2024-10-30T17:22:02.444Z",
                "updatedAt": "2024-10-30T17:22:03.000Z",
            }
        ],
        "pagination": {"count": 1, "next": None, "previous": None},
        "error": False,
    }


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff"])
def test_event_list_for_every_account(request, persona):
    EventFactory(name="Concert")

    response = request.getfixturevalue(persona).get("/api/v1/event")

    assert names(response) == ["Concert"]


def test_event_list_as_anonymous_is_refused(anonymous):
    EventFactory()

    response = anonymous.get("/api/v1/event")

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'


def test_event_list_as_anonymous_where_public(anonymous, settings):
    settings.PUBLIC_EVENTS = True
    EventFactory(name="Concert")

    response = anonymous.get("/api/v1/event")

    assert names(response) == ["Concert"]


def test_event_list_with_bad_token_where_public_is_refused(anonymous, settings):
    settings.PUBLIC_EVENTS = True

    response = anonymous.get("/api/v1/event", headers={"Authorization": "Bearer no.token.this"})

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"


def test_event_list_of_nothing(owner):
    response = owner.get("/api/v1/event")

    assert response.status_code == 200
    assert response.json() == {
        "message": "Events retrieved successfully.",
        "data": [],
        "pagination": {"count": 0, "next": None, "previous": None},
        "error": False,
    }


def test_event_list_leaves_out_deleted_ones(staff):
    EventFactory(name="Gone", deleted=True)
    EventFactory(name="Stands")

    response = staff.get("/api/v1/event")

    assert names(response) == ["Stands"]
    assert response.json()["pagination"]["count"] == 1


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("dateFrom=2024-12-01", ["Late in New York", "Early in Tokyo"]),
        ("dateFrom=2024-12-01T00:00:00Z", ["Late in New York"]),
        ("dateFrom=2024-12-02", []),
        ("dateTo=2024-12-01", ["Early in Tokyo", "Eve in UTC"]),
        ("dateTo=2024-12-02", ["Late in New York", "Early in Tokyo", "Eve in UTC"]),
        ("dateFrom=2024-12-01&dateTo=2024-12-01", ["Early in Tokyo"]),
    ],
)
def test_event_list_by_day_in_the_zone_of_each_event(owner, query, found):
    EventFactory(name="Late in New York", time_zone="America/New_York", date=datetime(2024, 12, 2, 4, tzinfo=UTC))
    EventFactory(name="Early in Tokyo", time_zone="Asia/Tokyo", date=datetime(2024, 11, 30, 15, tzinfo=UTC))
    EventFactory(name="Eve in UTC", date=datetime(2024, 11, 30, 23, tzinfo=UTC))
    EventFactory(name="No date")

    assert names(owner.get(f"/api/v1/event?{query}")) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("dateFrom=2024-12-01", ["First", "Third"]),
        ("dateFrom=2024-12-01T00:00:00.001Z", ["Third"]),
        ("dateFrom=2024-12-01T01:00:00%2B01:00", ["First", "Third"]),
        ("dateTo=2024-12-01", ["Eve", "First"]),
        ("dateTo=2024-11-30", []),
        ("dateFrom=2024-12-01&dateTo=2024-12-02", ["First"]),
        ("dateFrom=2025-01-01", []),
    ],
)
def test_event_list_by_date(owner, query, found):
    EventFactory(name="Eve", date=datetime(2024, 11, 30, 23, tzinfo=UTC))
    EventFactory(name="First", date=datetime(2024, 12, 1, tzinfo=UTC))
    EventFactory(name="Third", date=datetime(2024, 12, 3, tzinfo=UTC))
    EventFactory(name="Undated", date=None)

    response = owner.get(f"/api/v1/event?{query}")

    assert names(response) == found


@pytest.mark.parametrize(
    ("value", "found"), [("true", ["Left"]), ("True", ["Left"]), ("false", ["Sold out"]), ("", ["Left", "Sold out"])]
)
def test_event_list_by_availability(owner, value, found):
    EventFactory(name="Left", available_tickets=1)
    EventFactory(name="Sold out", available_tickets=0)

    response = owner.get(f"/api/v1/event?available={value}")

    assert names(response) == found


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("dateFrom=soon", "dateFrom", ISO),
        ("dateFrom=2024-13-01", "dateFrom", ISO),
        ("dateTo=2024-12-01T25:00Z", "dateTo", ISO),
        ("dateFrom=2027-01-01T00:00:00+01:00", "dateFrom", f"{ISO} In an address, write %2B for a plus sign."),
        ("dateTo=0001-01-01", "dateTo", "Send a time from the year 1900 to the year 9998."),
        ("available=yes", "available", "Send one of these: true, false."),
        ("color=red", "color", FILTERS),
        ("total_tickets=10", "total_tickets", FILTERS),
        ("created_by__password=x", "created_by__password", FILTERS),
        ("ordering=created_by", "ordering", ORDER),
        ("ordering=name,--date", "ordering", ORDER),
        ("page=0", "page", "Send a whole number from 1 to 1000000."),
        ("page=last", "page", "Send a whole number from 1 to 1000000."),
        ("page=99999999999999999999", "page", "Send a whole number from 1 to 1000000."),
        ("pageSize=0", "pageSize", "Send a whole number from 1 to 100."),
        ("pageSize=101", "pageSize", "Send a whole number from 1 to 100."),
        ("pageSize=ten", "pageSize", "Send a whole number from 1 to 100."),
        ("search=%00", "search", "Search for at most 200 characters, none of them NUL."),
    ],
)
def test_event_list_by_what_it_cannot_is_refused(owner, query, field, sentence):
    EventFactory()

    response = owner.get(f"/api/v1/event?{query}")

    assert response.status_code == 400
    assert response.json() == {
        "message": f"{field}: {sentence}",
        "error": True,
        "code": "invalid",
        "errors": {field: [sentence]},
    }


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("jazz", ["Jazz night", "Lecture"]),
        ("JAZZ night", ["Jazz night"]),
        ("cellar", ["Jazz night"]),
        ("%25", []),
        ("nobody", []),
    ],
)
def test_event_list_by_search(owner, words, found):
    EventFactory(name="Jazz night", venue="The Cellar")
    EventFactory(name="Lecture", description="On the history of jazz")

    response = owner.get(f"/api/v1/event?search={words}")

    assert names(response) == found


@pytest.mark.parametrize(
    ("ordering", "found"),
    [
        ("", ["B", "A", "C"]),
        ("id", ["B", "A", "C"]),
        ("-id", ["C", "A", "B"]),
        ("name", ["A", "B", "C"]),
        ("-name", ["C", "B", "A"]),
        ("date", ["C", "B", "A"]),
        ("-date", ["A", "B", "C"]),
        ("totalTickets", ["B", "C", "A"]),
        ("-totalTickets", ["A", "C", "B"]),
        ("availableTickets,-name", ["B", "C", "A"]),
        ("createdAt", ["C", "B", "A"]),
    ],
)
def test_event_list_in_order(owner, ordering, found):
    for name, total, day in [("B", 5, 2), ("A", 7, 3), ("C", 5, 1)]:
        moment = datetime(2024, 12, day, tzinfo=UTC)
        available = {"B": 1, "A": 3, "C": 2}[name]
        EventFactory(name=name, total_tickets=total, available_tickets=available, date=moment, created_at=moment)

    response = owner.get("/api/v1/event", {"ordering": ordering})

    assert names(response) == found


def test_event_list_in_pages(owner):
    for name in ["A", "B", "C"]:
        EventFactory(name=name)

    first = owner.get("/api/v1/event?pageSize=2")
    second = owner.get("/api/v1/event?pageSize=2&page=2")
    third = owner.get("/api/v1/event?pageSize=2&page=3")

    assert names(first) == ["A", "B"]
    assert first.json()["pagination"] == {
        "count": 3,
        "next": f"http://testserver/api/v1/event?after={first.json()['data'][1]['id']}&page=2&pageSize=2",
        "previous": None,
    }
    assert names(second) == ["C"]
    assert second.json()["pagination"] == {
        "count": 3,
        "next": None,
        "previous": f"http://testserver/api/v1/event?before={second.json()['data'][0]['id']}&pageSize=2",
    }
    assert third.status_code == 404
    assert third.json() == {"message": "Invalid page.", "error": True, "code": "not_found"}


def test_event_list_has_fifty_to_a_page(owner, admin_user):
    EventFactory.create_batch(51, created_by=admin_user)

    response = owner.get("/api/v1/event")

    assert len(response.json()["data"]) == 50
    last = response.json()["data"][-1]["id"]
    assert response.json()["pagination"]["next"] == f"http://testserver/api/v1/event?after={last}&page=2"


@pytest.mark.parametrize("rows", [1, 3])
def test_event_list_takes_two_queries(owner, django_assert_num_queries, rows):
    EventFactory.create_batch(rows)

    # The queries are the session with its user, and the page. It is the last page, so it gives the count.
    with django_assert_num_queries(2):
        response = owner.get("/api/v1/event")

    assert len(response.json()["data"]) == rows


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_event_list_by_other_methods_is_refused(staff, method):
    response = getattr(staff, method)("/api/v1/event")

    assert response.status_code == 405
    assert response.json() == {
        "message": f'Method "{method.upper()}" not allowed.',
        "error": True,
        "code": "method_not_allowed",
    }
    assert response["Allow"] == "GET, POST, HEAD, OPTIONS"


def asked_again(client, url="/api/v1/event", **changes):
    """Returns the first answer, and the answer to its `ETag` after the change."""
    first = client.get(url)
    assert first.status_code == 200
    Event.objects.filter(name="Concert").update(**changes)
    return first, client.get(url, headers={"If-None-Match": first["ETag"]})


def test_event_list_unchanged_is_304(owner):
    EventFactory(name="Concert")

    first, again = asked_again(owner)

    assert (again.status_code, again.content) == (304, b"")
    assert (again["ETag"], again["Cache-Control"]) == (first["ETag"], "private, no-cache")


@pytest.mark.parametrize(
    "changes", [{"ledger_sequence": 2, "available_tickets": 9}, {"version": 2}, {"deleted_at": datetime.now(UTC)}]
)
def test_event_list_changed_is_sent_again(owner, changes):
    EventFactory(name="Concert")
    EventFactory(name="Other")

    first, again = asked_again(owner, **changes)

    assert again.status_code == 200
    assert again["ETag"] != first["ETag"]


def test_event_list_with_another_event_on_the_next_page_is_sent_again(owner):
    EventFactory(name="Concert")
    first = owner.get("/api/v1/event?pageSize=1")
    EventFactory(name="Other")

    again = owner.get("/api/v1/event?pageSize=1", headers={"If-None-Match": first["ETag"]})

    assert again.status_code == 200
    assert again.json()["pagination"]["count"] == 2


def test_event_list_asked_again_as_anonymous_is_refused(anonymous, owner):
    etag = owner.get("/api/v1/event")["ETag"]

    response = anonymous.get("/api/v1/event", headers={"If-None-Match": etag})

    assert response.status_code == 401


def test_event_list_as_anonymous_where_public_takes_one_query(anonymous, settings, django_assert_num_queries):
    settings.PUBLIC_EVENTS = True
    EventFactory(name="Concert")

    with django_assert_num_queries(1):
        response = anonymous.get("/api/v1/event")

    with django_assert_num_queries(1):
        again = anonymous.get("/api/v1/event", headers={"If-None-Match": response["ETag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("moment", [None, datetime(2024, 12, 1, 0, 0, 0, 999999, tzinfo=UTC)])
def test_event_data_is_what_the_schema_describes(db, moment):
    event = EventFactory(date=moment, sales_start=moment, max_tickets_per_booking=4, waitlist_policy="strict")

    assert event_data(event) == EventSerializer(event).data
