"""Mails, tickets and calendar entries in the language of their recipient, and an operator's templates for it."""

import subprocess
from datetime import UTC, datetime

import pytest
from django.template import engines
from django.test import override_settings
from django.utils import timezone, translation

from accounts.tests.factories import UserFactory
from bookings.documents.calendar import calendar_entry
from bookings.documents.pdf import tickets_pdf
from bookings.enums import FactKind
from bookings.models import Booking
from bookings.outbox import FormerHolder, Mail
from bookings.services.cancellation import cancel_tickets
from bookings.services.epochs import with_epochs
from bookings.services.events import change_event
from bookings.services.links import link_to
from bookings.services.tickets import read_ticketed, tickets_of
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.documents.test_pdf import program
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all
from bookings.tests.written_mails import files, written

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on")]


@pytest.fixture
def gala(db):
    date = datetime(2030, 6, 3, 20, tzinfo=UTC)
    return EventFactory(name="Gala", venue="Old Hall", date=date, sales_end=date, total_tickets=4)


@pytest.fixture
def ada(gala):
    booking = BookingFactory(event=gala, tickets=3, user=None, email="ada@example.org")
    Booking.objects.update(language="de")
    booking.refresh_from_db()
    return booking


def sent_all():
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())


def test_booked_in_german(ada):
    read_all()

    subject, text, html = written()

    assert subject == "Ihre Tickets für „Gala“"
    assert text.replace("\r\n", "\n") == (
        "Guten Tag Ada Lovelace!\n\nIhre Buchung ist bestätigt.\n\nIhre Tickets liegen dieser E-Mail bei.\n\n"
        "Veranstaltung: Gala\nDatum: 3. Juni 2030, 20:00 UTC\n"
        f"Ort: Old Hall\nBuchung: {ada.reference}\nTickets: 3\n\n"
        "Ihre Buchung umfasst 3 Tickets.\n\n"
        f"Ihre Buchung ansehen oder ändern:\n{link_to(with_epochs().get())}\n\n"
        "Diese E-Mail wurde automatisch verschickt.\n"
    )
    assert '<html lang="de">' in html
    for part in ("Guten Tag Ada Lovelace!", "Ihre Buchung ist bestätigt.", "3. Juni 2030, 20:00 UTC"):
        assert part in html


def test_change_in_german(ada, admin_user):
    sent_all()
    changes = {"venue": "", "date": datetime(2030, 6, 4, 20, tzinfo=UTC)}
    change_event(ada.event_id, changes=changes, actor=admin_user)
    read_all()

    subject, text, _ = written(Mail.objects.get(state="waiting"))

    assert subject == "Geändert: Gala"
    assert "- Datum: 3. Juni 2030, 20:00 UTC → 4. Juni 2030, 20:00 UTC" in text
    assert "- Ort: Old Hall → keine Angabe" in text


@pytest.mark.parametrize(("tickets", "given_back"), [(1, "1 Ticket zurückgegeben."), (2, "2 Tickets zurückgegeben.")])
def test_numbers_in_german(ada, tickets, given_back):
    sent_all()
    cancel_tickets(ada, tickets=tickets)
    read_all()

    assert f"Sie haben {given_back}" in written(Mail.objects.get(state="waiting"))[1]


@pytest.mark.parametrize("kind", [kind for kind in FactKind.values if kind != FactKind.ANNOUNCED])
def test_each_kind_says_something_else_in_german(ada, kind):
    read_all()
    mail = Mail.objects.get()
    FormerHolder.objects.create(booking=ada, sequence=9, name="Ada", email=ada.email, language="de")
    mail.facts = [{**mail.facts[0], "kind": kind, "changes": [["venue", "Old Hall", "New Hall"]]}]
    german = written(mail)
    Booking.objects.update(language="en")
    FormerHolder.objects.update(language="en")
    english = written(mail)

    assert "Gala" in german[0]
    assert "Guten Tag Ada Lovelace!" in german[1]
    assert not {"Your", "The", "the", "booking", "your", "You", "is", "of"} & set(" ".join(german).split())
    assert not [german_part for german_part, part in zip(german, english, strict=True) if german_part == part]


def test_mail_leaves_the_language_of_its_process_alone(ada):
    read_all()

    written()

    assert translation.get_language() == "en"


def test_account_s_language_counts_more_than_that_of_the_booking(gala):
    BookingFactory(event=gala, user=UserFactory(language="de"))
    Booking.objects.update(language="en")
    read_all()

    assert written()[0] == "Ihre Tickets für „Gala“"


@pytest.mark.parametrize(
    ("of_account", "of_booking", "subject"),
    [
        (None, "de", "Ihre Buchung für „Gala“ wurde auf einen anderen Namen übertragen"),
        ("de", "en", "Ihre Buchung für „Gala“ wurde auf einen anderen Namen übertragen"),
        (None, "", "Your booking for Gala has moved to another name"),
        ("", "", "Your booking for Gala has moved to another name"),
    ],
)
def test_former_holder_is_told_in_their_own_language(gala, admin_user, of_account, of_booking, subject):
    account = None if of_account is None else UserFactory(language=of_account)
    booking = BookingFactory(event=gala, user=account, email="ada@example.org")
    Booking.objects.update(language=of_booking)
    sent_all()
    other = "en" if of_booking == "de" or of_account == "de" else "de"
    holder = Holder("Grace", "Hopper", "grace@example.org", language=other)
    transfer_booking(booking, holder=holder, actor=admin_user)
    read_all()

    former, new = (written(Mail.objects.get(state="waiting", email=f"{name}@example.org")) for name in ("ada", "grace"))

    assert former[0] == subject
    assert (
        new[0] == {"en": "A booking for Gala is now yours", "de": "Eine Buchung für „Gala“ gehört jetzt Ihnen"}[other]
    )


def test_transfer_that_says_nothing_of_a_language_leaves_it(ada, admin_user):
    transfer_booking(ada, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)

    assert Booking.objects.get().language == "de"


def test_correction_of_the_language_alone_is_told_in_the_new_one(ada, admin_user):
    sent_all()
    holder = Holder("Ada", "Lovelace", "ada@example.org", is_same=True, language="en")
    transfer_booking(ada, holder=holder, actor=admin_user)
    read_all()

    assert Booking.objects.get().language == "en"
    assert ada.ledger.get(kind="transferred").note == "another language"
    assert written(Mail.objects.get(state="waiting"))[0] == "Your booking for Gala was corrected"


# Files


def test_ticket_in_german(ada, tmp_path):
    held = read_ticketed(ada)
    path = tmp_path / "tickets.pdf"
    path.write_bytes(tickets_pdf(held, tickets_of(held, most=1)))

    done = subprocess.run([program("pdftotext"), "-layout", path, "-"], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]

    assert lines[1] == "Montag, 3. Juni 2030, 20:00 UTC"
    assert lines[5:7] == ["Ticket 1 von 3", f"Buchung {ada.reference}"]
    assert " ".join(lines[7:]) == (
        "Der Code lässt eine Person ein, und das nur einmal. Zeigen Sie ihn auf einem Bildschirm oder auf Papier, und "
        "geben Sie ihn an niemanden weiter."
    )


def test_attached_ticket_is_in_the_language_of_its_mail(ada):
    read_all()
    held = read_ticketed(ada)

    assert files()["application/pdf"].get_payload(decode=True) == tickets_pdf(held, tickets_of(held, most=100))


def test_ticket_of_an_account_is_in_its_language(gala, tmp_path):
    booking = BookingFactory(event=gala, user=UserFactory(language="de"))
    held = read_ticketed(booking)

    assert b"/Lang (de)" in tickets_pdf(held, tickets_of(held, most=1))


def test_calendar_entry_in_german(ada):
    read_all()

    for part in (files()["text/calendar"], calendar_entry(read_ticketed(ada))):
        content = part if isinstance(part, bytes) else part.get_payload(decode=True)
        assert f"DESCRIPTION:Buchung {ada.reference}\\, 3 Tickets\r\n".encode() in content


# An operator's templates


@pytest.mark.parametrize(
    ("language", "subject", "sentence"),
    [("de", "Deins: Gala", "UNSER SATZ"), ("en", "Yours: Gala", "Your booking is confirmed.")],
)
def test_template_for_one_language_comes_before_that_for_all(ada, tmp_path, settings, language, subject, sentence):
    for name, text in {
        "bookings/mail/subject.txt": "Yours: {{ event.name }}",
        "de/bookings/mail/subject.txt": "Deins: {{ event.name }}",
        "de/bookings/mail/sentence.txt": "UNSER SATZ",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    [template] = settings.TEMPLATES
    Booking.objects.update(language=language)
    read_all()

    with override_settings(TEMPLATES=[{**template, "DIRS": [tmp_path]}]):
        mail = written()
    engines._templates = None

    assert mail[0] == subject
    assert sentence in mail[1]
    assert sentence in mail[2]
