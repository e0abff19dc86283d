import pytest

from bookings.models import Booking, LedgerEntry
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db


def body(event, **changes):
    return {
        "eventId": event.pk,
        "firstName": "Divine",
        "lastName": "Alphonsus",
        "email": "divinealph@example.com",
        "ticketsReserved": 2,
        **changes,
    }


def test_book_as_user_holds_tickets(owner, user):
    event = EventFactory(total_tickets=10)

    response = owner.post("/api/v1/booking", body(event))

    assert response.status_code == 201
    booking = Booking.objects.get()
    assert response.json() == {
        "message": "Booking created successfully.",
        "data": {
            "id": booking.pk,
            "reference": booking.reference,
            "eventId": event.pk,
            "userId": user.pk,
            "firstName": "Divine",
            "lastName": "Alphonsus",
            "email": "divinealph@example.com",
            "ticketsReserved": 2,
            "bookingStatus": "completed",
            "waitlistPosition": None,
            "createdAt": response.json()["data"]["createdAt"],
            "updatedAt": response.json()["data"]["createdAt"],
        },
        "error": False,
    }
    event.refresh_from_db()
    assert event.available_tickets == 8
    entry = LedgerEntry.objects.get(kind="booked")
    assert (entry.sequence, entry.booking, entry.tickets, entry.available_after) == (2, booking, 2, 8)
    assert entry.actor == user


def test_book_beyond_available_is_waitlisted_whole(anonymous):
    event = EventFactory(total_tickets=3)
    BookingFactory(event=event, tickets=2)

    response = anonymous.post("/api/v1/booking", body(event))

    assert response.status_code == 201
    data = response.json()["data"]
    assert data["bookingStatus"] == "waitlisted"
    assert data["waitlistPosition"] == 1
    assert len(data["bookingToken"]) == 43


def test_cancel_serves_groups_in_order(staff, anonymous):
    event = EventFactory(total_tickets=5)
    first = BookingFactory(event=event, tickets=5)
    group = BookingFactory(event=event, tickets=3)
    pair = BookingFactory(event=event, tickets=2)

    response = staff.delete(f"/api/v1/booking/{first.pk}", {"ticketsToCancel": 3})

    assert response.status_code == 200
    assert response.json() == {"message": "Booking cancelled successfully.", "error": False}
    group.refresh_from_db()
    pair.refresh_from_db()
    assert (group.status, pair.status) == ("completed", "waitlisted")
    assert pair.waitlist_position == 1
    event.refresh_from_db()
    assert (event.available_tickets, event.waitlisted_count) == (0, 1)


def test_book_with_known_key_replays_byte_for_byte(anonymous):
    event = EventFactory(total_tickets=3)

    first = anonymous.post("/api/v1/booking", body(event), headers={"Idempotency-Key": "k1"})
    again = anonymous.post("/api/v1/booking", body(event), headers={"Idempotency-Key": '"k1"'})
    other = anonymous.post("/api/v1/booking", body(event, firstName="X"), headers={"Idempotency-Key": "k1"})

    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first
    assert other.status_code == 422
    assert Booking.objects.count() == 1
