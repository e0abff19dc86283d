"""A guest who has lost the mail asks for the links by address: the same answer for everybody, and a mail for some."""

import email.policy
import re
from datetime import UTC, datetime, timedelta
from email import message_from_bytes

import pytest
from django.core import mail as outbox
from django.template import engines
from django.test import Client, override_settings
from django.utils import timezone

from accounts.models import AttemptCounter
from bookings.models import Booking
from bookings.outbox import LinkRequest
from bookings.pages.lost import LIMITS, MAILS_AN_HOUR
from bookings.services.cancellation import cancel_tickets
from bookings.services.delivery import Delivery
from bookings.services.epochs import with_epochs
from bookings.services.events import cancel_event
from bookings.services.link_mails import MAX_LINKS_IN_A_MAIL, compose_links
from bookings.services.links import link_to
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.upkeep import has_expired, prune
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import by_mail, read_all
from bookings.tests.pages.visiting import text_of
from bookings.tests.state import everything
from bookings.tests.test_deliver import output_of
from ticks.db.transactions import Busy

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on")]
ADA = "ada@example.org"


@pytest.fixture
def gala():
    return EventFactory(name="Gala", date=datetime(2030, 12, 1, 19, 30, tzinfo=UTC), total_tickets=3)


def ask(client, address=ADA, **headers):
    return client.post("/my/", {"email": address}, **headers)


def written():
    """The text and HTML of the only mail that was asked for, after a journey over the wire."""
    sent = compose_links(LinkRequest.objects.get())
    received = message_from_bytes(sent.message().as_bytes(linesep="\r\n"), policy=email.policy.default)
    assert (received["To"], received["Subject"]) == (ADA, "Links to your bookings")
    assert (received["Auto-Submitted"], received["Message-ID"][:13]) == ("auto-replied", "<ticks.links.")
    return tuple(received.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))


def link_of(booking):
    return link_to(with_epochs().get(pk=booking.pk))


def test_page_asks_for_an_address(client):
    page = client.get("/my/")

    assert page.status_code == 200
    assert 'type="email"' in text_of(page)
    assert LinkRequest.objects.count() == 0


def test_answer_is_the_same_whether_the_address_is_known_or_not(client, gala, django_assert_num_queries):
    BookingFactory(event=gala, email=ADA)
    before, answers = everything(), []

    for address in (ADA, "nobody@example.org"):
        with django_assert_num_queries(3):
            led_to = Client().post("/my/", {"email": address})
        page = Client().get(led_to["Location"])
        answers.append((led_to.status_code, led_to["Location"], led_to.content, page.status_code, page.content))

    assert answers[0] == answers[1]
    assert answers[0][:2] == (303, "/my/sent")
    assert [request.email for request in LinkRequest.objects.order_by("pk")] == [ADA, "nobody@example.org"]
    assert everything() == before


def test_mail_has_the_links_to_all_live_bookings_of_the_address(client, gala, admin_user):
    held = BookingFactory(event=gala, tickets=2, user=None, email=ADA)
    waiting = BookingFactory(event=gala, tickets=2, user=None, email=ADA)
    of_account = BookingFactory(event=EventFactory(name="Talk <b>", date=None), email=ADA)
    others = [
        BookingFactory(email=ADA),
        BookingFactory(email=ADA),
        BookingFactory(event=gala),
        BookingFactory(email=ADA),
    ]
    cancel_tickets(others[0])
    cancel_event(others[1].event.pk, actor=admin_user, version=None)
    transfer_booking(others[3], holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    ask(client, " ADA@Example.org")

    text, html = written()

    links = [link_of(booking) for booking in (of_account, waiting, held)]
    assert re.findall(r"^http\S+$", text, re.MULTILINE) == links
    assert re.findall(r'href="(\S+)"', html) == links
    assert f"Gala, 1 December 2030, 19:30 UTC\nBooking: {held.reference}\n{links[2]}\n" in text
    assert "Talk <b>\n" in text
    assert "Talk &lt;b&gt;" in html


def test_link_in_the_mail_opens_the_booking(client, gala):
    booking = BookingFactory(event=gala, user=None, email=ADA)
    ask(client)

    [link] = re.findall(r"^http://127.0.0.1:8000(\S+)$", written()[0], re.MULTILINE)

    assert client.get(link, follow=True).context["booking"] == booking


def test_large_number_of_bookings_has_the_latest(client):
    made = [BookingFactory(user=None, email=ADA) for _ in range(MAX_LINKS_IN_A_MAIL + 1)]
    ask(client)

    text, _ = written()

    assert (link_of(made[1]) in text, link_of(made[0]) in text) == (True, False)


@pytest.mark.parametrize(("language", "subject"), [("de", "Deine Links"), ("en", "Yours")])
def test_operators_template_for_one_language_comes_before_that_for_all(
    client, gala, settings, tmp_path, language, subject
):
    for folder, text in {"bookings/mail": "Yours", "de/bookings/mail": "Deine\n Links"}.items():
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "links_subject.txt").write_text(text)
    [template] = settings.TEMPLATES
    BookingFactory(event=gala, email=ADA)
    Booking.objects.update(language=language)
    ask(client)

    with override_settings(TEMPLATES=[{**template, "DIRS": [tmp_path]}]):
        sent = compose_links(LinkRequest.objects.get())
    engines._templates = None

    assert sent.subject == subject


@pytest.mark.django_db(transaction=True)
def test_delivery_sends_to_who_has_bookings_and_forgets_the_others(client, gala):
    BookingFactory(event=gala, email=ADA)
    ask(client)
    ask(client, "nobody@example.org")

    delivery = Delivery()
    while delivery.run_once():
        pass

    assert [sent.to for sent in outbox.outbox if sent.subject == "Links to your bookings"] == [[ADA]]
    assert list(LinkRequest.objects.values_list("email", "state")) == [(ADA, "sent")]


@pytest.mark.django_db(transaction=True)
def test_mail_is_sent_by_a_real_server(client, deliver, mail_server, gala):
    booking = BookingFactory(event=gala, email=ADA)
    ask(client)
    link = link_of(booking)

    assert output_of(deliver("--once", **by_mail(mail_server)))[0] == 0

    # The booking's own mail leaves after it.
    mail, _ = mail_server.mails
    assert mail["Subject"] == "Links to your bookings"
    assert link in mail.get_body(("plain",)).get_content()


@pytest.mark.parametrize(
    ("typed", "message"), [("", "This field is required."), ("nonsense", "Enter a valid email address.")]
)
def test_wrong_address_is_refused(client, typed, message):
    refused = ask(client, typed)

    assert refused.status_code == 200
    assert message in text_of(refused)
    assert LinkRequest.objects.count() == 0


def test_address_gets_three_mails_an_hour_and_more_requests_look_the_same(settings):
    settings.THROTTLE_ENABLED = True

    answers = [ask(Client(), ADA, REMOTE_ADDR=f"192.0.2.{number}") for number in range(MAILS_AN_HOUR + 2)]
    ask(Client(), "grace@example.org")

    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(303, "/my/sent")}
    asked = list(LinkRequest.objects.order_by("pk").values_list("email", flat=True))
    assert asked == [ADA] * MAILS_AN_HOUR + ["grace@example.org"]
    assert "ada" not in repr(list(AttemptCounter.objects.values()))


def test_network_that_asks_too_often_is_refused_and_others_are_not(client, settings):
    settings.THROTTLE_ENABLED = True
    [limit] = LIMITS

    statuses = [ask(client, f"a{number}@example.org").status_code for number in range(limit.number + 1)]
    refused = ask(client, "a-last@example.org")

    assert statuses == [303] * limit.number + [429]
    assert "Too many requests; try again in" in text_of(refused)
    assert int(refused["Retry-After"]) > 0
    assert LinkRequest.objects.count() == limit.number
    assert ask(client, ADA, REMOTE_ADDR="192.0.2.1").status_code == 303


def test_without_mails_the_page_says_so(client, settings):
    settings.MAIL_ENABLED = False

    for page in (client.get("/my/"), ask(client)):
        assert page.status_code == 200
        assert "This site sends no mails." in text_of(page)
    assert LinkRequest.objects.count() == 0


def test_database_that_is_busy_is_said(client, monkeypatch):
    def busy(email):
        raise Busy

    monkeypatch.setattr("bookings.pages.lost.request_links", busy)

    refused = ask(client)

    assert (refused.status_code, refused["Retry-After"]) == (503, "1")
    assert "Too many people are at this at once" in text_of(refused)


def test_form_from_another_site_is_refused():
    assert ask(Client(enforce_csrf_checks=True)).status_code == 403
    assert LinkRequest.objects.count() == 0


def test_requests_that_were_answered_are_pruned(client, settings):
    ask(client)
    ask(client, "grace@example.org")
    old = timezone.now() - timedelta(days=settings.MAIL_DAYS + 1)
    LinkRequest.objects.filter(email=ADA).update(state="sent", sent_at=old, due_at=old)

    assert has_expired(timezone.now())
    prune()

    assert [request.email for request in LinkRequest.objects.all()] == ["grace@example.org"]


def test_request_costs_a_booking_nothing(client, gala):
    booking = BookingFactory(event=gala, email=ADA)
    read_all()
    before = everything()

    ask(client)
    compose_links(LinkRequest.objects.get())

    assert everything() == before
    assert Booking.objects.get() == booking
