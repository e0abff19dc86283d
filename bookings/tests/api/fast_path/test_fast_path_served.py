"""The fast path over the real server: the same answers as without it."""

import json
import os
import re
import signal
import socket

import pytest

from bookings.tests.api.fast_path.served import (
    BOOKING,
    HOT,
    OTHER,
    booking_bytes,
    bytes_for,
    exchange,
    read_json,
    wanted,
)
from ticks.load import read_answer
from ticks.tests.served import TIMEOUT_SECONDS, request, stored_bookings

pytestmark = pytest.mark.django_db(transaction=True)
# An event of the demo that nobody books here.
UNTOUCHED = 5
LOGIN = {"username": "rosalind", "password": "photograph 51"}
ADA = "ada@example.org"
DRAWN = re.compile(
    rb'(?<="id":)\d+|(?<="reference":")[^"]+|(?<=At":")[^"]+|(?<="bookingToken":")[^"]+|(?<=date: )[^\r]+'
    rb"|(?<=content-length: )\d+|(?<=location: /api/v1/booking/)\d+",
    re.IGNORECASE,
)
STATUS_HEAD = b"GET /api/v1/booking/status/%d HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: mine\r\n\r\n" % UNTOUCHED
# No library writes them like this.
RAW = [
    STATUS_HEAD.replace(b"status", b"%73tatus"),
    STATUS_HEAD.replace(b"status/", b"status%2F"),
    STATUS_HEAD.replace(b"/status/", b"//status/"),
    STATUS_HEAD.replace(b"/status/", b"/x/../status/"),
    STATUS_HEAD.replace(b" HTTP", b"? HTTP"),
    STATUS_HEAD.replace(b" HTTP", b"?a HTTP"),
    STATUS_HEAD.replace(b" HTTP", b"#a HTTP"),
    STATUS_HEAD.replace(b"GET ", b"GET http://localhost"),
    STATUS_HEAD.replace(b"GET ", b"GET http://evil.example.org"),
    STATUS_HEAD.replace(b"GET", b"get"),
    STATUS_HEAD.replace(b"1.1", b"1.0"),
    STATUS_HEAD.replace(b"1.1", b"1.0").replace(b"Host: localhost\r\n", b""),
    STATUS_HEAD.replace(b"Host", b"hOST"),
    STATUS_HEAD.replace(b"Host: localhost", b"Host: localhost\r\nHost: localhost"),
    STATUS_HEAD.replace(b"Host: localhost", b"Host:  localhost \t"),
    STATUS_HEAD.replace(b"Host: localhost", b"Host: localhost\r\nAuthorization:"),
    STATUS_HEAD.replace(b"Host: localhost", b"Host: localhost\r\nAuthorization: \xff"),
    STATUS_HEAD.replace(b"Host: localhost", b"Host: localhost\r\nIf-None-Match: *\r\nIf-None-Match: *"),
    STATUS_HEAD.replace(b"Host: localhost", b"Host: localhost\r\nContent-Length: 2") + b"{}",
    STATUS_HEAD.replace(b"Host: localhost", b"Host: localhost\r\nConnection: close"),
]


def conversation(port, key):
    """Requests that the fast path takes, and some that it looks at and leaves, on one connection: all the answers."""
    _, content = request(port, "POST", "/api/v1/auth/login", LOGIN)
    user = {"Authorization": f"Bearer {json.loads(content)['data']['token']}", "X-Request-ID": "mine"}
    status = f"{BOOKING}/status/{UNTOUCHED}"
    etag = f'"{read_json(port, status)["availableTickets"]}-0"'
    first = bytes_for("POST", BOOKING, wanted(HOT, email=ADA), **user, Idempotency_Key=key)
    sent = [
        bytes_for("GET", status, X_Request_ID="mine"),
        bytes_for("GET", status, **user),
        bytes_for("GET", status, X_Request_ID="mine", If_None_Match=etag),
        bytes_for("GET", f"{BOOKING}/status/999999", X_Request_ID="mine"),
        bytes_for("POST", BOOKING, wanted(HOT, email=ADA), X_Request_ID="mine"),
        first,
        first,
        bytes_for("POST", BOOKING, wanted(OTHER, email=ADA), **user, Idempotency_Key=key),
        bytes_for("POST", BOOKING, wanted(999_999, email=ADA), X_Request_ID="mine"),
        # These reach Django with a body that the fast path has read.
        bytes_for("POST", BOOKING, wanted(HOT, email=ADA, ticketsReserved=0), X_Request_ID="mine"),
        bytes_for("POST", BOOKING, wanted(HOT, email=ADA, more=1), X_Request_ID="mine"),
        first.replace(b'": 1}', b'":1,}'),
        bytes_for("POST", BOOKING, wanted(HOT, email=ADA), X_Request_ID="mine", Authorization="Bearer x"),
    ]
    with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as client:
        return [exchange(client, one) for one in sent]


def raw_answers(port):
    answers = []
    for sent in RAW:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as client:
            answers.append(exchange(client, sent))
    return answers


def lines_of(server, tmp_path):
    """Ends the server and returns the log lines of requests since the last call. Workers write them in any order."""
    os.kill(server.pid, signal.SIGTERM)
    server.communicate(timeout=TIMEOUT_SECONDS)
    log = tmp_path / "logs" / "combined.log"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("")
    mine = [line for line in lines if line["requestId"] == "mine"]
    return sorted((line["method"], line["path"], line["status"], line["user"] or 0) for line in mine)


def test_answers_and_lines_are_the_same_with_and_without_the_fast_path(start, port, tmp_path):
    server = start(GROUP_BOOKING="on", FAST_PATH="on")
    assert request(port, "POST", "/api/v1/auth/register", {**LOGIN, "email": "rosalind@example.org"})[0] == 201
    by_fast_path = conversation(port, "first-key-4711") + raw_answers(port)
    lines = lines_of(server, tmp_path)

    server = start(FAST_PATH="off")
    by_django = conversation(port, "another-key-4711") + raw_answers(port)

    for ours, theirs in zip(by_fast_path, by_django, strict=True):
        assert comparable(ours) == comparable(theirs)
    assert lines == lines_of(server, tmp_path)
    usual, raw = by_fast_path[: -len(RAW)], by_fast_path[-len(RAW) :]
    assert statuses_of(usual) == [200, 200, 304, 404, 201, 201, 201, 422, 404, 400, 400, 201, 401]
    assert statuses_of(raw) == [200, 200, 404, 404, *[200] * 9, 400, 200, 401, 401, 200, 200, 200]
    assert usual[5].partition(b"\r\n\r\n")[2] == usual[6].partition(b"\r\n\r\n")[2]


def comparable(answer):
    """The answer without random values. The order of headers does not matter."""
    head, _, body = DRAWN.sub(b"*", answer).partition(b"\r\n\r\n")
    return sorted(head.split(b"\r\n")), body


def statuses_of(answers):
    return [int(answer[9:12]) for answer in answers]


def test_one_connection_serves_many_and_who_hangs_up_hurts_nobody(start, port, connect, tmp_path):
    start(GROUP_BOOKING="on", FAST_PATH="on", THROTTLE_ENABLED="off")
    before = stored_bookings(tmp_path)
    left = read_json(port, f"{BOOKING}/status/{HOT}")["availableTickets"]
    for _ in range(20):
        connect(booking_bytes(HOT)[:-10]).close()
        connect(booking_bytes(HOT)).close()

    client = connect()
    status = bytes_for("GET", f"{BOOKING}/status/{HOT}")
    answers = [read_answer(exchange(client, sent)) for _ in range(50) for sent in (booking_bytes(HOT), status)]

    assert [(answer[0], answer[3]) for answer in answers] == [(201, True), (200, True)] * 50
    booked = len(stored_bookings(tmp_path) - before)
    # A client that sent a whole booking may have it, although it got no answer.
    assert 50 <= booked <= 70
    assert json.loads(answers[-1][2])["data"] == {"availableTickets": left - booked, "waitlistedCount": 0}
