"""Mails that are sent to a real server: leased, in order for each booking, tried again, and given up late."""

import smtplib
import socket
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

import ticks.mails
from bookings.exceptions import NothingToSend
from bookings.outbox import Mail
from bookings.services import mails
from bookings.services.cancellation import cancel_tickets
from bookings.services.delivery import Delivery
from bookings.services.events import change_event
from bookings.services.mails import send_mail_again, send_mails
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.upkeep import expired_mail_rows
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all
from bookings.tests.threads import run_together
from ticks.db.outgoing import FIRST_PAUSE, LEASE, LONGEST_PAUSE, backoff, release
from ticks.mails import SendResult, is_server_gone

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("at_once")]


def lease_all(now, limit=50):
    return Mail.objects.sendable().lease_due(now=now, limit=limit)


def later(**times):
    """As if so much time had passed since the mails became due."""
    Mail.objects.filter(state="waiting").update(due_at=timezone.now() - timedelta(**times))


def test_mail_leaves_and_is_marked(mail_server):
    booking = BookingFactory()
    read_all()
    before = timezone.now()

    assert send_mails() == SendResult(sent=1)
    assert send_mails() == SendResult()

    assert mail_server.told() == [(booking.email, f"Your tickets for {booking.event.name}")]
    mail = Mail.objects.get()
    assert (mail.state, mail.attempts, mail.lease, mail.error) == ("sent", 1, None, "")
    assert before <= mail.sent_at <= timezone.now()


def test_mails_of_a_booking_leave_in_order(mail_server):
    bookings = [BookingFactory(tickets=3) for _ in range(3)]
    for booking in bookings:
        cancel_tickets(booking, tickets=1, actor=booking.user)
        cancel_tickets(booking, actor=booking.user)
    read_all()
    # The later ones are due first.
    for place, mail in enumerate(Mail.objects.order_by("-pk")):
        Mail.objects.filter(pk=mail.pk).update(due_at=timezone.now() - timedelta(hours=1, seconds=-place))

    sent = [send_mails().sent for _ in range(4)]

    assert sent == [3, 3, 3, 0]
    for booking in bookings:
        subjects = [subject for to, subject in mail_server.told() if to == booking.email]
        assert [subject.split(" ")[0] for subject in subjects] == ["Your", "Fewer", "Your"]
        assert subjects[-1].endswith("is cancelled")


def test_mail_waits_while_an_earlier_one_of_its_booking_fails(mail_server):
    bad, good = BookingFactory(email="bad@example.org"), BookingFactory(email="good@example.org")
    for booking in (bad, good):
        cancel_tickets(booking, actor=booking.user)
    read_all()
    mail_server.answer = lambda address: "451 later" if address.startswith("bad") else "250 OK"

    outcomes = [send_mails() for _ in range(3)]
    assert outcomes == [SendResult(1, 1), SendResult(1), SendResult()]
    mail_server.answer = lambda address: "250 OK"
    later()
    assert [send_mails(), send_mails()] == [SendResult(1), SendResult(1)]

    assert [to for to, _ in mail_server.told()] == ["good@example.org"] * 2 + ["bad@example.org"] * 2
    assert mail_server.told()[2][1].startswith("Your tickets")


def test_failed_mail_is_tried_again_after_pauses_that_double_and_differ(mail_server):
    BookingFactory()
    read_all()
    mail_server.answer = lambda address: "550 no such user"
    pauses = []

    for _ in range(3):
        later()
        assert send_mails() == SendResult(failed=1)
        pauses.append((Mail.objects.get().due_at - timezone.now()).total_seconds())

    mail = Mail.objects.get()
    assert (mail.state, mail.attempts, mail.lease) == ("waiting", 3, None)
    assert mail.error.startswith("SMTPRecipientsRefused: ")
    for pause, least in zip(pauses, (15, 30, 60), strict=True):
        assert least - 1 < pause < 3 * least
    assert len({backoff(3, first=FIRST_PAUSE, longest=LONGEST_PAUSE) for _ in range(20)}) > 10
    assert backoff(400, first=FIRST_PAUSE, longest=LONGEST_PAUSE) <= 1.5 * LONGEST_PAUSE


@pytest.mark.parametrize(("days", "attempts", "state"), [(0, 100, "waiting"), (6, 2, "waiting"), (6, 8, "given_up")])
def test_mail_is_given_up_when_it_is_old_and_was_often_tried(mail_server, days, attempts, state):
    BookingFactory()
    read_all()
    mail = Mail.objects.get()
    Mail.objects.update(attempts=attempts - 1, give_up_at=mail.give_up_at - timedelta(days=days))
    mail_server.answer = lambda address: "550 no such user"

    assert send_mails() == SendResult(failed=1)

    mail.refresh_from_db()
    assert (mail.state, mail.attempts, mail.sent_at) == (state, attempts, None)


def test_server_that_is_away_costs_no_attempt_and_then_all_leave_in_order(mail_server):
    booking = BookingFactory(tickets=2)
    cancel_tickets(booking, actor=booking.user)
    others = [BookingFactory() for _ in range(3)]
    read_all()
    mail_server.stop()
    later(days=30)
    Mail.objects.update(give_up_at=timezone.now() - timedelta(days=25))

    assert send_mails() == SendResult(is_server_gone=True)
    assert not Mail.objects.exclude(attempts=0, lease=None, state="waiting").exists()
    assert Mail.objects.order_by("pk").exclude(error="").get().error.startswith("ConnectionRefusedError")
    mail_server.start()

    assert [send_mails(), send_mails()] == [SendResult(4), SendResult(1)]
    assert {to for to, _ in mail_server.told()} == {booking.email, *(other.email for other in others)}
    assert not Mail.objects.exclude(error="").exists()


def test_server_that_hangs_is_away(mail_server, settings):
    settings.EMAIL_TIMEOUT = 0.2
    booking = BookingFactory()
    read_all()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]

        assert send_mails() == SendResult(is_server_gone=True)

    error = Mail.objects.get(booking=booking, attempts=0, lease=None).error
    assert error == "SMTPServerDisconnected: Connection unexpectedly closed: timed out"


def test_server_that_goes_away_in_between_is_left_alone_for_a_while(mail_server, monkeypatch):
    for _ in range(3):
        BookingFactory()
    read_all()
    mail_server.answer = lambda address: "421 going down"
    delivery = Delivery()

    assert delivery.send() is False
    assert delivery.failed == 1
    assert Mail.objects.filter(attempts=0).count() == 2
    mail_server.answer = lambda address: "250 OK"
    assert delivery.send() is False
    delivery.mail_server.until = 0
    assert delivery.send() is True
    assert (delivery.sent, delivery.mail_server.failures) == (2, 0)


def test_server_that_takes_few_mails_a_session_is_not_away(mail_server):
    mail_server.mails_a_session = 2
    bookings = [BookingFactory() for _ in range(7)]
    read_all()

    assert send_mails() == SendResult(sent=7)
    assert len(mail_server.told()) == len(bookings)
    assert set(Mail.objects.values_list("state", "attempts")) == {("sent", 1)}


def test_server_that_takes_nothing_in_a_session_is_away(mail_server):
    mail_server.mails_a_session = 0
    BookingFactory()
    read_all()

    assert send_mails() == SendResult(failed=1, is_server_gone=True)


def test_change_that_was_undone_before_it_was_sent_is_told_to_nobody(mail_server, admin_user):
    booking = BookingFactory(event=EventFactory(venue="Hall"))
    read_all()
    send_mails()
    for venue in ("Cellar", "Hall"):
        change_event(booking.event_id, changes={"venue": venue}, actor=admin_user)
        read_all()
        # Both are facts of one mail.
        Mail.objects.filter(state="waiting").update(happened_at=timezone.now())
    facts = [fact for mail in Mail.objects.filter(state="waiting").order_by("sequence") for fact in mail.facts]
    first, *others = Mail.objects.filter(state="waiting").order_by("sequence")
    Mail.objects.filter(pk__in=[mail.pk for mail in others]).delete()
    Mail.objects.filter(pk=first.pk).update(facts=facts)

    send_mails()

    assert len(mail_server.told()) == 1
    assert not Mail.objects.filter(state="waiting").exists()


class Clock:
    """Stands in for the module `time`. Only sleeping takes time."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("bookings.services.delivery.time", clock)
    return clock


@pytest.mark.parametrize(("took", "rest"), [(0, 0), (0.5, 1.5), (10, 3)])
def test_rest_is_three_times_as_long_as_the_work_and_three_seconds_at_most(clock, took, rest):
    delivery, began = Delivery(), clock.now
    delivery.is_growing = True
    clock.sleep(took)

    delivery.rest_since(began)

    assert clock.now - began - took == pytest.approx(rest, abs=0.1)


def test_process_that_is_to_stop_does_not_rest(clock):
    delivery, began = Delivery(is_stopping=lambda: True), clock.now
    delivery.is_growing = True
    clock.sleep(1)

    delivery.rest_since(began)

    assert clock.now - began == 1


def test_sales_go_first(mail_server, monkeypatch):
    rests = []
    monkeypatch.setattr("bookings.services.delivery.close_old_connections", lambda: None)
    monkeypatch.setattr("bookings.services.notifications.ENTRIES_A_PART", 1)
    delivery = Delivery()
    monkeypatch.setattr(delivery, "rest_since", lambda began: rests.append(delivery.is_growing))

    def rests_of_one_turn(*, read_seconds):
        rests.clear()
        monkeypatch.setattr("bookings.services.delivery.READ_SECONDS", read_seconds)
        delivery.run_once()
        return rests

    # At its start it knows of no growth. An event and its booking are two entries, which are two full parts.
    booking = BookingFactory()
    assert rests_of_one_turn(read_seconds=60) == [False, False]
    # More came than was read, so it rests after sending.
    BookingFactory(event=booking.event)
    assert rests_of_one_turn(read_seconds=0) == [True]
    # Nothing came since then, though something is left to read.
    assert rests_of_one_turn(read_seconds=0) == [False]
    assert rests_of_one_turn(read_seconds=60) == [False]


def test_pauses_double_while_the_server_is_away(mail_server, monkeypatch):
    mail_server.stop()
    BookingFactory()
    read_all()
    delivery, pauses = Delivery(), []
    now = [0.0]
    monkeypatch.setattr("bookings.services.delivery.time.monotonic", lambda: now[0])
    monkeypatch.setattr("bookings.services.delivery.send_mails", lambda **kwargs: SendResult(is_server_gone=True))

    for _ in range(9):
        delivery.send()
        pauses.append(delivery.mail_server.until - now[0])
        now[0] = delivery.mail_server.until

    for pause, average in zip(pauses, (1, 2, 4, 8, 16, 32, 60, 60, 60), strict=True):
        assert average / 2 <= pause <= average * 1.5


@pytest.mark.parametrize(
    ("error", "is_gone"),
    [
        (smtplib.SMTPServerDisconnected(), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (smtplib.SMTPDataError(421, b"bye"), True),
        (smtplib.SMTPDataError(550, b"spam"), False),
        (smtplib.SMTPRecipientsRefused({"a": (421, b"bye")}), True),
        (smtplib.SMTPRecipientsRefused({"a": (450, b"later")}), False),
        (ValueError(), False),
    ],
)
def test_refusal_of_one_mail_is_no_outage(error, is_gone):
    assert is_server_gone(error) is is_gone


def test_mail_that_cannot_be_written_keeps_no_other_from_leaving(mail_server, monkeypatch):
    broken, fine = BookingFactory(), BookingFactory()
    read_all()
    compose_mail = mails.compose_mail

    def fail(mail):
        if mail.booking_id == broken.pk:
            raise ValueError("broken template")
        return compose_mail(mail)

    monkeypatch.setattr(mails, "compose_mail", fail)

    assert send_mails() == SendResult(1, 1)
    assert mail_server.told()[0][0] == fine.email
    assert Mail.objects.get(booking=broken).error == "ValueError: broken template"


def test_address_of_a_former_holder_that_fails_holds_nobody_up(mail_server, admin_user):
    booking = BookingFactory(email="bad@example.org")
    transfer_booking(booking, holder=Holder("Grace", "", "grace@example.org"), actor=admin_user)
    read_all()
    mail_server.answer = lambda address: "550 no" if address.startswith("bad") else "250 OK"

    assert send_mails() == SendResult(1, 1)
    assert [to for to, _ in mail_server.told()] == ["grace@example.org"]


# Leases


def test_leased_mail_is_nobody_elses_until_the_lease_ends():
    BookingFactory()
    read_all()
    now = timezone.now()

    [mine] = lease_all(now)

    assert lease_all(now + LEASE - timedelta(seconds=1)) == []
    [theirs] = lease_all(now + LEASE + timedelta(seconds=1))
    assert theirs.pk == mine.pk
    # The first process was only slow: what it writes now counts no more.
    mine.mark_sent()
    mine.postpone("no")
    mine.store_error("no")
    mine.delete_leased()
    release([mine])
    mail = Mail.objects.get()
    assert (mail.state, mail.lease, mail.attempts, mail.error) == ("waiting", theirs.lease, 0, "")


def test_stop_gives_back_what_was_not_sent(mail_server):
    for _ in range(3):
        BookingFactory()
    read_all()
    answers = iter([False, True])

    assert send_mails(is_stopping=lambda: next(answers)) == SendResult(sent=1)

    assert Mail.objects.filter(state="waiting", lease=None, due_at__lte=timezone.now()).count() == 2


def test_nothing_is_sent_when_the_lease_is_nearly_over(mail_server, monkeypatch):
    for _ in range(3):
        BookingFactory()
    read_all()
    now = [1000.0]
    monkeypatch.setattr(ticks.mails.time, "monotonic", lambda: now[0])

    def take_long():
        now[0] += 181

    mail_server.on_mail = take_long

    assert send_mails() == SendResult(sent=1)
    assert Mail.objects.filter(lease=None, state="waiting").count() == 2


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_leases_at_once_share_the_mails_and_wait_for_none():
    for _ in range(60):
        BookingFactory()
    read_all()
    with transaction.atomic():
        locked = Mail.objects.order_by("pk").select_for_update()[:10]
        held = [mail.pk for mail in locked]
        [others] = run_together(1, lambda _: lease_all(timezone.now(), 60))
        assert not {mail.pk for mail in others} & set(held)

    leases = run_together(6, lambda _: lease_all(timezone.now(), 5))

    assert not [one for one in leases if isinstance(one, Exception)]
    ids = [mail.pk for one in [others, *leases] for mail in one]
    assert len(ids) == len(set(ids))


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_senders_at_once_send_nothing_twice(mail_server):
    for _ in range(80):
        BookingFactory()
    read_all()

    outcomes = run_together(4, lambda _: [send_mails() for _ in range(4)])

    assert not [one for one in outcomes if isinstance(one, Exception)]
    assert sum(outcome.sent for one in outcomes for outcome in one) == 80
    assert len(mail_server.mails) == len(set(mail_server.identities())) == 80


def test_statements_of_a_lease_are_few_for_any_number(django_assert_max_num_queries):
    for _ in range(20):
        BookingFactory()
    read_all()

    with django_assert_max_num_queries(5):
        assert len(lease_all(timezone.now())) == 20


# Again


def test_latest_mail_is_sent_again_under_another_identity(mail_server, admin_user):
    booking = BookingFactory(email="ada@example.org")
    transfer_booking(booking, holder=Holder("Grace", "", "grace@example.org"), actor=admin_user)
    read_all()
    send_mails()
    booking.refresh_from_db()

    send_mail_again(booking)
    send_mail_again(booking)
    assert send_mails() == SendResult(1)

    mail = Mail.objects.get(email="grace@example.org")
    assert (mail.state, mail.attempts, mail.repeats) == ("sent", 1, 2)
    assert [to for to, _ in mail_server.told()] == ["ada@example.org", "grace@example.org", "grace@example.org"]
    assert len(set(mail_server.identities())) == 3


def test_mail_that_was_given_up_can_be_sent_again(mail_server):
    booking = BookingFactory()
    read_all()
    Mail.objects.update(state="given_up", attempts=30, error="no", give_up_at=timezone.now() - timedelta(days=9))

    send_mail_again(booking)

    assert send_mails() == SendResult(1)
    assert (Mail.objects.get().state, Mail.objects.get().error) == ("sent", "")


def test_nothing_is_sent_again_while_it_is_being_sent_or_where_nothing_was():
    booking = BookingFactory()
    with pytest.raises(NothingToSend):
        send_mail_again(booking)
    read_all()
    lease_all(timezone.now())

    with pytest.raises(NothingToSend, match="is being sent"):
        send_mail_again(booking)


# Pruning


def test_old_mails_and_former_holders_are_pruned_and_waiting_ones_kept(admin_user):
    event = EventFactory()
    bookings = [BookingFactory(event=event) for _ in range(4)]
    transfer_booking(bookings[0], holder=Holder("Grace", "", "grace@example.org"), actor=admin_user)
    read_all()
    now = timezone.now()
    old = now - timedelta(days=31)
    states = ["sent", "given_up", "waiting", "sent"]
    for booking, state in zip(bookings, states, strict=True):
        when = now if booking == bookings[3] else old
        values = {"state": state, "due_at": when, "sent_at": when if state == "sent" else None}
        Mail.objects.filter(booking=booking).update(**values)

    found = [set(rows.values_list("booking", flat=True)) for rows in expired_mail_rows(now)]

    assert found == [{bookings[0].pk, bookings[1].pk}, set()]
    assert expired_mail_rows(now + timedelta(days=31))[1].count() == 1
