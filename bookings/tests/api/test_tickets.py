"""GET /api/v1/booking/{id}/tickets, /tickets.pdf and /calendar.ics"""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import vobject

from bookings.services import tickets as service
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.tickets import MAX_IN_FILE, read_ticket, read_ticketed, tickets_of
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything
from bookings.tests.wire import failure, invalid

pytestmark = pytest.mark.django_db
DATE = datetime(2080, 12, 31, 20, tzinfo=UTC)
ROUTES = ["tickets", "tickets.pdf", "calendar.ics"]
NO_BOOKING = failure("There is no such booking.", "booking_not_found")
NO_TICKETS = failure("This booking holds no tickets: it is waiting or cancelled.", "no_tickets")
every_route = pytest.mark.parametrize("route", ROUTES)


@pytest.fixture
def event():
    return EventFactory(total_tickets=1000, date=DATE)


def url(booking, route):
    return f"/api/v1/booking/{booking.pk}/{route}"


def listed(booking, *, first_seat=1, previous=None, following=None):
    tickets = tickets_of(read_ticketed(booking), first_seat=first_seat, most=100)
    return {
        "message": "Tickets retrieved successfully.",
        "data": [{"seat": ticket.seat, "code": ticket.code} for ticket in tickets],
        "pagination": {"count": booking.tickets_reserved, "next": following, "previous": previous},
        "error": False,
    }


def assert_answered(response, booking, route):
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    if route == "tickets":
        assert response.json() == listed(booking)
        return
    name, content_type = {
        "tickets.pdf": (f"tickets-{booking.reference}.pdf", "application/pdf"),
        "calendar.ics": (f"event-{booking.reference}.ics", "text/calendar; charset=utf-8"),
    }[route]
    assert response["Content-Type"] == content_type
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert response.content.startswith(b"%PDF-" if route == "tickets.pdf" else b"BEGIN:VCALENDAR\r\n")


@every_route
def test_tickets_as_owner(owner, user, event, route):
    booking = BookingFactory(event=event, user=user, tickets=3)

    assert_answered(owner.get(url(booking, route)), booking, route)


@every_route
def test_tickets_as_staff(staff, event, route):
    booking = BookingFactory(event=event, user=None, tickets=3)

    assert_answered(staff.get(url(booking, route)), booking, route)


@every_route
@pytest.mark.parametrize("persona", ["anonymous", "stranger"])
def test_tickets_as_guest_with_the_token(request, event, persona, route):
    client = request.getfixturevalue(persona)
    booking = BookingFactory(event=event, user=None, tickets=3)

    assert_answered(client.get(url(booking, route), headers={"Booking-Token": booking.token}), booking, route)
    assert_answered(client.get(url(booking, route), {"token": booking.token}), booking, route)


@every_route
@pytest.mark.parametrize("persona", ["stranger", "anonymous"])
@pytest.mark.parametrize("token", ["", "wrong", "another's"])
def test_tickets_as_who_may_not_are_as_if_there_were_no_booking(request, event, persona, token, route):
    client = request.getfixturevalue(persona)
    booking = BookingFactory(event=event, user=None)
    given = BookingFactory(event=event, user=None).token if token == "another's" else token
    before = everything()

    response = client.get(url(booking, route), headers={"Booking-Token": given})
    missing = client.get(f"/api/v1/booking/999999/{route}")

    assert response.status_code == missing.status_code == 404
    assert response.json() == missing.json() == NO_BOOKING
    assert response.headers.keys() == missing.headers.keys()
    assert everything() == before


@every_route
def test_tickets_with_a_bad_bearer_token_are_refused(anonymous, event, route):
    booking = BookingFactory(event=event, user=None)

    response = anonymous.get(url(booking, route), headers={"Authorization": "Bearer x", "Booking-Token": booking.token})

    assert response.status_code == 401
    assert response.json()["code"] == "token_not_valid"


@every_route
@pytest.mark.parametrize("state", ["waitlisted", "cancelled", "event cancelled"])
def test_tickets_of_who_holds_none(staff, admin_user, route, state):
    event = EventFactory(total_tickets=2, date=DATE)
    if state == "waitlisted":
        BookingFactory(event=event)
    booking = BookingFactory(event=event, tickets=2)
    if state == "cancelled":
        cancel_tickets(booking, actor=None)
    if state == "event cancelled":
        cancel_event(event.pk, actor=admin_user)

    response = staff.get(url(booking, route))

    assert response.status_code == 409
    assert response.json() == NO_TICKETS


def test_calendar_without_a_date(staff):
    booking = BookingFactory(event=EventFactory(date=None))

    response = staff.get(url(booking, "calendar.ics"))

    assert response.status_code == 409
    assert response.json() == failure("This event has no date, so there is nothing to put into a calendar.", "no_date")
    assert staff.get(url(booking, "tickets.pdf")).status_code == 200


def test_calendar_is_read_by_another_library(staff, event):
    booking = BookingFactory(event=event)

    response = staff.get(url(booking, "calendar.ics"))

    assert vobject.readOne(response.content.decode()).vevent.dtstart.value == DATE


def test_tickets_of_a_large_booking_come_in_parts(staff, event):
    booking = BookingFactory(event=event, tickets=250)
    address = f"http://testserver{url(booking, 'tickets')}"

    first = staff.get(url(booking, "tickets")).json()
    second = staff.get(first["pagination"]["next"]).json()
    third = staff.get(second["pagination"]["next"]).json()

    assert first == listed(booking, following=f"{address}?firstSeat=101")
    assert second == listed(
        booking, first_seat=101, previous=f"{address}?firstSeat=1", following=f"{address}?firstSeat=201"
    )
    assert third == listed(booking, first_seat=201, previous=f"{address}?firstSeat=101")


def test_file_of_a_large_booking_must_be_asked_for_in_parts(staff, event):
    booking = BookingFactory(event=event, tickets=MAX_IN_FILE + 1)

    response = staff.get(url(booking, "tickets.pdf"))

    assert response.status_code == 409
    assert response.json() == failure(
        "This booking has 101 tickets, and a file has at most 100: ask for several files, with firstSeat=1, "
        "firstSeat=101 and so on.",
        "too_many_for_one_file",
    )
    assert staff.get(url(booking, "tickets.pdf"), {"firstSeat": 101}).status_code == 200


@pytest.mark.parametrize("route", ["tickets", "tickets.pdf"])
def test_seat_that_there_is_not(staff, event, route):
    booking = BookingFactory(event=event, tickets=2)

    response = staff.get(url(booking, route), {"firstSeat": 3})

    assert response.status_code == 404
    assert response.json() == failure("This booking has 2 tickets.", "no_such_seat")


@pytest.mark.parametrize("route", ["tickets", "tickets.pdf"])
@pytest.mark.parametrize("seat", ["0", "-1", "", "x", "1.5", "9" * 30])
def test_seat_that_is_no_number_is_refused(staff, event, route, seat):
    booking = BookingFactory(event=event, tickets=2)

    response = staff.get(url(booking, route), {"firstSeat": seat})

    assert response.status_code == 400
    assert response.json() == invalid("firstSeat", "Send a whole number from 1 to 1000000.")


@pytest.mark.parametrize("route", ["tickets", "tickets.pdf"])
def test_seat_that_is_asked_for_twice_is_refused(staff, event, route):
    booking = BookingFactory(event=event, tickets=2)

    response = staff.get(f"{url(booking, route)}?firstSeat=1&firstSeat=2")

    assert response.status_code == 400
    assert response.json() == invalid("firstSeat", "It stands in the query string more than once.")


@pytest.mark.parametrize(
    ("route", "accept", "status"),
    [
        ("tickets.pdf", "application/pdf", 200),
        ("tickets.pdf", "text/html,*/*;q=0.8", 200),
        ("tickets.pdf", "application/json", 406),
        ("calendar.ics", "text/calendar", 200),
        ("calendar.ics", "image/png", 406),
    ],
)
def test_file_and_the_accept_header(staff, event, route, accept, status):
    booking = BookingFactory(event=event)

    response = staff.get(url(booking, route), headers={"Accept": accept})

    assert response.status_code == status
    if status == 406:
        assert response.json()["code"] == "not_acceptable"


@every_route
@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_tickets_by_other_methods_are_refused(staff, event, route, method):
    booking = BookingFactory(event=event)
    before = everything()

    response = getattr(staff, method)(url(booking, route))

    assert response.status_code == 405
    assert response.json() == failure(f'Method "{method.upper()}" not allowed.', "method_not_allowed")
    assert everything() == before


@every_route
def test_former_holder_gets_no_new_codes(owner, user, admin_user, event, route, monkeypatch):
    booking = BookingFactory(event=event, user=user)
    read, moved = service.with_epochs, []

    def moved_meanwhile():
        # The booking goes to another person after its former holder was allowed to see it.
        if not moved:
            moved.append(transfer_booking(booking, holder=Holder("Grace", "", "g@example.org"), actor=admin_user))
        return read()

    monkeypatch.setattr("bookings.services.tickets.with_epochs", moved_meanwhile)
    response = owner.get(url(booking, route))

    assert response.status_code == 404
    assert response.json() == NO_BOOKING


def test_tickets_in_the_browsable_api(staff, event):
    booking = BookingFactory(event=event, tickets=2)

    response = staff.get(url(booking, "tickets"), headers={"Accept": "text/html"})

    assert response.status_code == 200
    assert tickets_of(read_ticketed(booking), most=1)[0].code in response.content.decode()


def test_codes_are_those_that_a_door_reads(owner, user, event):
    booking = BookingFactory(event=event, user=user, tickets=2)

    data = owner.get(url(booking, "tickets")).json()["data"]

    readings = [read_ticket(ticket["code"]) for ticket in data]
    assert [(reading.state, reading.booking.pk, reading.seat) for reading in readings] == [
        ("valid", booking.pk, 1),
        ("valid", booking.pk, 2),
    ]


@pytest.mark.parametrize("tickets", [1, 3])
@every_route
def test_tickets_cost_the_same_for_any_number(staff, event, tickets, route, django_assert_num_queries):
    booking = BookingFactory(event=event, tickets=tickets)

    # The login, the booking, and the booking with its event and epoch.
    with django_assert_num_queries(3):
        staff.get(url(booking, route))


@pytest.mark.embedded
def test_server_loads_no_library_for_files_before_the_first_one_and_none_for_deliveries():
    code = (
        "import sys, django; django.setup(); import ticks.urls;"
        "print({'reportlab', 'icalendar', 'segno', 'PIL', 'aiohttp'} & {*sys.modules})"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "ticks.settings"}

    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "set()"
