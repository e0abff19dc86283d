"""The tables of what is told to holders: what the database refuses, and the plans of what is asked all the time."""

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from bookings.outbox import Announcement, FormerHolder, LinkRequest, Mail, MailChoice
from bookings.services.link_mails import request_links
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on", "at_once")]


def refused(act, match):
    with pytest.raises(IntegrityError, match=match), transaction.atomic():
        act()


def test_fact_is_not_told_twice_to_one_person():
    BookingFactory()
    read_all()
    [mail] = Mail.objects.all()
    mail.pk = None

    refused(mail.save, "mail_unique|UNIQUE constraint failed: bookings_mail")
    mail.is_to_former = True
    mail.save()


@pytest.mark.parametrize("values", [{"state": "sent"}, {"sent_at": timezone.now()}, {"state": "lost"}])
def test_mail_was_sent_at_a_time_and_no_other_has_one(values):
    BookingFactory()
    read_all()

    refused(lambda: Mail.objects.update(**values), "mail_sent_has_time")


@pytest.mark.parametrize("values", [{"state": "sent"}, {"sent_at": timezone.now()}, {"state": "lost"}])
def test_request_for_links_was_answered_at_a_time_and_no_other_has_one(values):
    request_links("ada@example.org")

    refused(lambda: LinkRequest.objects.update(**values), "linkrequest_sent_has_time")


def test_entry_takes_a_booking_from_one_person():
    former = FormerHolder.objects.create(booking=BookingFactory(), sequence=3, name="Ada", email="ada@example.org")
    former.pk = None

    refused(former.save, "former_holder_unique|UNIQUE constraint failed: bookings_formerholder")


def test_entry_has_one_choice_of_staff():
    event = EventFactory()
    MailChoice.objects.create(event=event, first=2, last=3)

    refused(
        lambda: MailChoice.objects.create(event=event, first=3, last=3),
        "mail_choice_unique|UNIQUE constraint failed: bookings_mailchoice",
    )
    refused(lambda: MailChoice.objects.create(event=event, first=5, last=4), "mail_choice_has_entries")


def test_entry_has_one_announcement_and_a_key_makes_one(admin_user):
    event = EventFactory()
    letter = {"event": event, "addressees": "all", "subject": "s", "text": "t", "author": admin_user}
    Announcement.objects.create(sequence=2, digest="a" * 64, **letter)

    refused(
        lambda: Announcement.objects.create(sequence=2, digest="b" * 64, **letter),
        "announcement_unique|UNIQUE constraint failed: bookings_announcement.event_id",
    )
    refused(
        lambda: Announcement.objects.create(sequence=3, digest="a" * 64, **letter),
        "digest|UNIQUE constraint failed: bookings_announcement.digest",
    )


# ANALYZE TABLE commits.
@pytest.mark.django_db(transaction=True)
@pytest.mark.mariadb
def test_lease_reads_the_due_mails_and_not_the_sent_ones():
    event = EventFactory(total_tickets=300)
    for _ in range(120):
        BookingFactory(event=event)
    read_all()
    Mail.objects.order_by("pk").filter(pk__in=list(Mail.objects.values_list("pk", flat=True)[:110])).update(
        state="sent", sent_at=timezone.now()
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE TABLE bookings_mail")
        cursor.fetchall()
        cursor.execute("FLUSH STATUS")

    assert len(Mail.objects.sendable().lease_due(limit=50)) == 10

    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read_%'")
        read = sum(int(number) for name, number in cursor.fetchall() if name != "Handler_read_rnd_deleted")
    # A few rows for each mail that is due, and not all that are stored.
    assert read < 110
