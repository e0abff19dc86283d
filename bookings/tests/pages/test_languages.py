"""The holder's page is in the language of the booking, and a page about no booking in that of the browser."""

from datetime import UTC, datetime

import pytest

from bookings.models import Booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.pages.visiting import address, confirm, lines, look, said, text_of, visitor

pytestmark = pytest.mark.django_db
GERMAN = {"Accept-Language": "de-AT, en;q=0.5"}


@pytest.fixture
def booking():
    event = EventFactory(name="Gala", date=datetime(2030, 12, 1, 19, 30, tzinfo=UTC))
    booking = BookingFactory(event=event, user=None, tickets=3)
    Booking.objects.update(language="de")
    return booking


def test_page_is_in_the_language_of_the_booking(booking):
    html = text_of(visitor(booking).get(address(booking), headers={"Accept-Language": "en"}))

    for text in ('<html lang="de">', "Sie haben 3 Tickets.", "Sonntag, 1. Dezember 2030", "Tickets zurückgeben"):
        assert text in html
    assert "Your" not in html


def test_action_is_in_the_language_of_the_booking(booking):
    client = visitor(booking)
    shown = look(client, booking, "cancel", tickets="1")

    done = confirm(client, booking, "cancel", shown)

    assert lines(shown) == [
        "Sie geben 1 Ticket zurück und behalten 2.",
        "Ticket 3 gilt dann nicht mehr, auch nicht auf Papier; die anderen bleiben gültig.",
        "Das kann nicht rückgängig gemacht werden.",
    ]
    assert ">1 Ticket zurückgeben</button>" in text_of(shown)
    assert said(done) == ["Erledigt. Ihre Buchung umfasst jetzt 2 Tickets."]


def test_language_of_an_account_comes_first(user):
    booking = BookingFactory(event=EventFactory(), user=user)
    type(user).objects.filter(pk=user.pk).update(language="de")

    assert '<html lang="de">' in text_of(visitor(booking).get(address(booking)))


@pytest.mark.parametrize("path", ["/my/", "/my/sent", "/my/QQQQQ-QQQQQQ/"])
def test_page_about_no_booking_is_in_the_language_of_the_browser(client, path):
    german, english = client.get(path, headers=GERMAN), client.get(path)

    assert '<html lang="de">' in text_of(german)
    assert '<html lang="en">' in text_of(english)


@pytest.mark.usefixtures("mails_on")
def test_fault_of_an_address_is_said_in_the_language_of_the_browser(client):
    refused = client.post("/my/", {"email": ""}, headers=GERMAN)

    assert "Dieses Feld ist zwingend erforderlich." in text_of(refused)
    assert "E-Mail-Adresse" in text_of(refused)
