"""How far the deliveries are behind, as /readyz and the staff's first page say it."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from bookings.admin.home import delivery_notices
from bookings.outbox import LinkRequest, Mail
from bookings.services.announcements import Letter, read_announcement, unread_announcements, write_to_holders
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.link_mails import request_links
from bookings.services.reports import DELIVERY_IS_LATE_AFTER, DeliveryLag, delivery_lag, delivery_warnings
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all
from ticks.server import health

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on")]


def happened(**ago):
    """As if all entries were so old."""
    moment = timezone.now() - timedelta(**ago)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE bookings_ledgerentry SET created_at = %s", [connection.ops.adapt_datetimefield_value(moment)]
        )
    return moment


def texts():
    return [(notice.level, notice.badge, notice.text) for notice in delivery_notices(timezone.now())]


def test_news_of_a_minute_ago_are_not_late():
    BookingFactory()
    happened(minutes=4)

    assert delivery_lag(timezone.now()) == DeliveryLag()
    assert delivery_warnings() == []
    assert texts() == []


def test_ledger_that_nobody_reads_is_late_since_its_next_entry():
    BookingFactory()
    happened(minutes=12)
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    assert delivery_lag(timezone.now()).unread_since is None
    booking = BookingFactory()
    moment = happened(minutes=12)
    BookingFactory(event=booking.event)

    lag = delivery_lag(timezone.now())

    assert abs(lag.unread_since - moment) < timedelta(seconds=1)
    [warning] = delivery_warnings()
    assert warning.startswith("mails: the ledger has not been read for 12")
    [(level, badge, text)] = texts()
    assert (level, badge) == ("bad", "Mails are late")
    assert text.startswith("No ledger entry has been read since ")


def test_mails_that_nobody_sends_are_late():
    BookingFactory()
    read_all()
    Mail.objects.update(due_at=timezone.now() - timedelta(hours=3))

    [warning] = delivery_warnings()
    assert warning.startswith("mails: some have waited for 3")
    [(level, _, text)] = texts()
    assert level == "warn"
    assert text.startswith("Mails have been waiting since ")


def test_links_that_nobody_sends_are_late():
    request_links("ada@example.org")
    LinkRequest.objects.update(due_at=timezone.now() - timedelta(hours=3))

    [warning] = delivery_warnings()

    assert warning.startswith("mails: some have waited for 3")


def test_mail_that_waits_for_its_next_attempt_is_not_late():
    BookingFactory()
    read_all()
    Mail.objects.update(due_at=timezone.now() + timedelta(minutes=30), attempts=9, error="no")

    assert delivery_warnings() == []


def test_mail_behind_one_that_waits_for_its_next_attempt_is_not_late(admin_user):
    booking = BookingFactory(tickets=2)
    read_all()
    Mail.objects.update(
        due_at=timezone.now() + timedelta(minutes=30), attempts=9, happened_at=timezone.now() - timedelta(hours=1)
    )
    cancel_tickets(booking, actor=admin_user)
    read_all()
    Mail.objects.filter(attempts=0).update(due_at=timezone.now() - timedelta(minutes=20))
    assert Mail.objects.count() == 2

    assert delivery_warnings() == []


def test_entries_to_come_of_a_cancelled_event_are_not_late(monkeypatch, admin_user):
    monkeypatch.setattr("bookings.services.events.BOOKINGS_A_PART", 1)
    monkeypatch.setattr("bookings.services.events.CANCEL_SECONDS", 0)
    event = EventFactory()
    for _ in range(4):
        BookingFactory(event=event)
    cancel_event(event.pk, actor=admin_user)
    happened(minutes=30)
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())

    assert delivery_warnings() == []


def test_nothing_is_late_where_nobody_is_told(settings):
    settings.MAIL_ENABLED = False
    BookingFactory()
    happened(days=1)

    assert delivery_warnings() == []


@pytest.mark.parametrize(("number", "listed"), [(1, 1), (5, 5), (8, 5)])
def test_mails_that_were_given_up_need_attention(number, listed):
    for _ in range(number):
        booking = BookingFactory()
    read_all()
    Mail.objects.update(state="given_up")
    Mail.objects.filter(booking=booking).update(due_at=timezone.now() + timedelta(hours=1))

    notices = delivery_notices(timezone.now())

    assert {(notice.level, notice.badge) for notice in notices} == {("bad", "Mail given up")}
    assert (notices[0].subject, notices[0].url) == (booking.reference, f"/admin/bookings/booking/{booking.pk}/")
    assert [notice.text for notice in notices[listed:]] == (["and more"] if number > listed else [])


def test_mail_to_a_former_holder_that_was_given_up_needs_no_attention(admin_user):
    booking = BookingFactory(email="ada@example.org")
    transfer_booking(booking, holder=Holder("Grace", "", "grace@example.org"), actor=admin_user)
    read_all()
    Mail.objects.filter(email="ada@example.org").update(state="given_up")

    assert Mail.objects.filter(state="given_up").exists()
    assert delivery_notices(timezone.now()) == []


def test_letter_that_was_given_up_needs_no_attention(admin_user):
    event = BookingFactory().event
    write_to_holders(event.pk, letter=Letter("all", "Bring a coat", "Cold."), actor=admin_user, key="key")
    read_all()
    [letter] = unread_announcements()
    read_announcement(letter)
    Mail.objects.filter(announcement=letter).update(state="given_up")

    assert Mail.objects.filter(state="given_up").exists()
    assert delivery_notices(timezone.now()) == []


def test_lag_costs_the_same_for_any_number(django_assert_num_queries):
    for _ in range(5):
        BookingFactory()

    with django_assert_num_queries(4):
        delivery_lag(timezone.now())


def test_ready_says_how_late_it_is(anonymous, monkeypatch):
    monkeypatch.setattr(health, "cached_warnings", (float("-inf"), []))
    BookingFactory()
    happened(minutes=12)

    response = anonymous.get("/readyz")

    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert len(response.json()["warnings"]) == 1
    assert timedelta(minutes=5) == DELIVERY_IS_LATE_AFTER
    monkeypatch.setattr(health, "cached_warnings", (float("-inf"), []))
