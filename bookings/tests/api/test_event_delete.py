import pytest

from bookings.models import Booking, LedgerEntry
from bookings.services import events as event_service
from bookings.services.events import cancel_event
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import counts, everything, ledger, statuses
from bookings.tests.wire import (
    CHALLENGE,
    NO_EVENT,
    NO_IDS,
    NOT_ADMIN,
    NOT_LOGGED_IN,
    booking_body,
    booking_json,
    failure,
)

pytestmark = pytest.mark.django_db


def test_delete_event_cancels_and_keeps_its_bookings(staff, admin_user):
    event = EventFactory(total_tickets=5)
    held = BookingFactory(event=event, tickets=4)
    guest = BookingFactory(event=event, tickets=1, user=None)
    waiting = BookingFactory(event=event, tickets=2)
    elsewhere = BookingFactory()

    response = staff.delete(f"/api/v1/event/{event.pk}")

    assert response.status_code == 200
    assert response.json() == {"message": "Event deleted successfully.", "error": False}
    assert statuses(held, guest, waiting, elsewhere) == ["cancelled", "cancelled", "cancelled", "completed"]
    assert list(event.bookings.order_by("pk").values_list("tickets_reserved", "waitlist_number")) == [
        (4, None),
        (1, None),
        (2, None),
    ]
    assert counts(event) == (5, 5, 0, 0)
    assert ledger(event, after=4) == [
        (5, "event_cancelled", 5, 0, 1, None, admin_user.pk),
        (6, "cancelled", 4, 4, 1, held.pk, admin_user.pk),
        (7, "cancelled", 1, 5, 1, guest.pk, admin_user.pk),
        (8, "cancelled", 2, 5, 0, waiting.pk, admin_user.pk),
    ]
    event.refresh_from_db()
    assert event.ledger_sequence == 8
    assert event.version == 2
    assert event.deleted_at == event.updated_at > held.updated_at
    held.refresh_from_db()
    assert held.updated_at == event.deleted_at
    entries = LedgerEntry.objects.filter(event=event, sequence__gt=4).order_by("pk")
    assert list(entries.values_list("sequence", "note", "place", "created_at")) == [
        (5, "", None, event.deleted_at),
        *((sequence, "the event was cancelled", None, event.deleted_at) for sequence in (6, 7, 8)),
    ]


def test_delete_event_leaves_earlier_cancellations_alone(staff):
    event = EventFactory()
    booking = BookingFactory(event=event)
    staff.delete(f"/api/v1/booking/{booking.pk}")
    booking.refresh_from_db()

    staff.delete(f"/api/v1/event/{event.pk}")

    assert Booking.objects.get(pk=booking.pk).updated_at == booking.updated_at
    assert [entry[:2] for entry in ledger(event)] == [
        (1, "opened"),
        (2, "booked"),
        (3, "cancelled"),
        (4, "event_cancelled"),
    ]


def test_delete_event_is_gone_for_every_reader(staff, anonymous):
    event = EventFactory()
    staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    listed = staff.get("/api/v1/event")
    read = staff.get(f"/api/v1/event/{event.pk}")
    status = anonymous.get(f"/api/v1/booking/status/{event.pk}")
    booked = anonymous.post("/api/v1/booking", booking_body(event))
    plain = staff.get(f"/api/events/{event.pk}")
    again = staff.delete(f"/api/v1/event/{event.pk}")

    assert listed.json()["data"] == []
    assert (read.status_code, read.json()) == (404, NO_EVENT)
    assert (status.status_code, status.json()) == (404, NO_EVENT)
    assert (booked.status_code, booked.json()) == (404, NO_EVENT)
    assert (plain.status_code, plain.json()) == (404, {"error": "There is no such event."})
    assert (again.status_code, again.json()) == (404, NO_EVENT)
    assert everything() == before


def test_delete_event_leaves_its_bookings_readable(staff, owner, user, anonymous):
    event = EventFactory(total_tickets=1)
    booking = BookingFactory(event=event, user=user)
    guest = BookingFactory(event=event, user=None)

    staff.delete(f"/api/v1/event/{event.pk}")

    booking.refresh_from_db()
    guest.refresh_from_db()
    assert (booking.status, guest.status) == ("cancelled", "cancelled")
    assert owner.get(f"/api/v1/booking/{booking.pk}").json()["data"] == booking_json(booking)
    assert owner.get("/api/v1/booking").json()["data"] == [booking_json(booking)]
    by_token = anonymous.get(f"/api/v1/booking/{guest.pk}", headers={"Booking-Token": guest.token})
    assert by_token.json()["data"] == booking_json(guest)


def test_delete_event_leaves_nothing_to_cancel(staff, owner, user):
    event = EventFactory()
    booking = BookingFactory(event=event, user=user)
    staff.delete(f"/api/v1/event/{event.pk}")
    before = everything()

    response = owner.delete(f"/api/v1/booking/{booking.pk}")

    assert response.status_code == 409
    assert response.json() == failure("This booking is already cancelled.", "already_cancelled")
    assert everything() == before


def test_delete_event_twice_at_once_deletes_it_once(staff, admin_user):
    # The slower of two requests calls the service like this, if both have found that the event exists.
    event = EventFactory()
    cancel_event(event.pk, actor=admin_user)
    before = everything()

    with pytest.raises(Exception, match="There is no such event"):
        cancel_event(event.pk, actor=admin_user)

    assert everything() == before


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ('{"bookingId": 5, "ticketsToCancel": 1}', "application/json", 400),
        ("[1]", "application/json", 400),
        ("{{{", "application/json", 400),
        ("a=1", "application/x-www-form-urlencoded", 400),
        ("not json", "text/plain", 415),
    ],
)
@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "k1"}])
def test_delete_event_with_a_body_is_refused(staff, body, content_type, status, key):
    event = EventFactory()
    before = everything()

    response = staff.delete(f"/api/v1/event/{event.pk}", body, content_type=content_type, headers=key)

    assert response.status_code == status
    assert everything() == before


def test_delete_event_names_the_field_that_it_does_not_have(staff):
    response = staff.delete(f"/api/v1/event/{EventFactory().pk}", {"ticketsToCancel": 1}, format="json")

    assert response.json()["errors"] == {"ticketsToCancel": ["This request has no fields."]}


@pytest.mark.parametrize("tag", ['"1.1"', "*"])
def test_delete_event_if_match_fits(staff, tag):
    event = EventFactory()

    response = staff.delete(f"/api/v1/event/{event.pk}", headers={"If-Match": tag})

    assert response.status_code == 200


@pytest.mark.parametrize(("tag", "status", "code"), [('"2.1"', 412, "stale_version"), ("garbage", 400, "invalid")])
def test_delete_event_if_match_does_not_fit_is_refused(staff, tag, status, code):
    event = EventFactory()
    BookingFactory(event=event)
    before = everything()

    response = staff.delete(f"/api/v1/event/{event.pk}", headers={"If-Match": tag})

    assert (response.status_code, response.json()["code"]) == (status, code)
    assert everything() == before


@pytest.mark.parametrize("persona", ["owner", "stranger"])
def test_delete_event_as_user_is_refused(request, persona):
    client = request.getfixturevalue(persona)
    event = EventFactory()
    before = everything()

    response = client.delete(f"/api/v1/event/{event.pk}")

    assert response.status_code == 403
    assert response.json() == NOT_ADMIN
    assert everything() == before


def test_delete_event_as_anonymous_is_refused(anonymous):
    event = EventFactory()
    before = everything()

    response = anonymous.delete(f"/api/v1/event/{event.pk}")

    assert response.status_code == 401
    assert response.json() == NOT_LOGGED_IN
    assert response["WWW-Authenticate"] == CHALLENGE
    assert everything() == before


@pytest.mark.parametrize("identity", NO_IDS)
def test_delete_event_of_no_such_id(staff, identity):
    EventFactory()
    before = everything()

    response = staff.delete(f"/api/v1/event/{identity}")

    assert response.status_code == 404
    assert response.json() == NO_EVENT
    assert everything() == before


@pytest.mark.parametrize("bookings", [0, 1, 2, 4, 5])
def test_delete_event_cancels_its_bookings_in_parts(staff, admin_user, monkeypatch, bookings):
    monkeypatch.setattr(event_service, "BOOKINGS_A_PART", 2)
    event = EventFactory(total_tickets=3)
    made, others = [], []
    for _ in range(bookings):
        made.append(BookingFactory(event=event))
        others.append(BookingFactory())

    response = staff.delete(f"/api/v1/event/{event.pk}")

    assert response.status_code == 200
    held, waiting = min(bookings, 3), max(bookings - 3, 0)
    assert ledger(event, after=1 + bookings) == [
        (2 + bookings, "event_cancelled", held, 3 - held, waiting, None, admin_user.pk),
        *(
            (
                2 + bookings + number,
                "cancelled",
                1,
                min(3 - held + number, 3),
                min(waiting, bookings - number),
                booking.pk,
                admin_user.pk,
            )
            for number, booking in enumerate(made, 1)
        ),
    ]
    assert set(statuses(*made)) <= {"cancelled"}
    assert set(statuses(*others)) <= {"completed"}
    assert [finding for report in verify_events() for finding in report.findings] == []
