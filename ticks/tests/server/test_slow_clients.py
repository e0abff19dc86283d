"""Clients that take their time, or mean harm, over the real server: none of them may hold up the others."""

import asyncio
import json
import re
import socket
import time

import pytest

from ticks.server import bodies, stopping
from ticks.server.bodies import Bodies, MissingBody
from ticks.tests.served import answer_of, booking, post, request, stored_bookings, wait_until

# These tests take long, and their subject is the same on MariaDB.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.embedded]
BODY = json.dumps(booking(1)).encode()
BOOKING = post("/api/v1/booking", BODY)
STATIC = b"GET /static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
# This is many times more than the server has workers and threads.
CROWD = 40


def healthy_seconds(port):
    began = time.monotonic()
    assert request(port, "GET", "/healthz")[0] == 200
    return time.monotonic() - began


def test_slow_bodies_hold_nobody_up_and_are_refused(start, port, connect, tmp_path):
    start(BODY_SECONDS="2")
    before = stored_bookings(tmp_path)
    began = time.monotonic()
    late = [connect(post("/api/v1/booking", BODY[:-1], len(BODY))) for _ in range(CROWD)]
    late_login = connect(post("/api/users/login", b"{", 100))
    form = b"Cookie: csrftoken=%b\r\nContent-Type: application/x-www-form-urlencoded" % (b"c" * 32)
    late_page = connect(post("/admin/login/", b"username=a", 100).replace(b"Content-Type: application/json", form))
    trickling = connect(post("/api/v1/booking", b"", len(BODY)))

    waited = max(healthy_seconds(port) for _ in range(10))
    booked, _ = request(port, "POST", "/api/v1/booking", booking(1))
    for number in range(len(BODY) // 10):
        trickling.sendall(BODY[number : number + 1])
        time.sleep(0.01)
    answers = [answer_of(client) for client in [*late, trickling]]
    took = time.monotonic() - began
    login, page = answer_of(late_login), answer_of(late_page)

    assert waited < 3
    assert booked == 201
    assert {(status, headers["connection"]) for status, headers, _ in answers} == {(408, "close")}
    assert {body for _, _, body in answers} == {
        b'{"message":"The request\'s body did not arrive in time; nothing was changed. Send it again.",'
        b'"error":true,"code":"request_timeout"}'
    }
    assert 2 <= took < 10
    assert (login[0], list(json.loads(login[2]))) == (408, ["error"])
    assert page[0] == 400
    assert len(stored_bookings(tmp_path) - before) == 1


def test_connections_of_all_kinds_hold_nobody_up(start, port, connect, tmp_path):
    start()
    before = stored_bookings(tmp_path)
    for _ in range(400):
        connect()
    kept = [connect(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n") for _ in range(CROWD)]
    heads = [connect(b"POST /api/v1/booking HTTP/1.1\r\nHost: loc") for _ in range(CROWD)]
    readers = [connect(STATIC * 4) for _ in range(CROWD)]
    assert {answer_of(client)[0] for client in kept} == {200}

    time.sleep(1)
    waited = max(healthy_seconds(port) for _ in range(10))
    heads[0].sendall(BOOKING.partition(b"localhost")[2].join([b"alhost", b""]))
    statuses = request(port, "POST", "/api/v1/booking", booking(1))[0], answer_of(heads[0])[0]
    whole = answer_of(readers[0])

    assert waited < 3
    assert statuses == (201, 201)
    assert whole[0] == 200
    assert len(whole[2]) == int(whole[1]["content-length"]) > 1_000_000
    assert len(stored_bookings(tmp_path) - before) == 2


def test_client_that_leaves_has_booked_all_the_same(start, port, connect, tmp_path):
    start()
    before = stored_bookings(tmp_path)

    connect(post("/api/v1/booking", BODY, len(BODY) + 1)).close()
    leaving = connect(BOOKING)
    wait_until(lambda: stored_bookings(tmp_path) - before)
    leaving.close()
    request(port, "GET", "/healthz")
    # Log lines are written a moment later.
    time.sleep(0.5)

    assert len(stored_bookings(tmp_path) - before) == 1
    lines = [json.loads(line) for line in (tmp_path / "logs" / "combined.log").read_text().splitlines()]
    # The workers may write their lines in any order.
    assert sorted(line["status"] for line in lines if line.get("path") == "/api/v1/booking") == [201, 400]
    assert "Traceback" not in (tmp_path / "logs" / "combined.log").read_text()


def test_malformed_requests_are_refused_and_the_server_goes_on(start, port, connect, tmp_path):
    start()
    before = stored_bookings(tmp_path)
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
    chunked = BOOKING.partition(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    refused = {
        "garbage": (b"\x00\xff\x16garbage\r\n\r\n", 400),
        "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200) + b"\r\n\r\n", 400),
        "a huge header": (get + b"X: " + b"a" * 300_000 + b"\r\n\r\n", 431),
        "many headers": (get + b"".join(b"X-%d: 1\r\n" % number for number in range(300)) + b"\r\n", 431),
        "a long address": (b"GET /" + b"a" * 66_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        "two lengths": (post("/api/v1/booking", BODY, f"{len(BODY)}\r\nContent-Length: 1"), 400),
        "a negative length": (post("/api/v1/booking", BODY, -1), 400),
        "a length beyond counting": (post("/api/v1/booking", BODY, "9" * 30), 400),
        "a chunk without a size": (chunked + b"zz\r\n", 400),
        "6 MB": (post("/api/v1/booking", b" " * 6_000_000), 413),
        "6 MB in chunks": (chunked + b"100000\r\n%b\r\n" % bytes(0x100000) * 6 + b"0\r\n\r\n", 413),
    }

    statuses = {name: answer_of(connect(data))[0] for name, (data, _) in refused.items()}
    longer = connect(post("/api/v1/booking", BODY + b"more than it said\r\n\r\n", len(BODY)))
    answers = re.findall(rb"HTTP/1.1 (\d+)", longer.makefile("rb").read())

    assert statuses == {name: status for name, (_, status) in refused.items()}
    assert answers == [b"201", b"400"]
    assert healthy_seconds(port) < 1
    assert len(stored_bookings(tmp_path) - before) == 1


def test_of_too_many_slow_bodies_the_oldest_gives_way(monkeypatch):
    monkeypatch.setattr(bodies, "SLOW_SECONDS", 0)
    monkeypatch.setattr(bodies, "SLOW_BODIES", 2)

    async def scenario():
        held = Bodies(limit=100, seconds=30)
        never = asyncio.get_running_loop().create_future
        reading = []
        for _ in range(3):
            reading.append(asyncio.create_task(held.read(lambda: never(), 5)))
            await asyncio.sleep(0.01)
        held.give_up_late()
        await asyncio.sleep(0.01)
        done = [task.done() for task in reading]
        # A server that stops does not wait for slow clients.
        monkeypatch.setattr(stopping, "stage", bytes([stopping.DRAINING]))
        held.give_up_late()
        return done, await asyncio.gather(*reading)

    done, read = asyncio.run(scenario())
    assert done == [True, False, False]
    assert [type(body) for body in read] == [MissingBody] * 3


def test_body_that_does_not_come_whole_is_not_taken_for_none(start, port, connect):
    start(BODY_SECONDS="1")
    _, made = request(port, "POST", "/api/v1/booking", booking(2))
    made = json.loads(made)["data"]
    delete = (
        f"DELETE /api/v1/booking/{made['id']} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Booking-Token: {made['bookingToken']}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    part = b'5\r\n{"tic\r\n'

    late = connect(delete + part)
    cut_off = connect(delete + part)
    cut_off.shutdown(socket.SHUT_WR)
    shorter = connect(post("/api/v1/booking", BODY, len(BODY) + 1))
    shorter.shutdown(socket.SHUT_WR)
    broken = connect(delete + part + b"zz\r\n")
    statuses = [answer_of(client)[0] for client in (late, broken, shorter)]

    assert statuses == [408, 400, 400]
    shown = connect(
        f"GET /api/v1/booking/{made['id']} HTTP/1.1\r\nHost: localhost\r\n"
        f"Booking-Token: {made['bookingToken']}\r\n\r\n".encode()
    )
    held = json.loads(answer_of(shown)[2])["data"]
    assert (held["bookingStatus"], held["ticketsReserved"]) == ("completed", 2)
