"""`manage.py deliver`, started as an operator starts it, with a real mail server: several at once, killed, stopped."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from bookings.management.commands.deliver import NICENESS
from bookings.outbox import DeliveryPosition, Mail
from bookings.services import notifications
from bookings.services.cancellation import cancel_tickets
from bookings.services.delivery import Delivery
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import by_mail
from ticks.tests.served import TIMEOUT_SECONDS, children_of, stored_rows, wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def output_of(process):
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    return process.returncode, said


def test_deliver_tells_what_happens_until_it_is_stopped(deliver, mail_server):
    process = deliver(**by_mail(mail_server))
    event = EventFactory(name="Gala", total_tickets=2)
    ada = BookingFactory(event=event, tickets=2, email="ada@example.org")
    BookingFactory(event=event, tickets=1, email="grace@example.org")
    wait_until(lambda: len(mail_server.mails) == 2)
    priority = os.getpriority(os.PRIO_PROCESS, process.pid)
    cancel_tickets(ada, actor=ada.user)
    wait_until(lambda: len(mail_server.mails) == 4)
    wait_until(lambda: not Mail.objects.exclude(state="sent").exists())
    process.send_signal(signal.SIGTERM)

    code, said = output_of(process)

    assert code == 0
    # A server on the same machine goes first.
    assert priority == os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    assert said.startswith(f"Delivering. Mails go to 127.0.0.1, port {mail_server.port}.\n")
    told = mail_server.told()
    assert sorted(told[:2]) == [
        ("ada@example.org", "Your tickets for Gala"),
        ("grace@example.org", "You are on the waitlist for Gala"),
    ]
    assert sorted(told[2:]) == [
        ("ada@example.org", "Your booking for Gala is cancelled"),
        ("grace@example.org", "Your tickets for Gala"),
    ]
    first = mail_server.mails[0]
    assert (first["From"], first["Auto-Submitted"]) == ("Ticks <tickets@example.org>", "auto-generated")


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGHUP])
def test_deliver_ends_gently_by_any_signal(deliver, mail_server, signal_number):
    process = deliver(**by_mail(mail_server))
    BookingFactory()
    wait_until(lambda: mail_server.mails)
    process.send_signal(signal_number)

    assert output_of(process)[0] == 0


def test_once_does_what_there_is_and_ends(deliver, mail_server):
    for _ in range(3):
        BookingFactory()

    code, said = output_of(deliver("--once", **by_mail(mail_server)))

    assert (code, said) == (0, "Sent 3 mails.\n")
    assert len(mail_server.mails) == 3


@pytest.mark.embedded
def test_without_a_mail_server_the_embedded_database_writes_files(deliver, tmp_path):
    booking = BookingFactory(email="ada@example.org")

    code, _ = output_of(deliver("--once", MAIL_DELAY_SECONDS="0", LOCAL_DIR=str(tmp_path / "local"), EMAIL_URL=""))

    [written] = (tmp_path / "local" / "mails").iterdir()
    assert code == 0
    assert "To: ada@example.org" in written.read_text()
    assert booking.reference in written.read_text()


@pytest.mark.mariadb
def test_without_a_mail_server_another_database_tells_nobody_and_goes_on(deliver, mail_server):
    BookingFactory()

    assert output_of(deliver("--once", EMAIL_URL=""))[0] == 0
    assert notifications.events_with_news() == {}
    later = BookingFactory(email="ada@example.org")
    assert output_of(deliver("--once", **by_mail(mail_server)))[0] == 0

    assert Mail.objects.get().booking_id == later.pk
    assert [to for to, _ in mail_server.told()] == ["ada@example.org"]


@pytest.mark.mariadb
def test_two_processes_at_once_send_nothing_twice(deliver, mail_server):
    events = [EventFactory(total_tickets=100) for _ in range(4)]
    processes = [deliver(**by_mail(mail_server)) for _ in range(2)]
    bookings = [BookingFactory(event=events[number % 4]) for number in range(200)]
    wait_until(lambda: Mail.objects.filter(state="sent").count() == 200, seconds=60)
    for process in processes:
        process.send_signal(signal.SIGTERM)

    assert [output_of(process)[0] for process in processes] == [0, 0]
    assert sorted(to for to, _ in mail_server.told()) == sorted(booking.email for booking in bookings)


def test_killed_between_sending_and_marking_sends_at_most_one_mail_again(deliver, mail_server):
    bookings = [BookingFactory() for _ in range(6)]
    killed = threading.Event()

    def kill():
        # The mail is accepted, and the process learns of it no more.
        if len(mail_server.mails) == 3 and not killed.is_set():
            killed.set()
            os.kill(process.pid, signal.SIGKILL)

    mail_server.on_mail = kill
    process = deliver(**by_mail(mail_server))
    assert killed.wait(TIMEOUT_SECONDS)
    process.wait(TIMEOUT_SECONDS)
    assert Mail.objects.filter(state="sent").count() == 2
    # The leases of the dead process end.
    Mail.objects.filter(state="waiting").update(due_at=timezone.now())

    assert output_of(deliver("--once", **by_mail(mail_server)))[0] == 0

    told = [to for to, _ in mail_server.told()]
    assert set(told) == {booking.email for booking in bookings}
    assert len(told) == 7
    # Whoever reads mails by their identity sees one.
    assert len(set(mail_server.identities())) == 6


def test_killed_while_it_reads_loses_nothing(deliver, mail_server):
    event = EventFactory(total_tickets=500)
    bookings = [BookingFactory(event=event) for _ in range(60)]
    for _ in range(3):
        process = deliver(**by_mail(mail_server))
        wait_until(DeliveryPosition.objects.exists)
        process.kill()
        process.wait(TIMEOUT_SECONDS)
    Mail.objects.filter(state="waiting").update(due_at=timezone.now())

    assert output_of(deliver("--once", **by_mail(mail_server)))[0] == 0

    told = [to for to, _ in mail_server.told()]
    assert set(told) == {booking.email for booking in bookings}
    assert len(told) <= 60 + 3


def test_mail_server_that_comes_back_gets_all_in_order(deliver, mail_server):
    mail_server.stop()
    process = deliver(**by_mail(mail_server))
    bookings = [BookingFactory(tickets=2) for _ in range(3)]
    for booking in bookings:
        cancel_tickets(booking, tickets=1, actor=booking.user)
    wait_until(lambda: Mail.objects.exclude(error="").exists())
    mail_server.start()
    wait_until(lambda: Mail.objects.filter(state="sent").count() == 6)
    process.send_signal(signal.SIGTERM)

    assert output_of(process)[0] == 0
    for booking in bookings:
        subjects = [subject for to, subject in mail_server.told() if to == booking.email]
        assert [subject.split(" ")[0] for subject in subjects] == ["Your", "Fewer"]


def test_deliver_goes_on_when_a_turn_fails(mail_server, monkeypatch, at_once):
    broken, fine = BookingFactory(), BookingFactory()
    read_part = notifications.read_part

    def fail(event_id):
        if event_id == broken.event_id:
            raise RuntimeError
        return read_part(event_id)

    delivery = Delivery()
    with monkeypatch.context() as patch:
        patch.setattr("bookings.services.delivery.read_part", fail)
        assert delivery.run_once() is True
        patch.setattr("bookings.services.delivery.events_with_news", fail)
        patch.setattr("bookings.services.delivery.send_mails", fail)
        assert delivery.run_once() is False
    # It pauses, so that it does not ask a database that is gone again and again.
    assert delivery.run_once() is False
    assert [to for to, _ in mail_server.told()] == [fine.email]
    assert Mail.objects.count() == 1
    delivery.database.until = 0
    while delivery.run_once():
        pass

    assert [to for to, _ in mail_server.told()] == [fine.email, broken.email]


def test_log_names_no_address_and_no_error_text(deliver, mail_server, tmp_path):
    mail_server.answer = lambda address: f"550 {address} is unknown"
    BookingFactory(email="ada@example.org")

    code, said = output_of(deliver("--once", **by_mail(mail_server)))

    assert (code, said.splitlines()[-1]) == (0, "Sent 0 mails. 1 attempt failed and will be repeated.")
    logged = (tmp_path / "logs" / "combined.log").read_text() + said
    assert "failed (SMTPRecipientsRefused) and is tried again later" in logged
    assert "ada@example.org" not in logged
    assert "is unknown" in Mail.objects.get().error


@pytest.mark.parametrize("is_killed", [False, True])
def test_deliver_beside_a_server_ends_with_it(start, port, mail_server, tmp_path, is_killed):
    server = start("--prepare", "--demo", "--deliver", **by_mail(mail_server), WORKERS="1")
    beside = [child for child in children_of(server) if "deliver" in words_of(child)]
    assert len(beside) == 1

    server.send_signal(signal.SIGKILL if is_killed else signal.SIGTERM)
    server.wait(TIMEOUT_SECONDS)

    try:
        wait_until(lambda: not is_running(beside[0]), seconds=12)
    finally:
        with suppress(ProcessLookupError):
            os.kill(beside[0], signal.SIGKILL)
    # The demo's people are made up.
    assert mail_server.mails == []
    assert len(stored_rows(tmp_path, "bookings_deliveryposition", "event_id")) == 12


def words_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_serve_says_where_mails_go(start, port, tmp_path):
    process = start("--prepare", EMAIL_URL="")
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    if connection.vendor == "sqlite":
        files = f"EMAIL_URL is not set, so mails are written to files in {tmp_path}/.local/mails."
        assert f"{files} manage.py deliver sends them.\n" in said
    else:
        assert "EMAIL_URL is not set, so nobody is told anything by mail" in said


@pytest.mark.embedded
def test_deliver_refuses_another_database(tmp_path):
    ended = subprocess.run(
        [sys.executable, "manage.py", "deliver", "--once"],
        cwd=settings.BASE_DIR,
        env=os.environ | {"TICKS_ENV_FILE": "", "DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}"},
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 1
    assert re.search(r"The database is older than this version of Ticks", ended.stderr)


def test_booking_runs_no_statement_on_the_tables_of_mails():
    """Bookings cost what they did before there were mails."""
    event = EventFactory()
    statements = []

    def remember(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(remember):
        booking = BookingFactory(event=event)
        cancel_tickets(booking, actor=booking.user)

    tables = [model._meta.db_table for model in (Mail, DeliveryPosition)]
    assert not [sql for sql in statements if any(table in sql for table in tables)]


def test_event_with_much_news_keeps_no_other_waiting(monkeypatch, mails_on):
    read = []

    def endless(event_id):
        read.append(event_id)
        return 1

    events = [EventFactory().pk for _ in range(3)]
    monkeypatch.setattr("bookings.services.delivery.read_part", endless)
    Delivery(is_stopping=lambda: len(read) >= 9).read()

    assert read == events * 3
