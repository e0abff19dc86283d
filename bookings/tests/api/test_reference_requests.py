"""Every request that the two replaced systems print, sent as it is printed, over a real connection.

Only ids, tokens and the host are ours. The second document prints types instead of values
("number", "string"): an id as a number and a user's id as a string, then.
"""

import json
from http.client import HTTPConnection

import pytest

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from bookings.models import Booking
from bookings.tests.state import counts
from events.models import Event

pytestmark = pytest.mark.django_db(transaction=True)
STAFF = {"username": "boxoffice", "email": "boxoffice@example.com"}


class Wire:
    def __init__(self, live_server):
        self.host = (live_server.thread.host, live_server.thread.port)
        self.token = None

    def send(self, method, path, body=None, **headers):
        """The status and the parsed body. `body` is JSON as text, as printed."""
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        connection = HTTPConnection(*self.host, timeout=30)
        try:
            connection.request(method, path, body=body and body.encode(), headers=headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


@pytest.fixture
def wire(live_server):
    return Wire(live_server)


def test_every_request_of_ticks(wire):
    admin = UserFactory(**STAFF, is_staff=True, password=PASSWORD)

    # Authentication

    status, answer = wire.send(
        "POST",
        "/api/v1/auth/register",
        """{
           "username": "divinealph",
           "email": "divinealph@example.com",
           "password": "securePassword123"
         }""",
    )
    user = User.objects.get(username="divinealph")
    assert status == 201
    assert answer == {
        "message": "User registered successfully.",
        "data": {"id": user.pk, "username": "divinealph", "email": "divinealph@example.com"},
        "error": False,
    }

    status, answer = wire.send(
        "POST",
        "/api/v1/auth/login",
        """{
           "email": "divinealph@example.com",
           "password": "securePassword123"
         }""",
    )
    assert (status, answer["message"], answer["error"]) == (200, "Login successful.", False)
    wire.token = answer["data"]["token"]

    status, answer = wire.send("GET", "/api/v1/auth/me")
    assert (status, answer["message"]) == (200, "User retrieved successfully.")
    assert answer["data"] == {
        "id": user.pk,
        "username": "divinealph",
        "email": "divinealph@example.com",
        "isAdmin": False,
        "language": None,
        "emailVerified": False,
    }

    # Events

    _, answer = wire.send("POST", "/api/v1/auth/login", json.dumps({"email": STAFF["email"], "password": PASSWORD}))
    wire.token = answer["data"]["token"]
    status, answer = wire.send(
        "POST",
        "/api/v1/event",
        """{
           "name": "Concert",
           "date": "2024-12-01",
           "totalTickets": 100,
           "availableTickets": 100,
         }""",
    )
    created = answer["data"]
    event = Event.objects.get()
    assert status == 201
    assert (answer["message"], answer["error"]) == ("Event created successfully.", False)
    assert (
        created.items()
        >= {
            "id": event.pk,
            "name": "Concert",
            "date": "2024-12-01T00:00:00.000Z",
            "totalTickets": 100,
            "availableTickets": 100,
            "createdBy": admin.pk,
        }.items()
    )

    status, answer = wire.send("GET", "/api/v1/event")
    assert (status, answer["message"], answer["error"]) == (200, "Events retrieved successfully.", False)
    assert answer["data"] == [created]

    # Bookings

    wire.token = None
    status, answer = wire.send(
        "POST",
        "/api/v1/booking",
        f"""{{
           "eventId": "{event.pk}",
           "firstName": "Divine",
           "lastName": "Alphonsus",
           "email": "divinealph@example.com",
           "ticketsReserved": "10"
         }}""",
    )
    booking = Booking.objects.get()
    assert status == 201
    assert (answer["message"], answer["error"]) == ("Booking created successfully.", False)
    assert (
        answer["data"].items()
        >= {
            "id": booking.pk,
            "eventId": event.pk,
            "userId": None,
            "firstName": "Divine",
            "lastName": "Alphonsus",
            "email": "divinealph@example.com",
            "ticketsReserved": 10,
            "bookingStatus": "completed",
        }.items()
    )
    token = answer["data"]["bookingToken"]

    status, answer = wire.send("GET", f"/api/v1/booking/status/{event.pk}")
    assert status == 200
    assert answer == {
        "message": "Event status retrieved successfully.",
        "data": {"availableTickets": 90, "waitlistedCount": 0},
        "error": False,
    }

    status, answer = wire.send(
        "DELETE",
        f"/api/v1/booking/{booking.pk}",
        f"""{{
           "bookingId": {booking.pk},
           "ticketsToCancel": 10
         }}""",
        **{"Booking-Token": token},
    )
    assert status == 200
    assert answer == {"message": "Booking cancelled successfully.", "error": False}
    assert counts(event) == (100, 100, 0, 0)

    # Deleting the event

    _, answer = wire.send("POST", "/api/v1/auth/login", json.dumps({"email": STAFF["email"], "password": PASSWORD}))
    wire.token = answer["data"]["token"]
    status, answer = wire.send("DELETE", f"/api/v1/event/{event.pk}")
    assert status == 200
    assert answer == {"message": "Event deleted successfully.", "error": False}


def test_every_request_of_event_ticket_booking(wire):
    admin = UserFactory(**STAFF, is_staff=True, password=PASSWORD)

    # Users

    credentials = json.dumps({"username": "sfxgizuka", "password": PASSWORD})
    status, answer = wire.send("POST", "/api/users/register", credentials)
    user = User.objects.get(username="sfxgizuka")
    assert status == 201
    assert answer == {"message": "User created successfully", "id": user.pk}

    status, answer = wire.send("POST", "/api/users/login", credentials)
    assert (status, list(answer)) == (200, ["token"])
    users_token = answer["token"]
    _, answer = wire.send("POST", "/api/users/login", json.dumps({"username": admin.username, "password": PASSWORD}))
    staffs_token = answer["token"]

    # Events

    wire.token = staffs_token
    status, answer = wire.send("POST", "/api/events/initialize", '{"name": "Concert", "totalTickets": 1,}')
    event = Event.objects.get()
    opened = {
        "id": event.pk,
        "name": "Concert",
        "totalTickets": 1,
        "availableTickets": 1,
        "waitingListCount": 0,
        "version": 1,
    }
    assert (status, answer) == (201, opened)

    wire.token = users_token
    status, answer = wire.send("GET", f"/api/events/{event.pk}")
    assert (status, answer) == (200, opened)

    seat = json.dumps({"eventId": event.pk, "userId": str(user.pk)})
    status, answer = wire.send("POST", "/api/events/book", seat)
    booking = Booking.objects.get()
    assert status == 201
    assert answer == {"id": booking.pk, "eventId": event.pk, "userId": user.pk, "status": "booked"}

    wire.token = staffs_token
    waits = json.dumps({"eventId": event.pk, "userId": str(admin.pk)})
    status, answer = wire.send("POST", "/api/events/book", waits)
    waiting = Booking.objects.get(user=admin)
    assert status == 200
    assert answer == {"id": waiting.pk, "eventId": event.pk, "userId": admin.pk, "status": "waiting"}

    wire.token = users_token
    status, answer = wire.send("POST", "/api/events/cancel", seat)
    assert status == 200
    assert answer == {"message": "Booking cancelled, next in line assigned if applicable"}
    waiting.refresh_from_db()
    assert waiting.status == "completed"
    assert counts(event) == (1, 0, 0, 1)
