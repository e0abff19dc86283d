"""The holder's page is in the language of the booking, and a page about no booking in that of the browser."""

from datetime import UTC, datetime

import pytest

from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
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


@pytest.mark.usefixtures("mails_on")
@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("ada", "Bitte geben Sie eine gültige E-Mail-Adresse ein."),
        ('"ada"@example.org', "Schreiben Sie die Adresse ohne Anführungszeichen."),
    ],
)
def test_faults_of_our_own_are_said_in_the_language_of_the_browser(client, typed, fault):
    assert fault in text_of(client.post("/my/", {"email": typed}, headers=GERMAN))


@pytest.mark.parametrize(
    ("page", "typed", "refusal"),
    [
        ("cancel", {"tickets": "4"}, "Diese Buchung hat nur 3 Tickets; mehr können Sie nicht zurückgeben."),
        ("cancel", {"tickets": "1.000"}, "Schreiben Sie 1000, ohne Trennzeichen."),
        ("cancel", {"tickets": "0"}, "Dieser Wert muss größer oder gleich 1 sein."),
        ("address", {"email": "ada@example.org"}, "Das ist schon die Adresse Ihrer Buchung."),
    ],
)
def test_refusal_is_in_the_language_of_the_booking(booking, page, typed, refusal):
    Booking.objects.update(email="ada@example.org")
    booking.refresh_from_db()

    assert refusal in text_of(look(visitor(booking), booking, page, **typed))


def test_page_that_says_why_nothing_was_done_is_in_the_language_of_the_booking(booking):
    client = visitor(booking)
    type(booking.event).objects.update(date=None)

    page = client.get(address(booking, "calendar.ics"))

    assert page.status_code == 409
    assert '<html lang="de">' in text_of(page)
    assert "Diese Veranstaltung hat kein Datum" in text_of(page)


def test_booking_that_changed_meanwhile_is_said_in_its_language(booking):
    client = visitor(booking)
    shown = look(client, booking, "cancel", tickets="1")
    cancel_tickets(booking, tickets=1)

    assert said(confirm(client, booking, "cancel", shown)) == [
        "Inzwischen hat sich etwas geändert. Unten steht, was jetzt geschehen würde; bestätigen Sie noch einmal, wenn "
        "es so passt."
    ]
