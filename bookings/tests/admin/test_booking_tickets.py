"""The tickets of a booking on the staff's site: printed, and voided."""

import re

import pytest
from django.contrib.admin.models import LogEntry

from bookings.documents import pdf
from bookings.models import TicketEpoch
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.tickets import read_ticket, read_ticketed, tickets_of
from bookings.services.verification import verify_events
from bookings.services.voiding import void_tickets
from bookings.tests.admin.confirming import as_persona, confirm, look, url_of
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import everything, ledger

pytestmark = pytest.mark.django_db


@pytest.fixture
def booking(db):
    event = EventFactory(name="Gala", total_tickets=500)
    return BookingFactory(event=event, tickets=2, user=None)


def file_of(booking):
    return f"{url_of(booking)}tickets.pdf"


def files_on(page) -> list[tuple[str, str]]:
    return re.findall(r'href="([^"]*tickets\.pdf[^"]*)">([^<]*)<', page.content.decode())


def codes(booking):
    return [ticket.code for ticket in tickets_of(read_ticketed(booking), most=100)]


@pytest.mark.parametrize("persona", ["superuser", "manager", "box office"])
def test_tickets_are_printed(client, booking, persona):
    as_persona(client, persona)
    [(address, title)] = files_on(client.get(url_of(booking)))

    response = client.get(address)

    assert (address, title) == (file_of(booking), "Tickets (PDF)")
    assert (response.status_code, response["Content-Type"]) == (200, "application/pdf")
    assert response["Content-Disposition"] == f'attachment; filename="tickets-{booking.reference}.pdf"'
    assert "no-store" in response["Cache-Control"]
    assert response.content.startswith(b"%PDF-")


def test_tickets_of_a_large_booking_are_several_files(superuser_client, booking):
    large = BookingFactory(event=booking.event, tickets=230)

    files = files_on(superuser_client.get(url_of(large)))

    assert files == [
        (f"{file_of(large)}?first=1", "Tickets 1 to 100 (PDF)"),
        (f"{file_of(large)}?first=101", "Tickets 101 to 200 (PDF)"),
        (f"{file_of(large)}?first=201", "Tickets 201 to 230 (PDF)"),
    ]
    assert superuser_client.get(files[2][0]).content.count(b"/Type /Page\n") == 30


@pytest.mark.parametrize("state", ["waiting", "cancelled", "event cancelled"])
def test_booking_without_tickets_has_none_to_print(superuser_client, booking, admin_user, state):
    other = BookingFactory(event=booking.event, tickets=499 if state == "waiting" else 1)
    if state == "cancelled":
        cancel_tickets(other, actor=None)
    if state == "event cancelled":
        cancel_event(booking.event_id, actor=admin_user)

    assert files_on(superuser_client.get(url_of(other))) == []
    response = superuser_client.get(file_of(other), follow=True)
    assert response.redirect_chain == [(url_of(other), 302)]
    assert "This booking holds no tickets" in response.content.decode()


@pytest.mark.parametrize("first", ["3", "99999999999999999999", "x", "0", ""])
def test_strange_first_ticket_breaks_nothing(superuser_client, booking, first):
    response = superuser_client.get(file_of(booking), {"first": first})

    assert response.status_code == (302 if first == "3" else 200)


def test_tickets_wait_for_their_turn_and_say_so(superuser_client, booking, monkeypatch):
    monkeypatch.setattr(pdf, "WAIT_SECONDS", 0.01)
    with pdf.rendering:
        response = superuser_client.get(file_of(booking))

    assert response.status_code == 503
    assert response["Retry-After"] == "30"


@pytest.mark.parametrize("persona", ["superuser", "manager"])
def test_tickets_are_voided_with_a_preview(client, booking, persona):
    as_persona(client, persona)
    before, untouched = codes(booking), everything()

    preview = look(client, booking, "void", reason="stolen")

    assert preview.context["lines"] == [
        "The codes of Ada Lovelace's 2 tickets that are out no longer work, on paper and on screens.",
        "The booking keeps its tickets. They have new codes: send them, or print them here.",
        "Links in mails that were sent about it no longer open it; a new mail has a new one.",
    ]
    assert everything() == untouched
    page = confirm(client, booking, "void", preview)
    assert f"The old codes of {booking.reference} no longer work; its tickets have new ones." in page.content.decode()
    assert [read_ticket(code).state for code in [*before, *codes(booking)]] == ["voided", "voided", "valid", "valid"]
    [(_, kind, tickets, *_)] = ledger(booking.event, after=2)
    assert (kind, tickets) == ("transferred", 2)
    assert "gave Ada Lovelace new codes for 2 tickets: old codes voided:\nstolen" in page.content.decode()
    assert LogEntry.objects.get().change_message == "Voided the codes of its tickets."
    assert [finding for report in verify_events() for finding in report.findings] == []


def test_tickets_are_voided_once_by_one_page(superuser_client, booking, admin_user):
    preview = look(superuser_client, booking, "void", reason="stolen")
    void_tickets(booking, actor=admin_user, reason="somebody else was faster")

    again = confirm(superuser_client, booking, "void", preview)

    assert "This changed since you looked." in again.content.decode()
    assert TicketEpoch.objects.get().epoch == 1


def test_box_office_may_not_void(client, booking):
    as_persona(client, "box office")
    before = everything()

    assert client.post(url_of(booking, "void"), {"reason": "x", "confirm": "1"}).status_code == 403
    assert "void/" not in client.get(url_of(booking)).content.decode()
    assert everything() == before


def search(client, text):
    return client.get("/admin/bookings/booking/", {"q": text}, follow=True)


def messages_of(response):
    return [(message.level_tag, message.message) for message in response.context["messages"]]


@pytest.mark.parametrize("persona", ["superuser", "manager", "box office"])
def test_code_of_a_ticket_leads_to_its_booking_and_says_what_it_is_worth(client, booking, admin_user, persona):
    as_persona(client, persona)
    first, second = codes(booking)

    valid = search(client, f" {second.lower()} ")
    cancel_tickets(booking, tickets=1, actor=admin_user)
    given_back = search(client, second)
    void_tickets(booking, reason="lost", actor=admin_user)
    voided = search(client, first)

    assert valid.redirect_chain == given_back.redirect_chain == voided.redirect_chain == [(url_of(booking), 302)]
    assert messages_of(valid) == [("success", "Ticket 2: This ticket is valid.")]
    assert messages_of(given_back) == [("warning", "Ticket 2: This ticket was given back.")]
    assert messages_of(voided) == [("warning", "Ticket 1: This ticket was voided; the booking has newer ones.")]


def test_code_that_nobody_has_signed_finds_nothing(superuser_client, booking):
    code = codes(booking)[0]

    found = search(superuser_client, code[:-1] + ("7" if code[-1] != "7" else "9"))

    assert found.redirect_chain == []
    assert list(found.context["cl"].result_list) == []


def test_code_of_a_ticket_shows_nothing_to_who_may_see_no_bookings(client, booking):
    as_persona(client, "plain staff")

    response = search(client, codes(booking)[0])

    assert response.status_code == 403
    assert booking.reference not in response.content.decode()
