import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from django.db import connection

from accounts.models import User
from bookings.management.commands.rehearse import broken_promises, lock_rehearsals
from bookings.models import LedgerEntry
from bookings.outbox import DeliveryPosition
from bookings.rehearsal import crowd as crowds
from bookings.rehearsal.copy import make_buyers, open_copy
from bookings.rehearsal.crowd import Crowd, Server
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.events import cancel_event
from bookings.tests.factories import EventFactory
from bookings.tests.rehearsal.rehearsing import refused, rehearse
from bookings.tests.state import digest_of_all_tables
from events.models import Event
from ticks.load import ServerAnswer

pytestmark = pytest.mark.django_db(transaction=True)

RUNNING = "Another rehearsal is running here; wait until it ends."


@pytest.fixture(autouse=True)
def _own_lock(tmp_path, settings):
    settings.LOCAL_DIR = tmp_path / ".local"


def test_clean_deletes_what_is_left_and_nothing_else():
    event = EventFactory(name="Rehearsal of a play")
    person = User.objects.create_user("rehearsal-fan", "fan@example.org", None)
    book_tickets(BookingRequest(event_id=event.pk, tickets=1, first_name="Ada", user=person), key="k")
    before = digest_of_all_tables()
    copy = open_copy(event)
    buyers = make_buyers(3)
    for user in [*User.objects.filter(pk__in=[user_id for user_id, _ in buyers]), person, None]:
        book_tickets(BookingRequest(event_id=copy.pk, tickets=1, first_name="Ada", user=user), key="of the copy")

    output = rehearse(clean=True)

    assert output == "Deleted what an earlier rehearsal had left: 1 event, 5 bookings, 4 accounts.\n"
    assert digest_of_all_tables() == before
    assert rehearse(clean=True) == "No rehearsal has left anything.\n"


def test_copy_is_on_sale_under_the_same_terms():
    event = EventFactory(
        name="x" * 200, total_tickets=7, max_tickets_per_booking=2, waitlist_enabled=False, waitlist_policy="strict"
    )
    Event.objects.filter(pk=event.pk).update(sales_end=event.created_at)
    event.refresh_from_db()

    copy = open_copy(event)

    assert copy.name == f"Rehearsal of {'x' * 187}"
    assert copy.description.startswith("Not for sale.")
    assert (copy.sales_start, copy.sales_end) == (None, None)
    for name in ("date", "venue", "total_tickets", "max_tickets_per_booking", "waitlist_enabled", "waitlist_policy"):
        assert getattr(copy, name) == getattr(event, name)


def test_copy_can_never_be_read_before_it_is_muted():
    def end(execute, sql, params, many, context):
        if DeliveryPosition._meta.db_table in sql:
            raise KeyboardInterrupt
        return execute(sql, params, many, context)

    event = EventFactory()
    with connection.execute_wrapper(end), pytest.raises(KeyboardInterrupt):
        open_copy(event)

    assert list(Event.objects.all()) == [event]
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("buyers", "0", "--buyers is a number from 1 to 50000."),
        ("buyers", "50001", "--buyers is a number from 1 to 50000."),
        ("seconds", "601", "--seconds is a number from 1 to 600."),
        ("seconds", "1.5", "Error: argument --seconds: invalid int value: '1.5'"),
        ("tickets", "5", "Error: argument --tickets: '5' is neither a size such as 2 nor a range such as 1-4, "),
        ("tickets", "3-2", "Error: argument --tickets: '3-2' is neither a size such as 2 nor a range such as 1-4, "),
        ("url", "https://127.0.0.1:1", "--url is 'https://127.0.0.1:1'; give plain http, "),
        ("url", "http://127.0.0.1:1/api", "--url is 'http://127.0.0.1:1/api'; give plain http, "),
        ("url", "http://127.0.0.1:1?a", "--url is 'http://127.0.0.1:1?a'; give plain http, "),
        ("url", "http://127.0.0.1:x", "--url is 'http://127.0.0.1:x'; give plain http, "),
        ("url", "http://user@127.0.0.1:1", "--url is 'http://user@127.0.0.1:1'; give plain http, "),
        ("url", "http://127.0.0.1:1", "Nothing answers at http://127.0.0.1:1; start the server (manage.py serve), "),
    ],
)
def test_rehearse_refuses_bad_options_in_one_sentence(option, value, message):
    event = EventFactory()
    before = digest_of_all_tables()

    refusal = refused(event.pk, **{"url": "http://127.0.0.1:1", option: value})

    assert refusal.startswith(message)
    assert digest_of_all_tables() == before


def test_rehearse_refuses_an_event_that_does_not_stand():
    event = EventFactory()
    copy = open_copy(event)
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
            refusal = refused(event.pk, buyers=2, seconds=1, url=f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()

    assert "does not know the copy (it answers 200)" in refusal
    assert [path.rpartition("/")[0] for path in asked] == ["/api/v1/event"]
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
    event = EventFactory(name="Concert")
    before = digest_of_all_tables()

    refusal = refused(event.pk)

    assert refusal == "That is not the event's name; nothing was done."
    assert digest_of_all_tables() == before


def test_second_rehearsal_at_once_is_refused():
    with lock_rehearsals():
        assert refused(clean=True) == RUNNING
    assert rehearse(clean=True) == "No rehearsal has left anything.\n"


# The crowd's requests


@pytest.fixture
def copy():
    return Event(pk=7)


def test_behind_https_a_request_looks_as_the_proxy_passes_it_on(settings):
    settings.HTTPS = True
    settings.ALLOWED_HOSTS = [".tickets.example.org"]

    head = Server("http://127.0.0.1:8000").request("GET", "/readyz").decode().split("\r\n")

    assert head[:3] == ["GET /readyz HTTP/1.1", "Host: tickets.example.org", "X-Forwarded-Proto: https"]


def test_buyer_tries_again_with_the_key_when_asked_to(copy, monkeypatch):
    [order] = (crowd := Crowd([(1, "token")], Server("http://127.0.0.1:8000"), copy, seconds=60, tickets=(2, 2))).orders
    answers = iter(
        [
            ServerAnswer(200, b"HTTP/1.1 200 OK", b"{}", True),
            ServerAnswer(503, b"HTTP/1.1 503 X\r\nRetry-After: 7", b'{"code": "busy", "message": "Later."}', True),
            None,
            ServerAnswer(201, b"", json.dumps({"data": {"id": 3, "bookingStatus": "completed"}}).encode(), True),
        ]
    )
    sent, waited = [], []

    async def ask(request):
        sent.append(request)
        return next(answers)

    async def sleep(seconds):
        waited.append(seconds)

    monkeypatch.setattr(crowds.asyncio, "sleep", sleep)

    asyncio.run(crowd.visit(order, ask))

    look, first, second, third = sent
    assert look.startswith(b"GET /api/v1/booking/status/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert first.startswith(b"POST /api/v1/booking HTTP/1.1\r\n")
    assert json.loads(first.partition(b"\r\n\r\n")[2])["eventId"] == 7
    assert b"\r\nIdempotency-Key: " in first
    assert first == second == third
    assert 0 <= waited[0] <= 60
    assert 0.2 <= waited[1] <= 1.5
    assert 7 <= waited[2] <= 7.5
    assert 0.3 <= waited[3] <= 1
    assert (order.outcome, order.booking_id) == ("completed", 3)
    assert crowd.refusals == {(503, "busy"): 1}
    assert crowd.messages == {(503, "busy"): "Later."}


def test_broken_promises_are_counted_by_kind(copy):
    buyers = [(number, "token") for number in range(1, 6)]
    crowd = Crowd(buyers, Server("http://127.0.0.1:8000"), copy, seconds=1, tickets=(2, 2))
    for order, booking_id in zip(crowd.orders, (11, 12, 13, None, None), strict=True):
        order.booking_id = booking_id
    crowd.orders[3].outcome = "refused"
    by_buyer = {order.user_id: order for order in crowd.orders}
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
    assert broken(*kept, (14, 4, 2)) == ["bookings stored for buyers who were refused: 1"]
