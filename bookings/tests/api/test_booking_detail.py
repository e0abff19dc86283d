import pytest

from bookings.services import references
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything
from bookings.tests.wire import NO_BOOKING, NO_IDS, booking_json, failure

pytestmark = pytest.mark.django_db


def url(booking):
    return f"/api/v1/booking/{booking.pk}"


def shown(booking, **changes):
    return {"message": "Booking retrieved successfully.", "data": booking_json(booking, **changes), "error": False}


@pytest.mark.parametrize("persona", ["owner", "staff"])
def test_booking_detail_as_who_may(request, user, persona):
    booking = BookingFactory(user=user, tickets=3)

    response = request.getfixturevalue(persona).get(url(booking))

    assert response.status_code == 200
    assert response.json() == shown(booking)


def test_booking_detail_of_waiting_has_its_position(owner, user):
    event = EventFactory(total_tickets=1)
    BookingFactory.create_batch(2, event=event)
    booking = BookingFactory(event=event, user=user)

    response = owner.get(url(booking))

    assert response.json() == shown(booking, position=2)
    assert response.json()["data"]["bookingStatus"] == "waitlisted"


def test_booking_detail_as_guest_by_header(anonymous):
    booking = BookingFactory(user=None)

    response = anonymous.get(url(booking), headers={"Booking-Token": booking.token})

    assert response.status_code == 200
    assert response.json() == shown(booking)


def test_booking_detail_as_guest_by_query_string(anonymous):
    booking = BookingFactory(user=None)

    response = anonymous.get(f"{url(booking)}?token={booking.token}")

    assert response.status_code == 200
    assert response.json() == shown(booking)


def test_booking_detail_as_user_with_a_guests_token(stranger):
    booking = BookingFactory(user=None)

    response = stranger.get(url(booking), headers={"Booking-Token": booking.token})

    assert response.json() == shown(booking)


def test_booking_detail_as_staff_of_a_guest(staff):
    booking = BookingFactory(user=None)

    response = staff.get(url(booking))

    assert response.json() == shown(booking)


@pytest.mark.parametrize("persona", ["stranger", "anonymous"])
@pytest.mark.parametrize("holder", ["user", "guest"])
def test_booking_detail_as_who_may_not_is_as_if_it_did_not_exist(request, user, persona, holder):
    client = request.getfixturevalue(persona)
    booking = BookingFactory(user=user if holder == "user" else None)

    response = client.get(url(booking))
    missing = client.get("/api/v1/booking/999999")

    assert response.status_code == missing.status_code == 404
    assert response.json() == missing.json() == NO_BOOKING
    assert response.headers.keys() == missing.headers.keys()


@pytest.mark.parametrize("token", ["", "wrong", "None", "another's", "hash", "upper", "padded", "ÿ"])
def test_booking_detail_as_guest_with_wrong_token_is_refused(anonymous, token):
    booking = BookingFactory(user=None)
    given = {
        "another's": BookingFactory(user=None).token,
        "hash": booking.token_hash,
        "upper": booking.token.swapcase(),
        "padded": booking.token + "=",
    }.get(token, token)

    by_header = anonymous.get(url(booking), headers={"Booking-Token": given})
    by_query = anonymous.get(url(booking), {"token": given})

    for response in (by_header, by_query):
        assert response.status_code == 404
        assert response.json() == NO_BOOKING


def test_booking_detail_with_bad_bearer_token_is_refused_whatever_the_booking_token(anonymous):
    booking = BookingFactory(user=None)

    response = anonymous.get(url(booking), headers={"Authorization": "Bearer expired", "Booking-Token": booking.token})

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"


@pytest.mark.parametrize("identity", [*NO_IDS, "status"])
def test_booking_detail_of_no_such_id(staff, identity):
    BookingFactory()

    response = staff.get(f"/api/v1/booking/{identity}")

    assert response.status_code == 404
    assert response.json() == NO_BOOKING


@pytest.mark.parametrize("method", ["put", "patch", "post"])
def test_booking_detail_by_other_methods_is_refused(staff, method):
    booking = BookingFactory()
    before = everything()

    response = getattr(staff, method)(url(booking), {"bookingStatus": "completed", "ticketsReserved": 9})

    assert response.status_code == 405
    assert response.json() == failure(f'Method "{method.upper()}" not allowed.', "method_not_allowed")
    assert response["Allow"] == "GET, DELETE, HEAD, OPTIONS"
    assert everything() == before


def test_booking_token_is_compared_in_constant_time(anonymous, monkeypatch):
    booking = BookingFactory(user=None)
    compared = []
    compare = references.compare_digest
    monkeypatch.setattr(references, "compare_digest", lambda *both: compared.append(both) or compare(*both))

    anonymous.get(url(booking), headers={"Booking-Token": "wrong"})
    anonymous.get(url(booking), headers={"Booking-Token": booking.token})

    # Both texts are hashed, so their length tells nothing either.
    assert [(stored, len(given)) for stored, given in compared] == [(booking.token_hash, 64)] * 2
