"""The mails on a booking's page, and sending the latest one again."""

import re

import pytest
from django.utils import timezone

from bookings.outbox import Mail
from bookings.services.cancellation import cancel_tickets
from bookings.tests.admin.confirming import as_persona, confirm, lines, said, url_of
from bookings.tests.factories import BookingFactory
from bookings.tests.mail_server import read_all

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on", "at_once")]


def rows(response):
    table = response.content.decode().partition('<table class="plain mails">')[2].partition("</table>")[0]
    cells = [re.findall(r"<td>(.*?)</td>", row, re.S) for row in table.split("<tr>")[2:]]
    return [[re.sub(r"<[^>]+>", "", cell.replace("<br>", " ")).strip() for cell in row] for row in cells]


@pytest.mark.parametrize(("mail_server", "sent"), [({"EMAIL_HOST": "mail"}, "Sent"), ({}, "Written to a file")])
def test_page_lists_mails_and_whether_they_left(superuser_client, settings, mail_server, sent):
    settings.MAIL_SERVER = mail_server
    booking = BookingFactory(email="ada@example.org", tickets=2)
    cancel_tickets(booking, tickets=1, actor=booking.user)
    cancel_tickets(booking, actor=booking.user)
    read_all()
    first, second, third = Mail.objects.order_by("pk")
    Mail.objects.filter(pk=first.pk).update(state="sent", sent_at=timezone.now())
    Mail.objects.filter(pk=second.pk).update(error="550 <b>no</b>", attempts=2)
    Mail.objects.filter(pk=third.pk).update(state="given_up")

    listed = rows(superuser_client.get(url_of(booking)))

    assert [(about, state) for about, _, state in listed] == [
        ("Cancelled to ada@example.org", "Given up"),
        ("Tickets given back to ada@example.org 550 &lt;b&gt;no&lt;/b&gt;", "Failing"),
        ("Booked to ada@example.org", sent),
    ]


def test_page_without_mails_has_no_table_and_sends_none_again(superuser_client):
    booking = BookingFactory(email="", user=None)
    read_all()

    response = superuser_client.get(url_of(booking))

    assert rows(response) == []
    assert 'href="again/"' not in response.content.decode()


def test_latest_mail_is_sent_again_once_it_is_confirmed(superuser_client):
    booking = BookingFactory(email="ada@example.org")
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())

    shown = superuser_client.get(url_of(booking, "again"))
    assert Mail.objects.get().state == "sent"
    done = confirm(superuser_client, booking, "again", shown)

    assert lines(shown) == ["The mail about “Booked” will be sent to ada@example.org again."]
    assert said(done) == ["The mail to ada@example.org will be sent within a minute."]
    assert (Mail.objects.get().state, Mail.objects.get().repeats) == ("waiting", 1)


@pytest.mark.parametrize(("persona", "status"), [("box office", 403), ("manager", 200)])
def test_managers_send_again(client, persona, status):
    booking = BookingFactory()
    read_all()
    as_persona(client, persona)

    assert client.get(url_of(booking, "again")).status_code == status
