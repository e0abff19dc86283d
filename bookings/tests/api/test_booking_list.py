import pytest

from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.wire import CHALLENGE, NOT_LOGGED_IN, booking_json, failure, invalid

pytestmark = pytest.mark.django_db
URL = "/api/v1/booking"
USER_FILTERS = "There is no such filter; use bookingStatus, eventId, ordering, page, pageSize, search."
ADMIN_FILTERS = "There is no such filter; use bookingStatus, email, eventId, ordering, page, pageSize, search."
NO_ID = "Send an id, a whole number."
ORDER = "Order by id, createdAt, with a minus for descending."


def ids(response):
    assert response.status_code == 200
    return [booking["id"] for booking in response.json()["data"]]


def test_booking_list_as_user_has_their_own(owner, user):
    mine = BookingFactory(user=user, tickets=2)
    BookingFactory()
    BookingFactory(user=None, email=user.email)

    response = owner.get(URL)

    assert response.status_code == 200
    assert response.json() == {
        "message": "Bookings retrieved successfully.",
        "data": [booking_json(mine)],
        "pagination": {"count": 1, "next": None, "previous": None},
        "error": False,
    }


def test_booking_list_as_stranger_is_empty(stranger):
    BookingFactory()
    BookingFactory(user=None)

    response = stranger.get(URL)

    assert response.status_code == 200
    assert response.json()["data"] == []
    assert response.json()["pagination"]["count"] == 0


def test_booking_list_as_staff_has_all_latest_first(staff, user, admin_user):
    users = BookingFactory(user=user)
    guests = BookingFactory(user=None)
    own = BookingFactory(user=admin_user)

    response = staff.get(URL)

    assert response.json()["data"] == [booking_json(own), booking_json(guests), booking_json(users)]


def test_booking_list_as_anonymous_is_refused(anonymous):
    booking = BookingFactory(user=None)

    response = anonymous.get(URL, headers={"Booking-Token": booking.token})

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == CHALLENGE


def test_booking_list_with_bad_token_is_refused(anonymous):
    response = anonymous.get(URL, headers={"Authorization": "Bearer no.token.this"})

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"


def test_booking_list_has_positions_of_each_event(owner, user):
    full, fuller = EventFactory(total_tickets=1), EventFactory(total_tickets=1)
    held = BookingFactory(event=full, user=user)
    BookingFactory(event=full)
    second_here = BookingFactory(event=full, user=user)
    BookingFactory(event=fuller)
    first_there = BookingFactory(event=fuller, user=user)
    BookingFactory(event=fuller)
    third_there = BookingFactory(event=fuller, user=user)

    response = owner.get(URL)

    positions = {booking["id"]: booking["waitlistPosition"] for booking in response.json()["data"]}
    assert positions == {held.pk: None, second_here.pk: 2, first_there.pk: 1, third_there.pk: 3}


def test_booking_list_positions_move_up(owner, user, staff):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    ahead = BookingFactory(event=event)
    BookingFactory(event=event, user=user)
    staff.delete(f"{URL}/{ahead.pk}")

    response = owner.get(URL)

    assert response.json()["data"][0]["waitlistPosition"] == 1


def test_booking_list_by_event(owner, user):
    booking = BookingFactory(user=user)
    BookingFactory(user=user)

    assert ids(owner.get(URL, {"eventId": booking.event_id})) == [booking.pk]
    assert ids(owner.get(URL, {"eventId": "999999"})) == []


def test_booking_list_by_status(owner, user):
    event = EventFactory(total_tickets=1)
    cancelled = BookingFactory(event=event, user=user)
    owner.delete(f"{URL}/{cancelled.pk}")
    completed = BookingFactory(event=event, user=user)
    waiting = BookingFactory(event=event, user=user)

    assert ids(owner.get(f"{URL}?bookingStatus=cancelled")) == [cancelled.pk]
    assert ids(owner.get(f"{URL}?bookingStatus=completed")) == [completed.pk]
    assert ids(owner.get(f"{URL}?bookingStatus=waitlisted")) == [waiting.pk]
    assert ids(owner.get(f"{URL}?bookingStatus=waitlisted&eventId=999999")) == []


def test_booking_list_by_email_as_staff(staff):
    booking = BookingFactory(email="Ada@Example.org")
    guests = BookingFactory(email="ada@example.org", user=None)
    BookingFactory(email="xada@example.org")

    response = staff.get(URL, {"email": " ADA@example.ORG"})

    assert ids(response) == [guests.pk, booking.pk]


def test_booking_list_by_email_as_user_is_refused(owner, user):
    BookingFactory(user=user, email="ada@example.org")

    response = owner.get(f"{URL}?email=ada@example.org")

    assert response.status_code == 400
    assert response.json() == invalid("email", USER_FILTERS)


@pytest.mark.parametrize(
    ("query", "field", "sentence"),
    [
        ("eventId=one", "eventId", NO_ID),
        ("eventId=-1", "eventId", NO_ID),
        ("eventId=1.0", "eventId", NO_ID),
        (f"eventId={2**63}", "eventId", NO_ID),
        ("eventId=" + "9" * 20, "eventId", NO_ID),
        ("eventId=" + "9" * 5000, "eventId", NO_ID),
        ("bookingStatus=lost", "bookingStatus", "Send one of these: completed, waitlisted, cancelled."),
        ("token_hash=x", "token_hash", ADMIN_FILTERS),
        ("userId=1", "userId", ADMIN_FILTERS),
        ("email=%00", "email", "Null characters are not allowed."),
        ("ordering=email", "ordering", ORDER),
        ("ordering=token_hash", "ordering", ORDER),
        ("page=-1", "page", "Send a whole number from 1 to 1000000."),
        ("pageSize=1000", "pageSize", "Send a whole number from 1 to 100."),
    ],
)
def test_booking_list_by_what_it_cannot_is_refused(staff, query, field, sentence):
    BookingFactory()

    response = staff.get(f"{URL}?{query}")

    assert response.status_code == 400
    assert response.json() == invalid(field, sentence)


def test_booking_list_by_search(owner, user):
    ada = BookingFactory(user=user, first_name="Ada", last_name="Lovelace", email="x@example.org")
    grace = BookingFactory(user=user, first_name="Grace", last_name="Hopper", email="x@example.org")
    BookingFactory(first_name="Ada", last_name="Hopper")

    assert ids(owner.get(f"{URL}?search=ada")) == [ada.pk]
    assert ids(owner.get(f"{URL}?search=hopp")) == [grace.pk]
    assert ids(owner.get(URL, {"search": grace.reference})) == [grace.pk]
    assert ids(owner.get(URL, {"search": grace.reference[:5]})) == []
    assert ids(owner.get(f"{URL}?search=example.org")) == [grace.pk, ada.pk]
    assert ids(owner.get(f"{URL}?search=x@example.org&bookingStatus=cancelled")) == []


@pytest.mark.parametrize("page_size", [1, 100])
@pytest.mark.parametrize(
    "query",
    ["", "eventId={event}", "eventId=999999", "search=ada", "email=x@example.org", "eventId={event}&search=ada"],
)
@pytest.mark.parametrize("status", ["", "completed", "waitlisted", "cancelled"])
def test_booking_list_counts_what_it_lists(staff, page_size, query, status):
    events = [EventFactory(total_tickets=3), EventFactory(total_tickets=2), EventFactory()]
    bookings = [BookingFactory(event=event, email="x@example.org") for event in events[:2] for _ in range(6)]
    for booking in bookings[2:8]:
        staff.delete(f"{URL}/{booking.pk}")
    BookingFactory(event=events[2])
    staff.delete(f"/api/v1/event/{events[2].pk}")
    url = f"{URL}?{query.format(event=events[1].pk)}&bookingStatus={status}"

    counted = staff.get(f"{url}&pageSize={page_size}").json()["pagination"]["count"]

    assert counted == len(staff.get(f"{url}&pageSize=100").json()["data"])


def test_booking_list_follows_links_past_newcomers(staff):
    first, second, third, fourth = BookingFactory.create_batch(4)
    page = staff.get(f"{URL}?pageSize=2")
    BookingFactory()
    staff.delete(f"{URL}/{third.pk}")

    following = staff.get(page.json()["pagination"]["next"])

    assert (ids(page), ids(following)) == ([fourth.pk, third.pk], [second.pk, first.pk])
    assert following.json()["pagination"] == {
        "count": 5,
        "next": None,
        "previous": f"http://testserver{URL}?before={second.pk}&pageSize=2",
    }


def test_booking_list_back_at_a_beginning_that_has_gone_repeats_no_row(staff):
    bookings = BookingFactory.create_batch(7)
    url = f"{URL}?bookingStatus=completed&pageSize=2&ordering=id"
    third = staff.get(f"{url}&page=3")
    for booking in bookings[:3]:
        staff.delete(f"{URL}/{booking.pk}")

    back = staff.get(third.json()["pagination"]["previous"])

    assert ids(third) == [bookings[4].pk, bookings[5].pk]
    assert ids(back) == [bookings[3].pk]
    assert back.json()["pagination"]["previous"] is None


def test_booking_list_in_order(owner, user):
    first, second, third = (booking.pk for booking in BookingFactory.create_batch(3, user=user))

    assert ids(owner.get(URL)) == [third, second, first]
    for name in ("id", "createdAt"):
        assert ids(owner.get(f"{URL}?ordering={name}")) == [first, second, third]
        assert ids(owner.get(f"{URL}?ordering=-{name}")) == [third, second, first]


def test_booking_list_in_pages(owner, user):
    second = BookingFactory.create_batch(3, user=user)[1]

    page = owner.get(f"{URL}?pageSize=1&page=2&ordering=id")
    beyond = owner.get(f"{URL}?pageSize=1&page=4")

    assert ids(page) == [second.pk]
    assert page.json()["pagination"] == {
        "count": 3,
        "next": f"http://testserver{URL}?after={second.pk}&ordering=id&page=3&pageSize=1",
        "previous": f"http://testserver{URL}?before={second.pk}&ordering=id&pageSize=1",
    }
    assert beyond.status_code == 404
    assert beyond.json() == failure("Invalid page.", "not_found")


@pytest.mark.parametrize("persona", ["owner", "staff"])
@pytest.mark.parametrize("rows", [1, 3])
def test_booking_list_takes_four_queries(request, user, django_assert_num_queries, persona, rows):
    client = request.getfixturevalue(persona)
    for _ in range(rows):
        event = EventFactory(total_tickets=1)
        BookingFactory(event=event)
        BookingFactory(event=event, user=user)

    # The queries are the session with its user, the page, which events are cancelled, and the waitlist positions. It is
    # the last page, so it gives the count.
    with django_assert_num_queries(4):
        response = client.get(f"{URL}?bookingStatus=waitlisted")

    assert [booking["waitlistPosition"] for booking in response.json()["data"]] == [1] * rows


@pytest.mark.parametrize("rows", [1, 3])
def test_booking_list_takes_three_queries_where_nobody_waits(owner, user, django_assert_num_queries, rows):
    BookingFactory.create_batch(rows, user=user)

    with django_assert_num_queries(3):
        response = owner.get(URL)

    assert len(response.json()["data"]) == rows


def test_booking_list_of_a_whole_page_of_waiting(staff):
    event = EventFactory(total_tickets=1)
    BookingFactory.create_batch(101, event=event)

    response = staff.get(f"{URL}?pageSize=100&ordering=-id")

    assert [booking["waitlistPosition"] for booking in response.json()["data"]] == list(range(100, 0, -1))


def test_booking_list_tells_each_position_of_several_lines(staff):
    events = [EventFactory(total_tickets=2), EventFactory(total_tickets=2)]
    for event in events:
        BookingFactory(event=event, tickets=2)
    for number in range(6):
        BookingFactory(event=events[number % 2], tickets=2)

    data = staff.get(f"{URL}?bookingStatus=waitlisted").json()["data"]

    told = {}
    for booking in reversed(data):
        told.setdefault(booking["eventId"], []).append(booking["waitlistPosition"])
    assert told == {event.pk: [1, 2, 3] for event in events}


def test_booking_list_finds_a_reference(staff):
    booking = BookingFactory()
    BookingFactory()

    assert ids(staff.get(f"{URL}?search={booking.reference.lower()}")) == [booking.pk]


def test_booking_list_counts_ones_own(owner, user):
    BookingFactory.create_batch(2, user=user)
    BookingFactory()

    response = owner.get(f"{URL}?pageSize=1")

    assert response.json()["pagination"]["count"] == 2
