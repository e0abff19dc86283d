import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from django.db import connection

from accounts.models import LoginSession, User
from bookings.management.commands import rehearse as rehearse_command
from bookings.rehearsal import alone as alone_module
from bookings.rehearsal import scratch
from bookings.rehearsal.alone import alone
from bookings.rehearsal.crowd import Connection, Crowd, Fate
from bookings.rehearsal.deployment import deployment_at
from bookings.rehearsal.desk import Desk, WrongEvent
from bookings.rehearsal.removal import keep, left_overs
from bookings.rehearsal.scratch import Buyer
from bookings.rehearsal.verdict import broken_promises
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.events import cancel_event
from bookings.tests.factories import EventFactory
from bookings.tests.rehearsal.rehearsing import refused, rehearse
from bookings.tests.state import digest_of_all_tables
from events.models import Event

pytestmark = pytest.mark.django_db(transaction=True)


NOBODY = Buyer(1, "token")


@pytest.fixture(autouse=True)
def _own_lock(tmp_path, settings):
    settings.LOCAL_DIR = tmp_path / ".local"


def test_clean_deletes_what_is_left_and_nothing_else():
    event = EventFactory(name="Rehearsal of a play")
    person = User.objects.create_user("rehearsal-fan", "fan@example.org", None)
    book_tickets(BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", user=person), key="k")
    before = digest_of_all_tables()
    copy = scratch.open_copy(event, run="ab12")
    buyers = scratch.hire("ab12", numbers=range(3))
    for user in [*User.objects.filter(pk__in=[buyer.user_id for buyer in buyers]), person, None]:
        book_tickets(BookingRequest(event_id=copy.pk, tickets=1, first_name="Ada", user=user), key="of the copy")

    said = rehearse(clean=True)

    assert (
        said == "Deleted what earlier rehearsals had left: 1 copy of an event, its bookings (5) and its accounts (4).\n"
    )
    assert digest_of_all_tables() == before
    assert rehearse(clean=True) == "No rehearsal has left anything.\n"


def test_kept_rehearsal_stays_until_it_is_asked_for():
    copy = scratch.open_copy(EventFactory(), run="ab12")
    scratch.hire("ab12", numbers=range(1))

    keep("ab12")

    copy.refresh_from_db()
    assert copy.deleted_at is not None
    assert not LoginSession.objects.exists()
    assert list(scratch.accounts_of("ab12").values_list("is_active", flat=True)) == [False, False]
    assert left_overs(kept_too=False) == []
    assert left_overs(kept_too=True) == ["ab12"]


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
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            said = refused(event.pk, buyers=2, seconds=1, url=f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()

    assert "does not know the copy (it answers 200)" in said
    assert [path.rpartition("/")[0] for path in asked] == ["", "/api/v1/event"]
    assert digest_of_all_tables() == before


@pytest.mark.parametrize("typed", ["concert", "", EOFError])
def test_on_a_terminal_the_name_of_the_event_is_asked_for(monkeypatch, typed):
    def answer(question):
        assert question == "Type the event's name to go on (Concert): "
        if typed is EOFError:
            raise EOFError
        return typed

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(rehearse_command, "refuse_unready", lambda deployment: None)
    event = EventFactory(name="Concert")
    before = digest_of_all_tables()

    said = refused(event.pk)

    assert said == "That is not the event's name; nothing was done."
    assert digest_of_all_tables() == before


def test_second_rehearsal_at_once_is_refused():
    with alone():
        assert refused(clean=True) == "Another rehearsal is running on this database; wait until it ends."
    assert rehearse(clean=True) == "No rehearsal has left anything.\n"


# What leaves for the server


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


@pytest.mark.mariadb
def test_second_rehearsal_from_another_machine_is_refused(monkeypatch, tmp_path, settings):
    elsewhere = connection.copy()
    monkeypatch.setattr(alone_module, "connection", elsewhere)
    with alone():
        monkeypatch.undo()
        settings.LOCAL_DIR = tmp_path / "of another machine"

        assert refused(clean=True) == "Another rehearsal is running on this database; wait until it ends."

        monkeypatch.setattr(alone_module, "connection", elsewhere)
    elsewhere.close()


def test_broken_promises_are_counted_by_kind(desk):
    crowd = Crowd([Buyer(number, "token") for number in range(1, 6)], desk, seconds=1, tickets=(2, 2))
    for order, booking_id in zip(crowd.orders, (11, 12, 13, None, None), strict=True):
        order.booking_id = booking_id
    crowd.orders[3].fate = Fate.REFUSED
    by_buyer = {order.buyer.user_id: order for order in crowd.orders}
    kept = [(11, 1, 2), (12, 2, 2), (13, 3, 2)]

    def broken(*rows):
        return broken_promises(list(rows), by_buyer)

    assert broken(*kept) == []
    # An answer that was lost on its way breaks no promise.
    assert broken(*kept, (15, 5, 2)) == []
    assert broken(*kept[:2]) == ["acknowledged bookings that are not stored: 1"]
    assert broken(*kept[:2], (13, 3, 1)) == [
        "bookings stored for another buyer or number of tickets than was answered: 1"
    ]
    assert broken(*kept, (14, 1, 2)) == ["second bookings of a buyer who asked for one: 1"]
    assert broken(*kept, (14, 4, 2)) == ["bookings stored of buyers who were refused: 1"]
