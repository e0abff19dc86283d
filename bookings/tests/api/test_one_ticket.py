import pytest
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory
from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger, statuses
from bookings.tests.wire import CHALLENGE, NO_IDS, NOTHING_HERE
from events.models import Event

pytestmark = pytest.mark.django_db
NOT_LOGGED_IN = {"error": "Log in first, and send the header Authorization: Bearer <access token>."}
NOT_YOURS = {"error": "userId must be your own."}
NO_EVENT = {"error": "There is no such event."}
NO_USER = {"error": "There is no such user."}
NO_SEAT = {"error": "This user has no booking for this event."}
TAKEN = {"error": "This user already has a booking for this event."}
CANCELLED = {"message": "Booking cancelled, next in line assigned if applicable"}
SEAT = ["/api/events/book", "/api/events/cancel"]


def book(client, event, user):
    return client.post("/api/events/book", {"eventId": event.pk, "userId": user.pk})


def cancel(client, event, user):
    return client.post("/api/events/cancel", {"eventId": event.pk, "userId": user.pk})


# Users


def test_register_makes_an_account_without_email(anonymous):
    response = anonymous.post("/api/users/register", {"username": "ada", "password": PASSWORD})

    user = User.objects.get()
    assert response.status_code == 201
    assert response.json() == {"message": "User created successfully", "id": user.pk}
    assert (user.username, user.email, user.is_staff) == ("ada", None, False)
    assert user.check_password(PASSWORD)


def test_register_taken_name_is_refused(anonymous):
    UserFactory(username="ada")

    response = anonymous.post("/api/users/register", {"username": "ADA", "password": PASSWORD})

    assert response.status_code == 409
    assert response.json() == {"error": "This username is taken."}
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"username": "ada"}, "password: This field is required."),
        ({"password": PASSWORD}, "username: This field is required."),
        ({"username": "", "password": PASSWORD}, "username: This field may not be blank."),
        ({"username": None, "password": PASSWORD}, "username: This field may not be null."),
        ({"username": "ada", "password": ["x"]}, "password: Not a valid string."),
        ([], "body: Send a JSON object: names and values in curly brackets."),
    ],
)
@pytest.mark.parametrize("action", ["register", "login"])
def test_register_and_login_with_bad_body_are_refused(anonymous, action, body, sentence):
    response = anonymous.post(f"/api/users/{action}", body)

    assert response.status_code == 400
    assert response.json() == {"error": sentence}
    assert not User.objects.exists()


def test_register_weak_password_is_refused(anonymous):
    response = anonymous.post("/api/users/register", {"username": "ada", "password": "12345"})

    assert response.status_code == 400
    assert list(response.json()) == ["error"]
    assert not User.objects.exists()


def test_login_hands_out_a_token_for_both_contracts(anonymous):
    user = UserFactory(username="ada", email=None, password=PASSWORD)

    response = anonymous.post("/api/users/login", {"username": "ada", "password": PASSWORD})

    assert response.status_code == 200
    assert list(response.json()) == ["token"]
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {response.json()['token']}")
    assert client.get("/api/v1/auth/me").json()["data"]["id"] == user.pk


@pytest.mark.parametrize("credentials", [("ada", "wrong"), ("nobody", PASSWORD)])
def test_login_that_fails_does_not_tell_why(anonymous, credentials):
    UserFactory(username="ada", password=PASSWORD)
    username, password = credentials

    response = anonymous.post("/api/users/login", {"username": username, "password": password})

    assert response.status_code == 401
    assert response.json() == {"error": "The name or the password is wrong."}
    assert response["WWW-Authenticate"] == CHALLENGE


# Reading an event


@pytest.mark.parametrize("persona", ["owner", "stranger", "staff"])
def test_plain_event_for_every_account(request, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory(name="Concert", total_tickets=1)
    BookingFactory(event=event)
    BookingFactory.create_batch(2, event=event)

    response = client.get(f"/api/events/{event.pk}")

    assert response.status_code == 200
    assert response.json() == {
        "id": event.pk,
        "name": "Concert",
        "totalTickets": 1,
        "availableTickets": 0,
        "waitingListCount": 2,
        "version": 1,
    }


def test_plain_event_as_anonymous_is_refused(anonymous):
    event = EventFactory()

    response = anonymous.get(f"/api/events/{event.pk}")

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == CHALLENGE


def test_plain_event_of_deleted_is_gone(staff):
    event = EventFactory()
    staff.delete(f"/api/v1/event/{event.pk}")

    response = staff.get(f"/api/events/{event.pk}")

    assert response.status_code == 404
    assert response.json() == NO_EVENT


@pytest.mark.parametrize("identity", NO_IDS)
def test_plain_event_of_no_such_id(staff, identity):
    EventFactory()

    response = staff.get(f"/api/events/{identity}")

    assert response.status_code == 404
    assert list(response.json()) == ["error"]


# Creating an event


@pytest.mark.parametrize("total", [50, "50"])
def test_initialize_as_staff_opens_an_event_for_both_contracts(staff, admin_user, total):
    response = staff.post("/api/events/initialize", {"name": "Concert", "totalTickets": total})

    event = Event.objects.get()
    assert response.status_code == 201
    assert response.json() == {
        "id": event.pk,
        "name": "Concert",
        "totalTickets": 50,
        "availableTickets": 50,
        "waitingListCount": 0,
        "version": 1,
    }
    assert ledger(event) == [(1, "opened", 50, 50, 0, None, admin_user.pk)]
    shown = staff.get(f"/api/v1/event/{event.pk}").json()["data"]
    assert (shown["date"], shown["totalTickets"], shown["createdBy"]) == (None, 50, admin_user.pk)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"name": "Concert"}, "totalTickets: This field is required."),
        ({"totalTickets": 5}, "name: This field is required."),
        (
            {"name": "Concert", "totalTickets": 0},
            "totalTickets: Ensure this value is greater than or equal to 1.",
        ),
        ({"name": "Concert", "totalTickets": "number"}, "totalTickets: Send a whole number."),
        ({"name": "Concert", "totalTickets": True}, "totalTickets: Send a whole number."),
        (
            {"name": "Concert", "totalTickets": 10**29},
            "totalTickets: Ensure this value is less than or equal to 1000000.",
        ),
    ],
)
def test_initialize_with_bad_field_is_refused(staff, body, sentence):
    response = staff.post("/api/events/initialize", body)

    assert response.status_code == 400
    assert response.json() == {"error": sentence}
    assert not Event.objects.exists()


@pytest.mark.parametrize("persona", ["owner", "stranger"])
def test_initialize_as_user_is_refused(request, persona):
    client = request.getfixturevalue(persona)

    response = client.post("/api/events/initialize", {"name": "Concert", "totalTickets": 5})

    assert response.status_code == 403
    assert response.json() == {"error": "Only an admin may do this."}
    assert not Event.objects.exists()


def test_initialize_as_anonymous_is_refused(anonymous):
    response = anonymous.post("/api/events/initialize", {"name": "Concert", "totalTickets": 5})

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert not Event.objects.exists()


# Booking


@pytest.mark.parametrize("spelt", [int, str])
def test_book_seat_as_oneself(owner, user, spelt):
    event = EventFactory(total_tickets=2)

    response = owner.post("/api/events/book", {"eventId": spelt(event.pk), "userId": spelt(user.pk)})

    booking = Booking.objects.get()
    assert response.status_code == 201
    assert response.json() == {"id": booking.pk, "eventId": event.pk, "userId": user.pk, "status": "booked"}
    assert (booking.user, booking.one_ticket_holder, booking.tickets_reserved) == (user, user, 1)
    assert (booking.token_hash, booking.email) == (None, user.email)
    assert counts(event) == (2, 1, 0, 1)
    assert ledger(event, after=1) == [(2, "booked", 1, 1, 0, booking.pk, user.pk)]


def test_book_seat_when_sold_out_waits(owner, user):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)

    response = book(owner, event, user)

    booking = Booking.objects.get(user=user)
    assert response.status_code == 200
    assert response.json() == {"id": booking.pk, "eventId": event.pk, "userId": user.pk, "status": "waiting"}
    assert counts(event) == (1, 0, 1, 1)


def test_book_seat_without_email_is_seen_by_the_other_contract(client_of):
    user = UserFactory(username="plain", email=None)
    client = client_of(user)
    event = EventFactory()

    seat = book(client, event, user).json()

    shown = client.get(f"/api/v1/booking/{seat['id']}").json()["data"]
    assert (shown["firstName"], shown["lastName"], shown["email"]) == ("plain", "", "")
    assert (shown["userId"], shown["ticketsReserved"], shown["bookingStatus"]) == (user.pk, 1, "completed")


def test_book_seat_for_another_as_staff(staff, admin_user, user):
    event = EventFactory()

    response = book(staff, event, user)

    assert response.status_code == 201
    assert response.json()["userId"] == user.pk
    assert Booking.objects.get().user == user
    assert ledger(event, after=1)[0][-1] == admin_user.pk


@pytest.mark.parametrize("path", SEAT)
def test_seat_of_another_is_refused(stranger, user, path):
    event = EventFactory()
    BookingFactory(event=event, user=user)
    before = everything()

    response = stranger.post(path, {"eventId": event.pk, "userId": user.pk})
    nobody = stranger.post(path, {"eventId": event.pk, "userId": 999_999})

    assert response.status_code == nobody.status_code == 403
    assert response.json() == nobody.json() == NOT_YOURS
    assert everything() == before


@pytest.mark.parametrize("path", SEAT)
def test_seat_as_anonymous_is_refused(anonymous, user, path):
    event = EventFactory()
    before = everything()

    response = anonymous.post(path, {"eventId": event.pk, "userId": user.pk})

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == CHALLENGE
    assert everything() == before


@pytest.mark.parametrize("path", SEAT)
def test_seat_with_bad_token_is_refused(anonymous, user, path):
    event = EventFactory()

    response = anonymous.post(
        path, {"eventId": event.pk, "userId": user.pk}, headers={"Authorization": "Bearer no.token.this"}
    )

    assert response.status_code == 401
    assert list(response.json()) == ["error"]
    assert not Booking.objects.exists()


@pytest.mark.parametrize("path", SEAT)
def test_seat_of_unknown_event_is_refused(owner, user, path):
    response = owner.post(path, {"eventId": 999_999, "userId": user.pk})

    assert response.status_code == 404
    assert response.json() == NO_EVENT


@pytest.mark.parametrize("path", SEAT)
def test_seat_of_deleted_event_is_refused(owner, user, staff, path):
    event = EventFactory()
    book(owner, event, user)
    staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    response = owner.post(path, {"eventId": event.pk, "userId": user.pk})

    assert response.status_code == 404
    assert response.json() == NO_EVENT
    assert everything() == before


@pytest.mark.parametrize("path", SEAT)
def test_seat_of_unknown_user_as_staff_is_refused(staff, path):
    event = EventFactory()
    before = everything()

    response = staff.post(path, {"eventId": event.pk, "userId": "999999"})

    assert response.status_code == 404
    assert response.json() == NO_USER
    assert everything() == before


@pytest.mark.parametrize("path", SEAT)
@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"userId": ...}, "userId: This field is required."),
        ({"eventId": ...}, "eventId: This field is required."),
        ({"userId": "string"}, "userId: Send a whole number."),
        ({"userId": None}, "userId: This field may not be null."),
        ({"userId": True}, "userId: Send a whole number."),
        ({"eventId": "number"}, "eventId: Send a whole number."),
        ({"eventId": 1.5}, "eventId: Send a whole number."),
        ({"eventId": -1}, "eventId: Ensure this value is greater than or equal to 1."),
        ({"eventId": 10**29}, f"eventId: Ensure this value is less than or equal to {2**63 - 1}."),
    ],
)
def test_seat_with_bad_field_is_refused(owner, user, path, changes, sentence):
    event = EventFactory()
    before = everything()
    body = {"eventId": event.pk, "userId": user.pk, **changes}

    response = owner.post(path, {name: value for name, value in body.items() if value is not ...})

    assert response.status_code == 400
    assert response.json() == {"error": sentence}
    assert everything() == before


@pytest.mark.parametrize("path", SEAT)
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("[]", "application/json", 400),
        ('{"eventId": 1, "userId": 1,,}', "application/json", 400),
        ("eventId 1", "text/plain", 415),
    ],
)
def test_seat_from_no_object_is_refused(owner, path, body, content_type, status):
    response = owner.post(path, body, content_type=content_type)

    assert response.status_code == status
    assert list(response.json()) == ["error"]


@pytest.mark.parametrize("first_status", ["booked", "waiting"])
def test_book_seat_twice_is_refused(owner, user, first_status):
    event = EventFactory(total_tickets=1)
    if first_status == "waiting":
        BookingFactory(event=event)
    assert book(owner, event, user).json()["status"] == first_status
    before = everything()

    response = book(owner, event, user)

    assert response.status_code == 409
    assert response.json() == TAKEN
    assert everything() == before


def test_book_seat_beside_a_booking_of_the_other_contract_is_refused(owner, user):
    event = EventFactory()
    BookingFactory(event=event, user=user, tickets=3)
    before = everything()

    response = book(owner, event, user)

    assert response.status_code == 409
    assert response.json() == TAKEN
    assert everything() == before


def test_book_seat_of_another_event(owner, user):
    first, second = EventFactory.create_batch(2)

    answers = [book(owner, event, user).status_code for event in (first, second)]

    assert answers == [201, 201]


def test_book_seat_again_after_cancelling(owner, user):
    event = EventFactory(total_tickets=1)
    first = book(owner, event, user).json()
    cancel(owner, event, user)

    response = book(owner, event, user)

    assert response.status_code == 201
    assert response.json()["id"] != first["id"]
    assert list(Booking.objects.order_by("pk").values_list("status", "one_ticket_holder_id")) == [
        ("cancelled", None),
        ("completed", user.pk),
    ]


def test_book_seat_again_after_the_other_contract_cancelled(owner, user):
    event = EventFactory()
    first = book(owner, event, user).json()
    owner.delete(f"/api/v1/booking/{first['id']}")

    response = book(owner, event, user)

    assert response.status_code == 201


def test_book_seat_without_waitlist_when_sold_out_is_refused(owner, user):
    event = EventFactory(total_tickets=1, waitlist_enabled=False)
    BookingFactory(event=event)
    before = everything()

    response = book(owner, event, user)

    assert response.status_code == 409
    assert response.json() == {"error": "Not enough tickets are left, and this event has no waitlist."}
    assert everything() == before


def test_other_contract_books_beside_a_seat(owner, user):
    event = EventFactory()
    book(owner, event, user)

    response = owner.post(
        "/api/v1/booking",
        {"eventId": event.pk, "firstName": "A", "lastName": "B", "email": "a@b.co", "ticketsReserved": 2},
    )

    assert response.status_code == 201
    assert counts(event) == (10, 7, 0, 3)


# Cancelling


def test_cancel_seat_as_oneself_serves_the_next_in_line(owner, user):
    event = EventFactory(total_tickets=1)
    book(owner, event, user)
    waiting = BookingFactory(event=event)
    seat = Booking.objects.get(user=user)

    response = owner.post("/api/events/cancel", {"eventId": event.pk, "userId": str(user.pk)})

    assert response.status_code == 200
    assert response.json() == CANCELLED
    assert statuses(seat, waiting) == ["cancelled", "completed"]
    assert counts(event) == (1, 0, 0, 1)
    assert ledger(event, after=3) == [
        (4, "cancelled", 1, 1, 1, seat.pk, user.pk),
        (5, "promoted", 1, 0, 0, waiting.pk, user.pk),
    ]


def test_cancel_seat_that_waits(owner, user):
    event = EventFactory(total_tickets=1)
    held = BookingFactory(event=event)
    book(owner, event, user)

    response = cancel(owner, event, user)

    assert (response.status_code, response.json()) == (200, CANCELLED)
    assert statuses(held) == ["completed"]
    assert counts(event) == (1, 0, 0, 1)


def test_cancel_seat_for_another_as_staff(staff, admin_user, user):
    event = EventFactory()
    book(staff, event, user)

    response = cancel(staff, event, user)

    assert (response.status_code, response.json()) == (200, CANCELLED)
    assert counts(event) == (10, 10, 0, 0)
    assert ledger(event, after=2)[0][-1] == admin_user.pk


def test_cancel_seat_that_is_none_is_refused(owner, user):
    elsewhere, event = EventFactory.create_batch(2)
    book(owner, elsewhere, user)
    BookingFactory(event=event)
    before = everything()

    response = cancel(owner, event, user)

    assert response.status_code == 404
    assert response.json() == NO_SEAT
    assert everything() == before


def test_cancel_seat_twice_is_refused(owner, user):
    event = EventFactory()
    book(owner, event, user)
    cancel(owner, event, user)
    before = everything()

    response = cancel(owner, event, user)

    assert response.status_code == 404
    assert response.json() == NO_SEAT
    assert everything() == before


def test_cancel_seat_takes_the_seat_before_other_bookings(owner, user):
    event = EventFactory()
    seat = book(owner, event, user).json()
    other = BookingFactory(event=event, user=user, tickets=3)

    cancel(owner, event, user)

    assert statuses(Booking.objects.get(pk=seat["id"]), other) == ["cancelled", "completed"]


def test_cancel_seat_takes_a_booking_of_the_other_contract_where_there_is_no_seat(owner, user):
    event = EventFactory()
    book(owner, event, user)
    cancel(owner, event, user)
    booking = BookingFactory(event=event, user=user, tickets=3)

    response = cancel(owner, event, user)

    assert (response.status_code, response.json()) == (200, CANCELLED)
    assert statuses(booking) == ["cancelled"]
    assert counts(event) == (10, 10, 0, 0)


def test_seat_is_served_and_cancelled_by_the_other_contract(owner, user):
    event = EventFactory(total_tickets=1)
    held = BookingFactory(event=event)
    seat = book(owner, event, user).json()

    cancel_tickets(held)

    shown = owner.get(f"/api/v1/booking/{seat['id']}").json()["data"]
    assert (shown["bookingStatus"], shown["waitlistPosition"]) == ("completed", None)
    assert owner.get("/api/v1/booking").json()["pagination"]["count"] == 1


# Other requests


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("get", "/api/users/register", "POST, OPTIONS"),
        ("get", "/api/users/login", "POST, OPTIONS"),
        ("get", "/api/events/initialize", "POST, OPTIONS"),
        ("get", "/api/events/book", "POST, OPTIONS"),
        ("delete", "/api/events/cancel", "POST, OPTIONS"),
        ("post", "/api/events/1", "GET, HEAD, OPTIONS"),
        ("delete", "/api/events/1", "GET, HEAD, OPTIONS"),
    ],
)
def test_plain_route_by_other_methods_is_refused(staff, method, path, allowed):
    response = getattr(staff, method)(path)

    assert response.status_code == 405
    assert response.json() == {"error": f'Method "{method.upper()}" not allowed.'}
    assert response["Allow"] == allowed


@pytest.mark.parametrize("persona", ["anonymous", "staff"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/events",
        "/api/events/",
        "/api/events/1/",
        "/api/events/1/seats",
        "/api/events/book/",
        "/api/users",
        "/api/users/",
        "/api/users/1",
        "/api/users/login/x",
    ],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_plain_route_that_is_none(request, persona, method, path):
    response = getattr(request.getfixturevalue(persona), method)(path)

    assert response.status_code == 404
    assert response.json() == {"error": "There is nothing at this address."}


@pytest.mark.parametrize("path", ["/api/eventsx", "/api/usersx/1", "/api/v1/events/1", "/api/v2", "/api/v2/event"])
def test_route_of_neither_contract_is_none(staff, path):
    response = staff.get(path)

    assert response.status_code == 404
    assert response.json() == NOTHING_HERE


def test_book_takes_over_names_of_any_length(client_of):
    user = UserFactory(first_name="A" * 150, last_name="B" * 150)
    event = EventFactory()

    response = client_of(user).post("/api/events/book", {"eventId": event.pk, "userId": user.pk})

    assert response.status_code == 201
