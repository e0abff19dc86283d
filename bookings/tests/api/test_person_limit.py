"""How many tickets of an event a person may have: an account, or a guest's mail address."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything
from bookings.tests.wire import booking_body, failure

pytestmark = pytest.mark.django_db
ADA = "ada@example.org"


def refusal(limit, has, left):
    limited = f"This event gives at most {limit} tickets to a person, waiting ones too."
    sentence = f"{limited} This person has {has}, so {left} left."
    return failure(sentence, "person_limit", ticketsReserved=[sentence])


def book(client, event, tickets, **changes):
    return client.post("/api/v1/booking", booking_body(event, ticketsReserved=tickets, **changes))


@pytest.fixture
def event():
    return EventFactory(total_tickets=50, max_tickets_per_person=4)


def test_account_gets_no_more_than_the_limit(owner, event):
    book(owner, event, 3)
    before = everything()

    refused = book(owner, event, 2)
    assert everything() == before
    last = book(owner, event, 1, email="another@example.org")

    assert (refused.status_code, refused.json()) == (409, refusal(4, 3, "1 is"))
    assert last.status_code == 201
    assert counts(event) == (50, 46, 0, 4)


@pytest.mark.parametrize("spelling", [ADA, "ADA@example.org", " Ada@Example.Org "])
def test_guest_gets_no_more_than_the_limit_however_the_address_is_spelled(anonymous, event, spelling):
    book(anonymous, event, 4, email=ADA)

    response = book(anonymous, event, 1, email=spelling)

    assert (response.status_code, response.json()) == (409, refusal(4, 4, "none is"))
    assert book(anonymous, event, 1, email="bob@example.org").status_code == 201


def test_guests_accounts_and_events_are_counted_apart(anonymous, owner, stranger, event):
    other = EventFactory(total_tickets=50, max_tickets_per_person=4)
    for client, at in ((anonymous, event), (owner, event), (stranger, event), (anonymous, other)):
        assert book(client, at, 4, email=ADA).status_code == 201

    assert [book(client, event, 1, email=ADA).status_code for client in (anonymous, owner, stranger)] == [409] * 3


def test_tickets_that_were_given_back_do_not_count(owner, user, event):
    first, second = BookingFactory(event=event, user=user, tickets=2), BookingFactory(event=event, user=user, tickets=2)
    cancel_tickets(first)
    cancel_tickets(second, tickets=1)

    assert [book(owner, event, tickets).status_code for tickets in (4, 3)] == [409, 201]


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
def test_waiting_tickets_count(anonymous, policy):
    event = EventFactory(total_tickets=4, max_tickets_per_person=4, waitlist_policy=policy)
    BookingFactory(event=event, tickets=4)
    waits = book(anonymous, event, 3, email=ADA)

    response = book(anonymous, event, 2, email=ADA)

    assert waits.json()["data"]["bookingStatus"] == "waitlisted"
    assert (response.status_code, response.json()) == (409, refusal(4, 3, "1 is"))


@pytest.mark.parametrize("policy", ["first_fit", "strict"])
def test_nobody_waits_for_more_than_a_person_may_have(anonymous, policy):
    event = EventFactory(total_tickets=10, max_tickets_per_person=4, waitlist_policy=policy)
    BookingFactory.create_batch(2, event=event, tickets=4)

    response = book(anonymous, event, 5)

    assert (response.status_code, response.json()) == (409, refusal(4, 0, "4 are"))
    assert counts(event) == (10, 2, 0, 8)


def test_limit_holds_for_both_contracts_together(owner, staff, user, event):
    book(owner, event, 4)
    plainly = {"eventId": event.pk, "userId": user.pk}
    taken = owner.post("/api/events/book", plainly)
    other = EventFactory(max_tickets_per_person=1)

    seat = staff.post("/api/events/book", {**plainly, "eventId": other.pk})
    response = book(owner, other, 1)

    assert (taken.status_code, taken.json()) == (409, {"error": "This user already has a booking for this event."})
    assert (seat.status_code, response.status_code, response.json()["code"]) == (201, 409, "person_limit")


def test_limit_below_what_somebody_has_concerns_later_bookings_alone(owner, user, staff, event):
    booking = BookingFactory(event=event, user=user, tickets=4)

    changed = staff.patch(f"/api/v1/event/{event.pk}", {"maxTicketsPerPerson": 2})
    refused = book(owner, event, 1)
    staff.patch(f"/api/v1/event/{event.pk}", {"maxTicketsPerPerson": None})

    assert (changed.status_code, changed.json()["data"]["maxTicketsPerPerson"]) == (200, 2)
    assert refused.json() == refusal(2, 4, "none is")
    booking.refresh_from_db()
    assert (booking.status, booking.tickets_reserved) == ("completed", 4)
    assert book(owner, event, 20).status_code == 201


def test_repeated_request_within_the_limit_is_replayed(anonymous, event):
    sent = {"data": booking_body(event, ticketsReserved=4), "headers": {"Idempotency-Key": "k"}}

    first, again = (anonymous.post("/api/v1/booking", **sent) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content


@pytest.mark.parametrize("limit", [None, 4])
@pytest.mark.parametrize("persona", ["anonymous", "owner"])
def test_only_an_event_with_a_limit_reads_what_a_person_has(request, persona, limit):
    client, event = request.getfixturevalue(persona), EventFactory(max_tickets_per_person=limit)

    with CaptureQueriesContext(connection) as queries:
        assert book(client, event, 1).status_code == 201

    read = [query for query in queries if query["sql"].startswith("SELECT id, reference")]
    assert len(read) == (0 if limit is None else 1)
