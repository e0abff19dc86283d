"""Staff write to all holders of an event: a preview with a count, a test to themselves, progress, and a stop."""

import re

import pytest
from django.conf import settings as django_settings
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from bookings.outbox import Announcement, DeliveryPosition, Mail
from bookings.services import audiences
from bookings.services.announcements import read_announcement, unread_announcements
from bookings.services.delivery import Delivery
from bookings.tests.admin.confirming import as_persona, confirm, errors, fields_of, lines, said, url_of
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all
from bookings.tests.state import digest_of_all_tables

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on", "at_once")]

TEXT = "The hall is <cold>.\r\n\r\nYours, Emmy"
TYPED = {"addressees": "holders", "subject": "Bring a coat", "text": TEXT}
LEAVES = "It begins to leave within a minute or so. The event's page shows how many have left, and can stop it."


def book(event, name, tickets=1, **fields):
    fields = {"email": f"{name.lower()}@example.org", "user": None} | fields
    return BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, **fields)


@pytest.fixture
def gala(db):
    """Ada and Bob hold a ticket each, and Carl without a mail address; Grace waits."""
    event = EventFactory(name="Gala", total_tickets=3)
    for name in ("Ada", "Bob"):
        book(event, name)
    book(event, "Carl", email="")
    book(event, "Grace")
    event.refresh_from_db()
    return event


def preview(client, event, **typed):
    """Opens the form, types, and asks for the preview."""
    url = url_of(event, "write")
    return client.post(url, fields_of(client.get(url)) | typed)


def letter_shown(response):
    """The mail on the page, as text."""
    section = response.content.decode().partition('id="letter-title"')[2].partition("</section>")[0]
    return re.sub(r"\s*<[^>]+>\s*", "|", section)


def read_letters():
    read_all()
    for pk in unread_announcements():
        while read_announcement(pk):
            pass


@pytest.mark.parametrize(
    ("addressees", "told"),
    [
        ("holders", ["2 holders will be told by mail.", "1 booking has no mail address."]),
        ("waiting", ["1 holder will be told by mail."]),
        ("all", ["3 holders will be told by mail.", "1 booking has no mail address."]),
    ],
)
def test_preview_shows_the_count_and_the_mail(superuser_client, gala, addressees, told):
    before = digest_of_all_tables()

    shown = preview(superuser_client, gala, **TYPED | {"addressees": addressees})

    assert lines(shown) == [*told, LEAVES]
    letter = letter_shown(shown)
    assert "|Bring a coat|" in letter
    assert "Hello " in letter
    assert "The hall is &lt;cold&gt;.||Yours, Emmy" in letter
    assert "Event: Gala" in letter
    assert digest_of_all_tables() == before


def test_who_may_not_see_bookings_sees_the_mail_as_to_themselves(client, gala):
    as_persona(client, "manager")
    assert "|Ada &lt;ada@example.org&gt;, for example|" in letter_shown(preview(client, gala, **TYPED))
    Permission.objects.get(codename="view_booking").group_set.clear()

    shown = preview(client, gala, **TYPED)

    assert lines(shown)[0] == "2 holders will be told by mail."
    assert "|managers &lt;managers@example.org&gt;, for example|" in letter_shown(shown)
    assert "Hello managers,||The hall is" in letter_shown(shown)
    assert "ada@example.org" not in shown.content.decode()


@pytest.mark.parametrize("name", ["body.txt", "body.html"])
def test_template_that_fails_is_named_on_the_form(superuser_client, gala, settings, tmp_path, mail_server, name):
    (tmp_path / "bookings/mail").mkdir(parents=True)
    (tmp_path / "bookings/mail" / name).write_text("{% if %}")
    shown = preview(superuser_client, gala, **TYPED)
    settings.TEMPLATES = [{**django_settings.TEMPLATES[0], "DIRS": [tmp_path]}]
    before = digest_of_all_tables()

    for pressed in ({}, {"test": "yes"}, {"confirm": "yes"}):
        refused = superuser_client.post(url_of(gala, "write"), fields_of(shown) | pressed)

        assert refused.status_code == 200
        [error] = errors(refused)["__all__"]
        assert error.startswith("A template of the mail fails. TemplateSyntaxError: ")
    assert mail_server.mails == []
    assert digest_of_all_tables() == before


def test_confirmed_letter_is_sent_to_each_once(superuser_client, gala, mail_server):
    shown = preview(superuser_client, gala, **TYPED)
    done = confirm(superuser_client, gala, "write", shown)
    again = confirm(superuser_client, gala, "write", shown)
    read_letters()

    assert said(done) == ["“Bring a coat” begins to leave within a minute or so."]
    assert said(again) == said(done)
    announcement = Announcement.objects.get()
    assert (announcement.subject, announcement.text, announcement.author.username) == (
        "Bring a coat",
        "The hall is <cold>.\n\nYours, Emmy",
        "superuser",
    )
    assert list(announcement.sent_as.values_list("email", flat=True)) == ["ada@example.org", "bob@example.org"]
    assert LogEntry.objects.filter(object_id=gala.pk, change_message__contains="Wrote to holders").count() == 1


def test_other_letter_from_the_same_page_is_shown_before_it_is_sent_as_well(superuser_client, gala):
    shown = preview(superuser_client, gala, **TYPED)
    confirm(superuser_client, gala, "write", shown)

    refused = confirm(superuser_client, gala, "write", shown, text="Other")
    assert errors(refused) == {
        "__all__": [
            "This page was confirmed already, with other input. Look whether you want this as well, and confirm again."
        ]
    }
    assert Announcement.objects.count() == 1
    url = url_of(gala, "write")
    again = superuser_client.post(url, fields_of(refused))
    superuser_client.post(url, fields_of(again) | {"confirm": "yes"})

    assert [one.text for one in Announcement.objects.order_by("pk")][1:] == ["Other"]


def test_test_mail_goes_to_its_author_alone(superuser_client, gala, mail_server):
    User.objects.filter(username="superuser").update(email="boss@example.org")
    url = url_of(gala, "write")
    shown = preview(superuser_client, gala, **TYPED)

    answer = superuser_client.post(url, fields_of(shown) | {"test": "yes"})

    assert said(answer) == ["A test was sent to boss@example.org. Nothing was sent to anybody else."]
    [mail] = mail_server.mails
    assert (mail["To"], mail["Subject"]) == ("boss@example.org", "Test: Bring a coat")
    body = mail.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert body.startswith("Hello superuser,\n\nThe hall is <cold>.\n\nYours, Emmy\n")
    assert lines(answer)
    assert not Announcement.objects.exists()
    # The preview goes on from there.
    superuser_client.post(url, fields_of(answer) | {"confirm": "yes"})
    assert Announcement.objects.count() == 1


def test_test_mail_needs_an_address_and_a_server(superuser_client, gala, mail_server):
    url = url_of(gala, "write")
    shown = preview(superuser_client, gala, **TYPED)
    User.objects.filter(username="superuser").update(email="")
    assert said(superuser_client.post(url, fields_of(shown) | {"test": "yes"})) == [
        "Your account has no mail address, so no test can be sent to you."
    ]

    User.objects.filter(username="superuser").update(email="boss@example.org")
    mail_server.stop()
    [refused] = said(superuser_client.post(url, fields_of(shown) | {"test": "yes"}))

    assert refused.startswith("The mail server did not take the test: ")


def test_letter_that_is_for_nobody_is_refused(superuser_client):
    event = EventFactory(name="Empty")
    book(event, "Carl", email="")

    for addressees in ("holders", "waiting"):
        shown = preview(superuser_client, event, **TYPED | {"addressees": addressees})
        assert errors(shown) == {
            "__all__": ["None of these bookings has a mail address, so there is nobody to write to."]
        }


@pytest.mark.parametrize(
    ("typed", "error"),
    [
        ({"subject": ""}, {"subject": ["This field is required."]}),
        ({"text": " "}, {"text": ["This field is required."]}),
        ({"subject": "x" * 201}, {"subject": ["Ensure this value has at most 200 characters (it has 201)."]}),
        ({"text": "x" * 5001}, {"text": ["Ensure this value has at most 5000 characters (it has 5001)."]}),
        ({"text": "bell\x07"}, {"text": ["Control characters other than line breaks and tabs are not allowed."]}),
        (
            {"subject": "Bring\nBcc: all@example.org"},
            {"subject": ["Control characters such as line breaks are not allowed."]},
        ),
        (
            {"addressees": "everybody"},
            {"addressees": ["Select a valid choice. everybody is not one of the available choices."]},
        ),
    ],
)
def test_letter_that_cannot_be_sent_is_refused_at_its_field(superuser_client, gala, typed, error):
    before = digest_of_all_tables()

    assert errors(preview(superuser_client, gala, **TYPED | typed)) == error
    assert digest_of_all_tables() == before


def test_many_are_an_upper_bound(superuser_client, gala, monkeypatch):
    monkeypatch.setattr(audiences, "MAX_READ", 2)

    shown = preview(superuser_client, gala, **TYPED | {"addressees": "all"})

    assert lines(shown)[0] == "Up to 4 holders will be told by mail, each address once."


@pytest.mark.parametrize(
    ("persona", "status"),
    [("superuser", 200), ("manager", 200), ("box office", 403), ("plain staff", 403), ("user", 302)],
)
def test_managers_write(client, gala, persona, status):
    as_persona(client, persona)

    assert client.get(url_of(gala, "write")).status_code == status
    answer = client.post(url_of(gala, "write"), TYPED | {"key": "k" * 32, "confirm": "yes", "test": "yes"})
    assert answer.status_code == status
    assert ('href="write/"' in client.get(url_of(gala)).content.decode()) == (status == 200)
    assert not Announcement.objects.exists()


@pytest.mark.parametrize(("persona", "status"), [("manager", 302), ("box office", 403)])
def test_managers_stop(client, gala, persona, status):
    as_persona(client, persona)

    assert client.get(url_of(gala, "stop")).status_code == status


def test_page_of_an_event_that_tells_nobody_offers_no_writing(superuser_client, gala):
    read_all()
    DeliveryPosition.objects.update(sequence=DeliveryPosition.NEVER)

    assert 'href="write/"' not in superuser_client.get(url_of(gala)).content.decode()
    assert said(superuser_client.get(url_of(gala, "write"), follow=True)) == [
        "Nobody is told anything of this event, so nobody can be written to."
    ]


def test_nobody_writes_while_mails_are_off(superuser_client, gala, settings):
    settings.MAIL_ENABLED = False

    assert said(superuser_client.get(url_of(gala, "write"), follow=True)) == [
        "Nobody will be told: this installation sends no mails."
    ]


def test_event_page_shows_progress_and_stops_it(superuser_client, gala):
    confirm(superuser_client, gala, "write", preview(superuser_client, gala, **TYPED | {"addressees": "all"}))
    page = superuser_client.get(url_of(gala)).content.decode()
    assert "<td>not all are ready yet</td>" in page
    assert "superuser wrote to everybody who holds tickets or waits: Bring a coat" in page
    read_letters()
    mails = Mail.objects.exclude(announcement=None).order_by("pk")
    Mail.objects.filter(pk=mails[0].pk).update(state="sent", sent_at=timezone.now())
    assert "<td>1 sent, 2 waiting</td>" in superuser_client.get(url_of(gala)).content.decode()

    shown = superuser_client.get(url_of(gala, "stop"))
    assert lines(shown) == ["“Bring a coat” was sent to 1 so far. Nobody else gets it."]
    done = confirm(superuser_client, gala, "stop", shown)

    assert said(done) == ["Stopped: “Bring a coat”."]
    page = superuser_client.get(url_of(gala)).content.decode()
    assert "<td>Stopped: 1 sent</td>" in page
    assert 'href="stop/"' not in page
    assert [mail.state for mail in mails.all()] == ["sent"]
    assert said(superuser_client.get(url_of(gala, "stop"), follow=True)) == ["No mail to holders is on its way."]


def test_page_counts_no_mails_of_what_has_ended(superuser_client, gala):
    confirm(superuser_client, gala, "write", preview(superuser_client, gala, **TYPED | {"addressees": "all"}))
    read_letters()
    with CaptureQueriesContext(connection) as queries:
        assert "<td>3 waiting</td>" in superuser_client.get(url_of(gala)).content.decode()
    assert counts_of_mails(queries)
    Mail.objects.exclude(announcement=None).update(state="sent", sent_at=timezone.now())
    Delivery().read()

    with CaptureQueriesContext(connection) as queries:
        page = superuser_client.get(url_of(gala)).content.decode()

    assert "<td>3 sent</td>" in page
    assert counts_of_mails(queries) == []


def counts_of_mails(queries):
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    return [text for text in counts if "bookings_mail" in text]


def test_booking_page_lists_the_letter_with_its_subject(superuser_client, gala):
    confirm(superuser_client, gala, "write", preview(superuser_client, gala, **TYPED | {"subject": "Bring <b>"}))
    read_letters()

    content = superuser_client.get(url_of(gala.bookings.get(first_name="Ada"))).content.decode()

    assert "Written by staff: Bring &lt;b&gt;" in content
