"""What the holder's page shows in each state of a booking, and its files."""

from datetime import UTC, datetime
from io import BytesIO

import pytest
import vobject

from bookings.documents.pdf import tickets_pdf
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.tickets import MAX_IN_FILE, read_ticketed, tickets_of
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.pages.visiting import address, text_of, visitor

pytestmark = pytest.mark.django_db


@pytest.fixture
def gala():
    date = datetime(2030, 12, 1, 19, 30, tzinfo=UTC)
    return EventFactory(name="Gala <b>", venue="Old Hall", date=date, sales_end=date, total_tickets=3)


@pytest.fixture
def held(gala):
    return BookingFactory(event=gala, user=None, tickets=3, email="ada@example.org")


@pytest.fixture
def waiting(held):
    BookingFactory(event=held.event, user=None)
    return BookingFactory(event=held.event, user=None, tickets=2)


def page_of(booking):
    response = visitor(booking).get(address(booking))
    assert response.status_code == 200
    return response


def codes(booking):
    return [ticket.code for ticket in tickets_of(read_ticketed(booking), most=1000)]


def test_held_booking_shows_event_holder_and_a_code_for_each_ticket(held):
    response = page_of(held)

    html = response.content.decode()
    for text in (
        *("Gala &lt;b&gt;", "Old Hall", "Sunday, 1 December 2030, 19:30 UTC", "Ada Lovelace", held.reference),
        *("ada@example.org", "You have 3 tickets.", "Ticket 3 of 3", "Give tickets back", *codes(held)),
    ):
        assert text in html
    assert html.count("<svg") == html.count('role="img" aria-label="QR code of ticket') == 3
    assert [name for name in ("tickets.pdf", "calendar.ics") if address(held, name) not in html] == []


def test_codes_on_the_page_are_read_by_a_scanner(held, tmp_path):
    """The picture of the page is decoded in the browser tests; here the modules are those of the ticket's code."""
    import segno

    html = text_of(page_of(held))

    for code in codes(held):
        whole = BytesIO()
        segno.make(code, error="q", micro=False).save(whole, kind="svg", border=4)
        drawn = whole.getvalue().decode().partition(' d="')[2].partition('"')[0]
        assert drawn
        assert drawn in html


def test_waiting_booking_shows_its_place_and_no_ticket(waiting):
    html = text_of(page_of(waiting))

    assert "You are on the waitlist, place 2." in html
    assert "You get a mail when 2 tickets are yours." in html
    assert "Leave the waitlist" in html
    assert "<svg" not in html


def test_promoted_booking_shows_its_tickets(waiting, held):
    client = visitor(waiting)

    cancel_tickets(held)

    assert "You have 2 tickets." in text_of(client.get(address(waiting)))


def test_cancelled_booking_says_so_and_offers_nothing(held):
    cancel_tickets(held)

    html = text_of(page_of(held))

    assert "Your booking is cancelled." in html
    assert "<svg" not in html
    assert [page for page in ("cancel", "address", "tickets.pdf") if address(held, page) in html] == []


def test_cancelled_event_says_so_also_before_its_bookings_are_cancelled(held, waiting, admin_user):
    cancel_event(held.event.pk, actor=admin_user, version=None)
    # A large event's bookings are cancelled part by part.
    type(held).objects.filter(pk=held.pk).update(status="completed")

    for booking in (held, waiting):
        html = text_of(page_of(booking))
        assert "The event is cancelled" in html
        assert "<svg" not in html
        assert address(booking, "cancel") not in html
    assert visitor(held).get(address(held, "tickets.pdf")).status_code == 409


def test_event_without_date_and_booking_without_address_are_shown():
    booking = BookingFactory(event=EventFactory(date=None), user=None, email="")

    html = text_of(page_of(booking))

    assert "UTC" not in html
    assert "nobody" in html
    assert "calendar.ics" not in html
    assert visitor(booking).get(address(booking, "calendar.ics")).status_code == 409


def test_many_tickets_are_shown_part_by_part():
    booking = BookingFactory(event=EventFactory(total_tickets=150), user=None, tickets=150)
    client = visitor(booking)

    first, last = (text_of(client.get(address(booking, query))) for query in ("", "?first=141"))

    assert (first.count("<svg"), last.count("<svg")) == (20, 10)
    assert "?first=21" in first
    assert ("?first=121" in last, "More tickets</a>" in last) == (True, False)
    assert f"{address(booking, 'tickets.pdf')}?first=101" in first
    for wrong in ("0", "151", "x", "-1", "9" * 30):
        response = client.get(address(booking, f"?first={wrong}"))
        assert response.status_code == 404
        assert "This booking has 150 tickets." in text_of(response)


def test_file_has_the_tickets_from_a_seat_on():
    booking = BookingFactory(event=EventFactory(total_tickets=150), user=None, tickets=102)
    client, ticketed = visitor(booking), read_ticketed(booking)

    first, second = (client.get(address(booking, f"tickets.pdf{query}")) for query in ("", "?first=101"))

    assert first.content == tickets_pdf(ticketed, tickets_of(ticketed, most=MAX_IN_FILE))
    assert second.content == tickets_pdf(ticketed, tickets_of(ticketed, first_seat=101, most=MAX_IN_FILE))
    assert second["Content-Type"] == "application/pdf"
    assert second["Content-Disposition"] == f'attachment; filename="tickets-{booking.reference}.pdf"'
    assert second["Cache-Control"] == "no-store"


def test_calendar_has_the_event(held):
    response = visitor(held).get(address(held, "calendar.ics"))

    assert response["Content-Type"] == "text/calendar; charset=utf-8"
    entry = vobject.readOne(response.content.decode()).vevent
    assert (entry.dtstart.value, entry.location.value) == (held.event.date, "Old Hall")


@pytest.mark.parametrize("page", ["tickets.pdf", "calendar.ics"])
def test_waiting_booking_has_no_files(waiting, page):
    response = visitor(waiting).get(address(waiting, page))

    assert response.status_code == 409
    assert "This booking holds no tickets" in text_of(response)


def test_page_takes_one_query_for_a_held_booking_and_two_for_one_that_waits(held, waiting, django_assert_num_queries):
    holds, waits = visitor(held), visitor(waiting)

    with django_assert_num_queries(1):
        holds.get(address(held))
    with django_assert_num_queries(2):
        waits.get(address(waiting))
