"""Correcting the mail address on the holder's page."""

import pytest
from django.test import Client

from bookings.models import Booking, LedgerEntry
from bookings.outbox import FormerHolder, Mail
from bookings.pages import actions
from bookings.pages.views import ADDRESSES_AN_HOUR
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.tickets import read_ticketed, tickets_of
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all
from bookings.tests.pages.visiting import address, confirm, fields_of, lines, link_of, look, said, text_of, visitor
from bookings.tests.state import digest_of_all_tables

pytestmark = pytest.mark.django_db
NEW = "ada.king@example.org"
LIMITED = "This address cannot be used: the event limits what a person may have."


@pytest.fixture
def booking():
    return BookingFactory(event=EventFactory(), user=None, tickets=2, email="ada@example.org")


def email_of(booking):
    return Booking.objects.get(pk=booking.pk).email


def codes(booking):
    return [ticket.code for ticket in tickets_of(read_ticketed(Booking.objects.get(pk=booking.pk)), most=9)]


def test_address_is_corrected_after_a_preview(booking):
    client, before = visitor(booking), codes(booking)
    shown = look(client, booking, "address", email=" Ada.King@Example.org ")

    done = confirm(client, booking, "address", shown)

    assert lines(shown) == [
        f"Mails about this booking go to {NEW} from now on. The first one has a new link to this page.",
        "Links in mails to ada@example.org no longer open it.",
        "Your tickets stay valid.",
    ]
    assert said(done) == [f"Mails about this booking go to {NEW} now."]
    assert (done.status_code, email_of(booking), codes(booking)) == (200, NEW, before)
    entry = LedgerEntry.objects.get(kind="transferred")
    assert (entry.actor, entry.note) == (None, "another mail address: on the holder's page")
    assert not FormerHolder.objects.exists()
    assert [finding for report in verify_events() for finding in report.findings] == []


def test_old_link_and_other_browsers_end_and_this_browser_goes_on(booking):
    client, other, old = visitor(booking), visitor(booking), link_of(booking)

    confirm(client, booking, "address", look(client, booking, "address", email=NEW))

    assert client.get(address(booking)).status_code == 200
    assert other.get(address(booking)).status_code == 404
    assert other.get(old, follow=True).status_code == 404
    assert visitor(booking).get(address(booking)).status_code == 200


def test_account_keeps_its_booking():
    booking = BookingFactory(event=EventFactory(), email="ada@example.org")
    client = visitor(booking)

    confirm(client, booking, "address", look(client, booking, "address", email=NEW))

    assert Booking.objects.values_list("email", "user").get() == (NEW, booking.user.pk)


def test_guests_token_still_opens_the_booking(booking, anonymous):
    client = visitor(booking)

    confirm(client, booking, "address", look(client, booking, "address", email=NEW))

    answer = anonymous.get(f"/api/v1/booking/{booking.pk}", headers={"Booking-Token": booking.token})
    assert (answer.status_code, answer.data["data"]["email"]) == (200, NEW)


@pytest.mark.usefixtures("mails_on")
def test_mail_that_waits_goes_to_the_right_address(booking):
    read_all()
    client = visitor(booking)

    confirm(client, booking, "address", look(client, booking, "address", email=NEW))
    read_all()

    assert list(Mail.objects.values_list("email", flat=True)) == [NEW]


def test_double_click_corrects_once_and_stays_open(booking):
    client = visitor(booking)
    shown = look(client, booking, "address", email=NEW)
    kept = client.cookies.copy()

    first = confirm(client, booking, "address", shown)
    # The browser has sent the second click before it had the first one's answer.
    client.cookies = kept
    second = confirm(client, booking, "address", shown)

    assert said(first) == said(second) == [f"Mails about this booking go to {NEW} now."]
    assert second.status_code == 200
    assert LedgerEntry.objects.filter(kind="transferred").count() == 1
    assert client.get(address(booking)).status_code == 200


@pytest.mark.parametrize("what", ["another key", "another address", "no confirmation", "void", "corrected again"])
def test_second_click_opens_nothing_that_the_first_one_has_not_done(booking, admin_user, what):
    client = visitor(booking)
    shown = look(client, booking, "address", email=NEW)
    kept, sent = client.cookies.copy(), dict(shown.context["form"].data.items()) | {"confirm": "yes"}
    confirm(client, booking, "address", shown)
    if what == "another key":
        sent["key"] = "f" * 32
    elif what == "another address":
        sent["email"] = "eve@example.org"
    elif what == "no confirmation":
        del sent["confirm"]
    elif what == "void":
        transfer_booking(booking, holder=Holder("Grace", "Hopper", NEW), actor=admin_user)
    else:
        holder = Holder("Ada", "Lovelace", "right@example.org", is_same=True)
        transfer_booking(booking, holder=holder, actor=admin_user)
    before = digest_of_all_tables()
    client.cookies = kept

    response = client.post(address(booking, "address"), sent)

    assert response.status_code == 404
    assert client.get(address(booking)).status_code == 404
    assert digest_of_all_tables() == before


def test_stranger_with_the_key_of_a_form_and_no_link_gets_nothing(booking):
    client = visitor(booking)
    shown = look(client, booking, "address", email=NEW)

    response = Client().post(address(booking, "address"), dict(shown.context["form"].data.items()) | {"confirm": "yes"})

    assert (response.status_code, email_of(booking)) == (404, "ada@example.org")


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("nonsense", "Enter a valid email address."),
        ("", "This field is required."),
        ("ADA@example.org", "This is the address of your booking already."),
        ("a@b.example\nBcc: eve@example.org", "Enter a valid email address."),
    ],
)
def test_wrong_address_is_refused_and_changes_nothing(booking, typed, message):
    client, before = visitor(booking), digest_of_all_tables()

    refused = look(client, booking, "address", email=typed)

    assert message in text_of(refused)
    assert lines(refused) == []
    assert digest_of_all_tables() == before


def test_limit_of_tickets_for_a_person_holds():
    event = EventFactory(max_tickets_per_person=2)
    booking = BookingFactory(event=event, user=None, tickets=2, email="ada@example.org")
    book_tickets(BookingRequest(event.pk, 1, "Grace", "Hopper", NEW))
    client = visitor(booking)

    refused = look(client, booking, "address", email=NEW)

    assert LIMITED in text_of(refused)
    assert "This person has" not in text_of(refused)
    assert email_of(booking) == "ada@example.org"


def test_limit_for_a_person_that_is_reached_meanwhile_is_said_without_numbers(monkeypatch):
    event = EventFactory(max_tickets_per_person=2)
    booking = BookingFactory(event=event, user=None, tickets=2, email="ada@example.org")
    client = visitor(booking)
    shown = look(client, booking, "address", email=NEW)
    book_tickets(BookingRequest(event.pk, 1, "Grace", "Hopper", NEW))
    # The preview that goes before each confirmation has looked just before.
    monkeypatch.setattr(actions, "simulate", lambda event, commands: None)

    refused = confirm(client, booking, "address", shown)

    assert LIMITED in text_of(refused)
    assert "This person has" not in text_of(refused)
    assert email_of(booking) == "ada@example.org"


def test_few_addresses_an_hour_are_answered_for_one_booking(booking, settings):
    settings.THROTTLE_ENABLED = True
    client, other = visitor(booking), BookingFactory(event=booking.event, user=None)

    typed = [f"a{number}@example.org" for number in range(ADDRESSES_AN_HOUR + 1)]
    sent = fields_of(client.get(address(booking, "address")))
    answers = [client.post(address(booking, "address"), sent | {"email": email}) for email in typed]

    assert [answer.status_code for answer in answers] == [200] * ADDRESSES_AN_HOUR + [429]
    assert "Too many requests; try again in" in text_of(answers[-1])
    assert 1 <= int(answers[-1]["Retry-After"]) <= 3600
    assert client.get(address(booking)).status_code == 200
    assert look(visitor(other), other, "address", email=NEW).status_code == 200


def test_booking_that_was_cancelled_meanwhile_is_refused(booking):
    client = visitor(booking)
    shown = look(client, booking, "address", email=NEW)
    cancel_tickets(booking)

    refused = confirm(client, booking, "address", shown)

    assert "This booking is already cancelled." in text_of(refused)
    assert email_of(booking) == "ada@example.org"


def test_name_that_staff_have_corrected_meanwhile_is_shown_anew(booking, admin_user):
    client = visitor(booking)
    shown = look(client, booking, "address", email=NEW)
    transfer_booking(booking, holder=Holder("Ada", "King", "ada@example.org", is_same=True), actor=admin_user)

    again = confirm(client, booking, "address", shown)
    confirm(client, booking, "address", again)

    assert lines(again)
    assert Booking.objects.values_list("last_name", "email").get() == ("King", NEW)
