"""What an API key may do: which events it reaches, and in whose name it acts. Scopes are in `test_api_key_scopes`."""

import json

import pytest
from django.utils import timezone

from accounts.api_keys import revoke_api_key
from accounts.models import Scope
from accounts.tests.factories import client_with_key
from bookings.models import Booking, LedgerEntry
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, digest_of_all_tables, everything, ledger
from bookings.tests.wire import booking_body, failure
from events.models import Event

pytestmark = pytest.mark.django_db
URL = "/api/v1/booking"
NOT_FOUND = failure("There is no such event.", "event_not_found")
LIMITED = failure("This API key is limited to some events, so it may not do this.", "api_key_limited")
NO_KEYS = failure(
    "This request takes no API key: log in, and send the header Authorization: Bearer <access token>.",
    "api_key_not_accepted",
)


@pytest.fixture(autouse=True, params=["fast path", "viewset"])
def _way(request, settings):
    settings.FAST_PATH = request.param == "fast path"


def test_missing_scope_is_told_in_words():
    response = client_with_key("events:read").get(URL)

    message = "This API key lacks the scope bookings:read."
    assert (response.status_code, response.json()) == (403, failure(message, "missing_scope_bookings_read"))


def test_route_without_a_scope_says_so():
    response = client_with_key(*Scope.values).get("/api/v1/auth/me")

    assert (response.status_code, response.json()) == (403, NO_KEYS)


def test_one_ticket_contract_refuses_keys_in_its_own_shape():
    response = client_with_key(*Scope.values).get("/api/events/1")

    assert (response.status_code, response.json()) == (403, {"error": NO_KEYS["message"]})


@pytest.mark.parametrize("method", ["options", "put"])
def test_other_methods_give_a_key_nothing(method):
    response = getattr(client_with_key(*Scope.values), method)(URL)

    assert response.status_code == {"options": 403, "put": 405}[method]


def test_booking_by_key_belongs_to_a_guest_and_is_recorded_as_the_keys():
    event, seller = EventFactory(total_tickets=10), client_with_key("bookings:write")

    for _ in range(2):
        response = seller.post(URL, booking_body(event), format="json")
        assert response.status_code == 201

    data, booking = response.json()["data"], Booking.objects.latest("pk")
    assert (data["userId"], booking.user, len(data["bookingToken"])) == (None, None, 43)
    assert (booking.first_name, booking.email) == (data["firstName"], data["email"])
    assert ledger(event, after=2) == [(3, "booked", 2, 6, 0, booking.pk, seller.key.account_id)]
    assert counts(event) == (10, 6, 0, 4)


def test_cancellation_by_key_is_recorded_as_the_keys(user):
    booking, seller = BookingFactory(user=user, tickets=3), client_with_key("bookings:write")

    response = seller.delete(f"{URL}/{booking.pk}", {"ticketsToCancel": 1}, format="json")

    assert response.status_code == 200
    entry = LedgerEntry.objects.latest("pk")
    assert (entry.kind, entry.tickets, entry.actor) == ("reduced", 1, seller.key.account)


def test_event_by_key_is_made_by_the_keys_account():
    maker = client_with_key("events:write")

    response = maker.post("/api/v1/event", {"name": "Gala", "date": "2080-01-01", "totalTickets": 5}, format="json")

    assert response.status_code == 201
    assert response.json()["data"]["createdBy"] == maker.key.account_id
    event = Event.objects.get()
    assert (event.created_by, event.ledger.get().actor) == (maker.key.account, maker.key.account)


def test_limit_of_a_person_holds_for_the_guest_and_not_for_the_key():
    event, seller = EventFactory(max_tickets_per_person=2), client_with_key("bookings:write")

    answers = [
        seller.post(URL, booking_body(event, email=email), format="json").status_code
        for email in ("ada@example.org", "grace@example.org", "ada@example.org")
    ]

    assert answers == [201, 201, 409]


def keyed(client, event, key="k1", **fields):
    return client.post(URL, booking_body(event, **fields), format="json", headers={"Idempotency-Key": key})


def test_idempotency_keys_are_the_api_keys_own(anonymous, owner):
    event = EventFactory(total_tickets=50)
    one, other = client_with_key("bookings:write"), client_with_key("bookings:write")
    ada, grace = "ada@example.org", "grace@example.org"
    people = {one: ada, other: ada, anonymous: grace, owner: grace}

    first = [keyed(client, event, email=email) for client, email in people.items()]
    again = [keyed(client, event, email=email) for client, email in people.items()]
    reused = keyed(one, event, email=ada, ticketsReserved=1)

    assert [response.status_code for response in first + again] == [201] * 8
    assert len({response.json()["data"]["id"] for response in first}) == 4
    assert [response.content for response in again] == [response.content for response in first]
    assert [response.get("Idempotent-Replayed") for response in again] == ["true"] * 4
    assert reused.status_code == 422


def test_idempotency_key_is_answered_to_no_key_that_was_revoked():
    event, seller = EventFactory(), client_with_key("bookings:write")
    assert keyed(seller, event).status_code == 201
    revoke_api_key(seller.key)
    before = digest_of_all_tables()

    assert keyed(seller, event).status_code == 401
    assert digest_of_all_tables() == before


def test_event_of_a_key_is_made_once_for_an_idempotency_key():
    makers = [client_with_key("events:write"), client_with_key("events:write")]
    fields = {"name": "Gala", "date": "2080-01-01", "totalTickets": 5}

    answers = [
        maker.post("/api/v1/event", fields, format="json", headers={"Idempotency-Key": "k"}).json()["data"]["id"]
        for maker in makers * 2
    ]

    assert answers[:2] == answers[2:]
    assert Event.objects.count() == 2


@pytest.fixture
def limited():
    """Two events, and a key with every scope that reaches only the first."""
    mine, other = EventFactory(total_tickets=10), EventFactory(total_tickets=10)
    client = client_with_key(*Scope.values, event_ids=[mine.pk])
    client.mine, client.other = mine, other
    client.bookings = [BookingFactory(event=event, user=None) for event in (mine, other)]
    return client


def requests_about(event, booking):
    return {
        "event": ("GET", f"/api/v1/event/{event.pk}", None),
        "change": ("PATCH", f"/api/v1/event/{event.pk}", {"venue": "Hall"}),
        "changes": ("GET", f"/api/v1/event/{event.pk}/changes", None),
        "status": ("GET", f"/api/v1/booking/status/{event.pk}", None),
        "book": ("POST", URL, booking_body(event)),
        "booking": ("GET", f"{URL}/{booking.pk}", None),
        "tickets": ("GET", f"{URL}/{booking.pk}/tickets", None),
        "file": ("GET", f"{URL}/{booking.pk}/tickets.pdf", None),
        "cancel": ("DELETE", f"{URL}/{booking.pk}", None),
        "delete": ("DELETE", f"/api/v1/event/{event.pk}", None),
    }


def answers_about(client, event, booking):
    return {
        name: client.generic(method, path, json.dumps(fields) if fields else "", content_type="application/json")
        for name, (method, path, fields) in requests_about(event, booking).items()
    }


def test_limited_key_reaches_its_event(limited):
    answers = answers_about(limited, limited.mine, limited.bookings[0])

    assert {name: response.status_code for name, response in answers.items()} == {
        **dict.fromkeys(answers, 200),
        "book": 201,
    }


def test_other_events_do_not_exist_for_a_limited_key(limited):
    before = everything()

    answers = answers_about(limited, limited.other, limited.bookings[1])
    missing = answers_about(limited, Event(pk=999_999), Booking(pk=999_999))

    assert {response.status_code for response in answers.values()} == {404}
    assert [response.content for response in answers.values()] == [response.content for response in missing.values()]
    assert answers["book"].json() == NOT_FOUND
    assert everything() == before


def test_token_of_a_booking_does_not_lift_the_limit(limited):
    booking = limited.bookings[1]

    response = limited.get(f"{URL}/{booking.pk}", headers={"Booking-Token": booking.token})

    assert response.status_code == 404


def test_limited_key_makes_no_events_and_reads_no_feed_of_all(limited):
    made = limited.post("/api/v1/event", {"name": "Gala", "date": "2080-01-01", "totalTickets": 5}, format="json")
    feed = limited.get("/api/v1/changes")

    assert (made.status_code, made.json()) == (403, LIMITED)
    assert (feed.status_code, feed.json()) == (403, LIMITED)
    assert Event.objects.count() == 2


def listed(client, path):
    answer = client.get(path).json()
    return [row["id"] for row in answer["data"]], answer["pagination"]["count"]


def test_lists_have_what_a_key_reaches(limited):
    everywhere = client_with_key("bookings:read", "events:read")
    mine, other = (booking.pk for booking in limited.bookings)

    assert listed(limited, URL) == ([mine], 1)
    assert listed(limited, f"{URL}?page=1&pageSize=1") == ([mine], 1)
    assert listed(limited, f"{URL}?eventId={limited.mine.pk}&bookingStatus=completed") == ([mine], 1)
    assert listed(limited, f"{URL}?eventId={limited.other.pk}") == ([], 0)
    assert listed(limited, f"{URL}?search=lovelace") == ([mine], 1)
    assert listed(limited, f"{URL}?email={limited.bookings[1].email}") == ([], 0)
    assert listed(limited, "/api/v1/event") == ([limited.mine.pk], 1)
    assert listed(everywhere, URL) == ([other, mine], 2)
    assert listed(everywhere, f"{URL}?email={limited.bookings[1].email}") == ([other], 1)
    assert listed(everywhere, "/api/v1/event") == ([limited.mine.pk, limited.other.pk], 2)


def test_pages_of_a_limited_key_count_what_it_reaches(limited):
    made = [BookingFactory(event=event, user=None) for event in (limited.mine, limited.other) * 3]
    mine = [limited.bookings[0], *made[::2]]

    first = limited.get(f"{URL}?pageSize=3").json()
    rest = limited.get(first["pagination"]["next"]).json()

    assert [row["id"] for row in first["data"] + rest["data"]] == [booking.pk for booking in reversed(mine)]
    assert first["pagination"]["count"] == rest["pagination"]["count"] == 4


def test_limited_key_that_reaches_nothing_sees_nothing():
    BookingFactory()
    client = client_with_key("bookings:read", "events:read", event_ids=[])

    assert (listed(client, URL), listed(client, "/api/v1/event")) == (([], 0), ([], 0))


def test_public_events_are_read_by_scope_all_the_same(settings):
    settings.PUBLIC_EVENTS = True

    assert client_with_key("bookings:read").get("/api/v1/event").status_code == 403
    assert client_with_key("events:read").get("/api/v1/event").status_code == 200


@pytest.mark.parametrize("end", ["revoke", "expire"])
def test_ended_key_books_and_cancels_nothing(end):
    event, seller = EventFactory(), client_with_key("bookings:write", "events:read")
    booking = Booking.objects.get(pk=seller.post(URL, booking_body(event), format="json").json()["data"]["id"])
    if end == "revoke":
        revoke_api_key(seller.key)
    else:
        type(seller.key).objects.update(expiry_date=timezone.now())
    before = digest_of_all_tables()

    answers = [
        seller.post(URL, booking_body(event), format="json"),
        seller.post(URL, booking_body(event, ticketsReserved=0), format="json"),
        seller.delete(f"{URL}/{booking.pk}"),
        seller.get(f"/api/v1/booking/status/{event.pk}"),
    ]

    assert [(response.status_code, response.json()["code"]) for response in answers] == [(401, "api_key_not_valid")] * 4
    assert digest_of_all_tables() == before
