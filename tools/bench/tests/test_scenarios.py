"""The requests of the clients, and what they record of the answers."""

import asyncio
import itertools
import json
from types import SimpleNamespace

import pytest

# The tested module needs the database driver, which a machine with only SQLite may lack.
pytest.importorskip("MySQLdb")

from ticks.load import ServerAnswer
from tools.bench import scenarios
from tools.bench.scenarios import Answered, Run


def answer(status: int, data: dict | None = None, head: bytes = b'HTTP/1.1 200 OK\r\nETag: "5-0"') -> ServerAnswer:
    return ServerAnswer(status, head, json.dumps({"data": data}).encode(), True)


def booked(number: int, status: str = "completed") -> ServerAnswer:
    return answer(201, {"id": number, "bookingStatus": status})


class Server:
    """Gives the answers in turn, or asks a function for each; cancels the client when there are no more."""

    def __init__(self, answers):
        self.answers, self.sent = iter(answers), []

    async def ask(self, request: bytes):
        self.sent.append(request)
        try:
            return next(self.answers)
        except StopIteration:
            raise asyncio.CancelledError from None


def send(client, answers) -> list[bytes]:
    server = Server(answers)

    async def run():
        try:
            await client(server.ask)
        except asyncio.CancelledError:
            return

    asyncio.run(run())
    return server.sent


@pytest.fixture
def run():
    world = SimpleNamespace(tokens=["one", "two"], open_event=lambda tickets=0: 7)
    return Run(world, Answered(), connections=1, seconds=1)


def test_buyer_counts_tickets_apart_from_waiting_bookings(run):
    [client] = scenarios.hot_event(run)

    sent = send(client, [booked(1), booked(2, "waitlisted"), answer(503), answer(200), None])

    assert run.answered == Answered(booked=2, tickets=1, waitlisted=1, errors=3)
    assert [b"Bearer one" in each for each in sent[:2]] == [True, False]
    assert b'{"eventId": 7, "ticketsReserved": 1, ' in sent[0]


def test_each_request_carries_a_key_of_its_own(run):
    [client] = scenarios.with_keys(run)

    sent = send(client, [booked(1)] * 3)[:3]

    keys = {request.split(b"Idempotency-Key: ")[1].split(b"\r\n")[0] for request in sent}
    assert len(keys) == 3
    assert all(len(key) == 25 for key in keys)


def test_mix_cancels_what_it_booked_with_the_token_that_booked_it(run):
    [client] = scenarios.mix(run)
    tokens = {}

    def answers():
        for number in itertools.count(1):
            if number > 200:
                return
            request = server_sent[-1]
            token = request.split(b"Bearer ")[1].split(b"\r\n")[0]
            if request.startswith(b"DELETE "):
                assert tokens.pop(request.split(b" ")[1]) == token
                yield answer(200)
            else:
                tokens[b"/api/v1/booking/%d" % number] = token
                yield booked(number)

    server = Server(())
    server.answers, server_sent = answers(), server.sent

    async def play():
        try:
            await client(server.ask)
        except asyncio.CancelledError:
            return

    asyncio.run(play())

    cancelled = [request for request in server_sent[:200] if request.startswith(b"DELETE ")]
    bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in server_sent if each.startswith(b"POST ")]
    assert run.answered == Answered(booked=200 - len(cancelled), cancelled=len(cancelled))
    assert 60 <= len(cancelled) <= 100
    assert {body["ticketsReserved"] for body in bodies} == {1, 2, 3, 4}


def test_mix_counts_an_answer_that_it_did_not_want_as_an_error(run):
    [client] = scenarios.mix(run)

    sent = send(client, [answer(200), None])

    assert run.answered == Answered(errors=2)
    assert all(request.startswith(b"POST ") for request in sent)


def test_status_reader_asks_every_other_time_with_the_etag(run):
    [client] = scenarios.status_reads(run)

    sent = send(client, [answer(200), answer(304), answer(200), answer(304), answer(429), None])

    assert [b'If-None-Match: "5-0"\r\n\r\n' in request for request in sent[:4]] == [False, True, False, True]
    assert all(request.startswith(b"GET /api/v1/booking/status/7 HTTP/1.1\r\nHost: 127.0.0.1\r\n") for request in sent)
    assert [b"Bearer one" in request for request in sent[:4]] == [True, False, True, False]
    assert run.answered == Answered(errors=2)
