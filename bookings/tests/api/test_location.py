"""A 201 says where to read what was made, if it can be read."""

import pytest

from bookings.tests.factories import EventFactory
from bookings.tests.wire import booking_body

pytestmark = pytest.mark.django_db

EVENT = {"name": "Gala", "date": "2099-12-01", "totalTickets": 3}
# The fast path leaves an answer in another form to Django.
BY_DJANGO = {"Accept": "application/json;q=0.9"}


def made(response):
    answered = response.json()
    return answered.get("data", answered)


@pytest.mark.parametrize("headers", [{}, BY_DJANGO])
def test_booking_is_read_where_its_answer_says(owner, headers):
    event = EventFactory(total_tickets=3)

    completed, waitlisted = (
        owner.post("/api/v1/booking", booking_body(event), headers={"Idempotency-Key": key, **headers})
        for key in ("first", "second")
    )
    replayed = owner.post("/api/v1/booking", booking_body(event), headers={"Idempotency-Key": "first", **headers})

    for booked in (completed, waitlisted):
        assert booked.status_code == 201
        assert booked["Location"] == f"/api/v1/booking/{made(booked)['id']}"
        assert made(owner.get(booked["Location"])) == made(booked)
    assert replayed["Idempotent-Replayed"] == "true"
    assert replayed["Location"] == completed["Location"]


@pytest.mark.parametrize(
    ("path", "body", "address"),
    [
        ("/api/v1/event", EVENT, "/api/v1/event"),
        ("/api/events/initialize", {"name": "A", "totalTickets": 1}, "/api/events"),
    ],
)
def test_event_is_read_where_its_answer_says(staff, path, body, address):
    created = staff.post(path, body)

    assert created.status_code == 201
    assert created["Location"] == f"{address}/{made(created)['id']}"
    assert made(staff.get(created["Location"])) == made(created)


def test_booking_of_one_ticket_is_read_in_the_other_contract(owner, stranger, user):
    event = EventFactory(total_tickets=1)

    booked = owner.post("/api/events/book", {"eventId": event.pk, "userId": user.pk})
    read = owner.get(booked["Location"])

    assert (booked.status_code, read.status_code) == (201, 200)
    assert (made(read)["id"], made(read)["userId"]) == (booked.json()["id"], user.pk)
    assert stranger.get(booked["Location"]).status_code == 404


def test_what_has_no_address_names_none(anonymous, owner, user):
    event = EventFactory(total_tickets=1)
    account = {"username": "ada", "password": "nine lovely engines"}
    anonymous.post("/api/v1/booking", booking_body(event, ticketsReserved=1))

    answers = [
        anonymous.post("/api/v1/auth/register", {**account, "email": "ada@example.org"}),
        anonymous.post("/api/users/register", {**account, "username": "charles"}),
        owner.post("/api/events/book", {"eventId": event.pk, "userId": user.pk}),
        anonymous.post("/api/v1/booking", {}),
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 200, 400]
    assert [answer for answer in answers if answer.has_header("Location")] == []
