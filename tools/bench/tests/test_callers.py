"""What callers send, and what they note of the answers."""

import itertools
import json

from tools.bench import callers
from tools.bench.callers import Buyer, Mixer, Poller, Told, Visitor

HEAD = b'HTTP/1.1 200 OK\r\nETag: "5-0"'


def booked(number: int, status: str = "completed") -> bytes:
    return json.dumps({"message": "Booked.", "data": {"id": number, "bookingStatus": status}, "error": False}).encode()


def test_buyer_counts_tickets_apart_from_places_in_the_line():
    told = Told()
    buyer = Buyer(iter([b"a", b"b"]), told)

    for status, body in [(201, booked(1)), (201, booked(2, "waitlisted")), (503, b""), (200, booked(3))]:
        buyer.took(status, body, 0.1, HEAD)
    buyer.lost()

    assert told == Told(booked=2, tickets=1, waitlisted=1, errors=3)
    assert [buyer.next(), buyer.next(), buyer.next()] == [b"a", b"b", None]


def test_each_request_carries_a_key_of_its_own():
    marked = callers.booking(7, "token", host="h", headers={"Idempotency-Key": callers.KEY_MARK.decode()})

    sent = list(itertools.islice(callers.with_fresh_keys(itertools.repeat(marked)), 3))

    keys = {request.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for request in sent}
    assert len(keys) == 3
    assert all(len(key) == 25 for key in keys)
    assert b'{"eventId": 7, "ticketsReserved": 1, ' in sent[0]


def test_mixer_cancels_what_it_booked_with_the_token_that_booked_it():
    told = Told()
    mixer = Mixer(7, ["token"], told, host="h", seed=1)

    sent = []
    for number in range(1, 201):
        sent.append(mixer.next())
        mixer.took(200 if mixer.cancels else 201, b"" if mixer.cancels else booked(number), 0.1, HEAD)

    cancelled = [request for request in sent if request.startswith(b"DELETE ")]
    assert (told.booked, told.cancelled, told.errors) == (200 - len(cancelled), len(cancelled), 0)
    assert 60 <= len(cancelled) <= 100
    assert len(set(cancelled)) == len(cancelled)
    assert all(b"Authorization: Bearer token\r\n" in request for request in sent)
    assert {body["ticketsReserved"] for body in bodies(sent)} == {1, 2, 3, 4}


def bodies(sent: list[bytes]) -> list[dict]:
    return [json.loads(request.partition(b"\r\n\r\n")[2]) for request in sent if request.startswith(b"POST ")]


def test_mixer_counts_an_answer_that_it_did_not_want_as_an_error():
    told = Told()
    mixer = Mixer(7, ["token"], told, host="h", seed=1)

    mixer.next()
    mixer.took(200, booked(1), 0.1, HEAD)

    assert told == Told(errors=1)
    assert mixer.mine == []


def test_poller_asks_every_other_time_for_news_only():
    told = Told()
    poller = Poller(7, callers.users(["one", "two"]), told, host="h")

    sent = []
    for _ in range(4):
        sent.append(poller.next())
        poller.took(304 if b"If-None-Match" in sent[-1] else 200, b"", 0.1, HEAD)
    poller.took(429, b"", 0.1, HEAD)

    assert [b'If-None-Match: "5-0"\r\n\r\n' in request for request in sent] == [False, False, True, False]
    assert all(request.startswith(b"GET /api/v1/booking/status/7 HTTP/1.1\r\nHost: h\r\n") for request in sent)
    assert [b"Bearer one" in request for request in sent] == [True, False, True, False]
    assert told == Told(errors=1)


def test_guests_come_from_many_addresses():
    senders = list(itertools.islice(callers.guests(), 60_000))

    assert len(set(senders)) == 60_000
    assert senders[-1] == b"X-Forwarded-For: 10.0.239.249\r\n"


def test_visitor_takes_all_but_a_login_for_an_error():
    told = Told()
    visitor = Visitor(callers.logins(["ada"], "secret", host="h"), told)

    visitor.took(200, b"", 0.1, HEAD)
    visitor.took(429, b"", 0.1, HEAD)

    assert told.errors == 1
    assert visitor.next().endswith(b'{"username": "ada", "password": "secret"}')
