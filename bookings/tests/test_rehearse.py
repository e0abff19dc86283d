import json
import os
import re
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from accounts.models import LoginSession, User
from bookings.models import Booking, LedgerEntry
from bookings.rehearsal import crowd as crowds
from bookings.rehearsal import run as runs
from bookings.rehearsal import scratch
from bookings.rehearsal.alone import alone
from bookings.rehearsal.crowd import Connection, Crowd, Fate
from bookings.rehearsal.deployment import deployment_at
from bookings.rehearsal.desk import Desk, WrongEvent
from bookings.rehearsal.scratch import Buyer
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.events import cancel_event
from bookings.tests.factories import EventFactory
from bookings.tests.state import digest_of_all_tables
from events.models import Event
from ticks.tests.served import DATABASE, PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_lock(tmp_path, settings):
    settings.LOCAL_DIR = tmp_path / ".local"


@pytest.fixture
def served(transactional_db, start, port, tmp_path, settings):
    """A running server with the demo's events; this process, too, then uses its database. Yields its address."""
    start(SECRET_KEY=settings.SECRET_KEY, JWT_SECRET=settings.JWT_SECRET)
    usual = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(tmp_path / "served.sqlite3") if connection.vendor == "sqlite" else DATABASE
    yield f"http://127.0.0.1:{port}"
    connection.close()
    connection.settings_dict["NAME"] = usual


def rehearse(event=None, **options):
    out = StringIO()
    # As from a shell, where all options are texts.
    given = {name: value if isinstance(value, bool) else str(value) for name, value in options.items()}
    call_command("rehearse", *([] if event is None else [str(event)]), stdout=out, **given)
    return out.getvalue()


def refused(event=None, **options):
    with pytest.raises(CommandError) as caught:
        rehearse(event, **options)
    return str(caught.value)


def demo(name):
    return Event.objects.get(name=name)


def figure(said, label):
    return re.search(rf"^ *{label} +(.*)$", said, re.MULTILINE)[1].strip()


# Rehearsals on a real server


def test_rehearsal_tells_what_the_database_holds(served):
    event = demo("Chef's Table")
    before = digest_of_all_tables()

    said = rehearse(event.pk, buyers=20, seconds=2, tickets=1, url=served, keep=True)

    copy = Event.objects.get(name="Rehearsal of Chef's Table")
    bookings = Booking.objects.filter(event=copy)
    entries = LedgerEntry.objects.filter(event=copy)
    assert copy.pk != event.pk
    assert (copy.total_tickets, copy.waitlist_policy, copy.waitlist_enabled) == (12, "strict", True)
    assert copy.deleted_at is not None
    assert bookings.filter(status="cancelled").count() == 20
    assert [entries.filter(kind=kind).count() for kind in ("booked", "waitlisted")] == [12, 8]
    assert figure(said, "Tickets sold") == "12 of 12 (100 %)"
    assert figure(said, "Oversold") == "0"
    assert figure(said, "Buyers") == "20"
    assert figure(said, "got tickets") == "12"
    assert figure(said, "waitlisted") == "8"
    assert figure(said, "refused") == "0"
    assert 0 <= float(figure(said, "Sold out after").removesuffix(" s")) < 10
    assert re.fullmatch(r"(\d+ ms +){3}\d+ ms", figure(said, "bookings"))
    assert "IN ORDER: nothing oversold; 20 bookings acknowledged, and all of them stored.\n" in said
    assert "No request was refused or lost.\n" in said
    assert said.endswith(f"Kept: event {copy.pk}, cancelled, and its accounts; --clean deletes them.\n")
    assert not scratch.accounts_of().filter(is_active=True).exists()
    assert not LoginSession.objects.exists()

    said = rehearse(clean=True)

    assert said.endswith(": 1 copy of an event, its bookings (20) and its accounts (21).\n")
    assert digest_of_all_tables() == before


def test_rehearsal_leaves_nothing_and_the_event_untouched(served, monkeypatch):
    monkeypatch.setattr(crowds, "THINK_SECONDS", (0, 0.1))
    event = demo("Members' Rehearsal")
    before = digest_of_all_tables()

    said = rehearse(event.pk, buyers=20, seconds=1, tickets=2, connections=3, url=served)

    assert digest_of_all_tables() == before
    assert figure(said, "Tickets sold") == "20 of 20 (100 %)"
    assert figure(said, "refused") == "10"
    assert "Refused requests\n      10  409 sold_out: sold out, and the event has no waitlist\n" in said
    assert said.endswith("1 copy of an event, its bookings (10) and its accounts (21).\n")


def test_rehearsal_that_oversells_fails_and_says_so(served, monkeypatch):
    monkeypatch.setattr(crowds, "THINK_SECONDS", (0, 0.1))
    event = demo("Chef's Table")
    before = digest_of_all_tables()
    drive = runs.drive

    def drive_and_damage(*args, **options):
        tally = drive(*args, **options)
        sold = Booking.objects.filter(event__name="Rehearsal of Chef's Table", status="completed")
        sold.update(tickets_reserved=F("tickets_reserved") + 1)
        gone = sold.last()
        LedgerEntry.objects.filter(booking=gone)._raw_delete(connection.alias)
        gone.delete()
        return tally

    monkeypatch.setattr(runs, "drive", drive_and_damage)
    out = StringIO()

    with pytest.raises(CommandError, match=r"^The rehearsal found bookings that are not in order; see above\.$"):
        call_command("rehearse", str(event.pk), buyers=20, seconds=1, tickets="1", url=served, stdout=out)

    said = out.getvalue()
    assert "NOT IN ORDER\n  oversold: 22 tickets held of 12\n" in said
    assert "\n  acknowledged bookings that are not stored: 1\n" in said
    assert "\n  bookings stored for another buyer or number of tickets than was answered: 11\n" in said
    assert figure(said, "Oversold") == "10"
    assert "IN ORDER: nothing" not in said
    assert digest_of_all_tables() == before


def test_interrupted_or_killed_rehearsal_is_cleaned_up(served, tmp_path, settings):
    event = demo("Night of the Cellos")
    before = digest_of_all_tables()

    def begin():
        name = connection.settings_dict["NAME"]
        url = os.environ.get("DATABASE_URL", "").partition("?")
        if connection.vendor == "sqlite":
            url = f"sqlite:///{name}"
        else:
            url = f"{url[0].rpartition('/')[0]}/{name}{url[1]}{url[2]}"
        environment = os.environ | {
            "TICKS_ENV_FILE": "",
            "DATABASE_URL": url,
            "LOCAL_DIR": str(settings.LOCAL_DIR),
            "LOG_DIR": str(tmp_path / "logs"),
            "SECRET_KEY": settings.SECRET_KEY,
            "JWT_SECRET": settings.JWT_SECRET,
        }
        command = [str(settings.BASE_DIR / "manage.py"), "rehearse", str(event.pk), "--buyers", "50", "--url", served]
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # Whoever runs the tests in the background has their children ignore it.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        said = ""
        while "On sale" not in said:
            line = process.stdout.readline()
            assert line, process.communicate(timeout=PATIENCE_SECONDS)
            said += line
        return process, said

    process, _ = begin()
    said = refused(event.pk, url=served)
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)

    assert said == "Another rehearsal is running on this database; wait until it ends."
    assert User.objects.filter(username__startswith="rehearsal:").count() == 51
    assert Event.objects.filter(name="Rehearsal of Night of the Cellos").count() == 1

    process, said = begin()
    process.send_signal(signal.SIGINT)
    rest, error = process.communicate(timeout=PATIENCE_SECONDS)

    assert re.match(r"Deleted what earlier rehearsals had left: 1 copy of an event, .* its accounts \(51\)\.\n", said)
    assert rest == "Removing what was made ...\n"
    assert error == "CommandError: Interrupted.\n"
    assert process.returncode == 130
    assert digest_of_all_tables() == before


# Without a server


def test_clean_deletes_what_is_left_and_nothing_else():
    event = EventFactory(name="Rehearsal of a play")
    person = User.objects.create_user("rehearsal-fan", "fan@example.org", None)
    book_tickets(BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", user=person), key="k")
    before = digest_of_all_tables()
    copy = scratch.open_copy(event, run="ab12")
    buyers = scratch.hire_buyers("ab12", count=3, on_progress=lambda done: None)
    for user in [*User.objects.filter(pk__in=[buyer.user_id for buyer in buyers]), person, None]:
        book_tickets(BookingRequest(event_id=copy.pk, tickets=1, first_name="Ada", user=user), key="of the copy")

    said = rehearse(clean=True)

    assert (
        said == "Deleted what earlier rehearsals had left: 1 copy of an event, its bookings (5) and its accounts (4).\n"
    )
    assert digest_of_all_tables() == before
    assert rehearse(clean=True) == "No rehearsal has left anything.\n"


def test_copy_is_on_sale_under_the_same_terms():
    event = EventFactory(
        name="x" * 200, total_tickets=7, max_tickets_per_booking=2, waitlist_enabled=False, waitlist_policy="strict"
    )
    Event.objects.filter(pk=event.pk).update(sales_end=event.created_at)
    event.refresh_from_db()

    copy = scratch.open_copy(event, run="ab12")

    assert copy.name == f"Rehearsal of {'x' * 187}"
    assert copy.description.startswith("Not for sale.")
    assert (copy.sales_start, copy.sales_end) == (None, None)
    for name in ("total_tickets", "max_tickets_per_booking", "waitlist_enabled", "waitlist_policy"):
        assert getattr(copy, name) == getattr(event, name)


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("buyers", "0", "--buyers is '0'; give a whole number from 1 to 50000."),
        ("buyers", "50001", "--buyers is '50001'; give a whole number from 1 to 50000."),
        ("seconds", "601", "--seconds is '601'; give a whole number from 1 to 600."),
        ("seconds", "1.5", "--seconds is '1.5'; give a whole number from 1 to 600."),
        ("connections", "501", "--connections is '501'; give a whole number from 1 to 500."),
        ("tickets", "5", "--tickets is '5'; give a size such as 2, or a range such as 1-4, from 1 to 4."),
        ("tickets", "3-2", "--tickets is '3-2'; give a size such as 2, or a range such as 1-4, from 1 to 4."),
        ("tickets", "1-4", "--tickets is '1-4', but this event sells at most 3 at once; give no more."),
        ("url", "https://127.0.0.1:1", "--url is 'https://127.0.0.1:1'; give plain http, "),
        ("url", "http://127.0.0.1:1/api", "--url is 'http://127.0.0.1:1/api'; give plain http, "),
        ("url", "http://127.0.0.1:x", "--url is 'http://127.0.0.1:x'; give plain http, "),
        ("url", "http://127.0.0.1:1", "Nothing answers at http://127.0.0.1:1; start the server (manage.py serve), "),
    ],
)
def test_rehearse_refuses_bad_options_in_one_sentence(option, value, sentence):
    event = EventFactory(max_tickets_per_booking=3)
    before = digest_of_all_tables()

    said = refused(event.pk, **{"url": "http://127.0.0.1:1", option: value})

    assert said.startswith(sentence)
    assert digest_of_all_tables() == before


def test_rehearse_refuses_an_event_that_does_not_stand():
    event = EventFactory()
    copy = scratch.open_copy(event, run="ab12")
    cancel_event(event.pk, actor=event.created_by)

    assert refused(10**6) == "There is no event 1000000; give the id of one."
    assert refused("x") == "There is no event x; give the id of one."
    assert refused() == "EVENT is missing; name the id of the event to rehearse."
    assert refused(event.pk) == f"Event {event.pk} is cancelled; rehearse one that stands."
    assert refused(copy.pk) == f"Event {copy.pk} is itself a rehearsal; name the real event."


def test_server_of_another_database_gets_no_booking():
    event = EventFactory()
    before = digest_of_all_tables()
    asked = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = json.dumps({"data": {"description": "Somebody's real event"}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        said = refused(event.pk, buyers=2, seconds=1, url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()

    assert "does not know the copy (it answers 200)" in said
    assert [path.rpartition("/")[0] for path in asked] == ["", "/api/v1/event"]
    assert digest_of_all_tables() == before


def test_second_rehearsal_at_once_is_refused():
    with alone():
        assert refused(clean=True) == "Another rehearsal is running on this database; wait until it ends."
    assert rehearse(clean=True) == "No rehearsal has left anything.\n"


# What leaves for the server

NOBODY = Buyer(1, "token")


@pytest.fixture
def desk():
    return Desk(deployment_at("http://127.0.0.1:8000"), copy_id=7, real_id=5)


def test_desk_sends_nothing_for_the_real_event(desk):
    assert desk.look(NOBODY).startswith(b"GET /api/v1/booking/status/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert json.loads(desk.book(NOBODY, tickets=2, key="k", number=1).partition(b"\r\n\r\n")[2])["eventId"] == 7

    desk.copy_id = 5

    for send in (lambda: desk.look(NOBODY), lambda: desk.book(NOBODY, tickets=2, key="k", number=1)):
        with pytest.raises(WrongEvent):
            send()
    with pytest.raises(WrongEvent):
        Desk(desk.deployment, copy_id=5, real_id=5)


@pytest.mark.parametrize(
    "wire", [b"GET /api/v1/booking/status/8 HTTP/1.1\r\n\r\n", b"GET /api/v1/event/5 HTTP/1.1\r\n\r\n"]
)
def test_desk_sends_nothing_for_any_other_event(desk, wire):
    with pytest.raises(WrongEvent):
        desk.checked(wire)


def test_behind_https_a_request_looks_as_the_proxy_passes_it_on(settings):
    settings.HTTPS = True
    settings.ALLOWED_HOSTS = [".tickets.example.org"]

    desk = Desk(deployment_at("http://127.0.0.1:8000"), copy_id=7, real_id=5)

    head = desk.look(NOBODY).decode().split("\r\n")
    assert "Host: tickets.example.org" in head
    assert "X-Forwarded-Proto: https" in head


def test_buyer_tries_again_with_the_key_when_told_to(desk):
    connection = Connection(Crowd([NOBODY], desk, seconds=60, tickets=(1, 1)))
    crowd = connection.crowd
    order = crowd.orders[0]
    booked = json.dumps({"data": {"id": 3, "bookingStatus": "completed"}}).encode()

    def send():
        # Time passes.
        assert connection.next() <= order.due
        crowd.began -= order.due - crowd.now()
        return connection.next()

    looked = send()
    connection.took(200, b"{}", 0.1, b"HTTP/1.1 200 OK")
    first = send()
    connection.took(503, b'{"code": "busy", "message": "Later."}', 0.1, b"HTTP/1.1 503 X\r\nRetry-After: 7")
    waits_told = order.due - crowd.now()
    second = send()
    connection.lost()
    waits_lost = order.due - crowd.now()
    third = send()
    connection.took(201, booked, 0.1, b"HTTP/1.1 201 Created")

    assert looked.startswith(b"GET ")
    assert first.startswith(b"POST ")
    assert first == second == third
    assert f"Idempotency-Key: {order.key}\r\n".encode() in first
    assert 6.9 < waits_told < 7.6
    assert 0.2 < waits_lost < 1.1
    assert (order.fate, order.booking_id, order.attempts) == (Fate.SOLD, 3, 3)
    assert (crowd.refusals, crowd.lost) == ({(503, "busy"): 1}, 1)
    assert connection.next() is None


def test_nobody_comes_after_the_time_but_who_came_finishes(desk):
    crowd = Crowd([NOBODY, Buyer(2, "token")], desk, seconds=10, tickets=(1, 1))
    connection = Connection(crowd)
    connection.next()
    crowd.began -= 20
    connection.next()
    connection.took(200, b"{}", 0.1, b"HTTP/1.1 200 OK")

    connection.next()

    assert sorted(order.fate.name for order in crowd.orders) == ["NOT_BEGUN", "TRYING"]
    assert connection.order.fate is Fate.TRYING
