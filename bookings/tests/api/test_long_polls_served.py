"""`?wait=` on the real server."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bookings.tests.api.fast_path.served import BOOKING, booking_bytes, bytes_for, read, read_json, timed
from ticks.tests.served import TIMEOUT_SECONDS, request

pytestmark = pytest.mark.django_db(transaction=True)
# An event of the demo.
EVENT = 5
CROWD = 60
# Less than the longest wait, however busy the machine is.
SOON = 10


@pytest.fixture
def server(start):
    return start(FAST_PATH="on", GROUP_BOOKING="on", WORKERS="1", THREADS="2", THROTTLE_ENABLED="off")


@pytest.fixture
def admin(server, port, tmp_path):
    password = (tmp_path / ".local" / "demo_admin_password").read_text().strip()
    _, content = request(port, "POST", "/api/v1/auth/login", {"username": "admin", "password": password})
    return {"Authorization": f"Bearer {json.loads(content)['data']['token']}"}


def poll(admin, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    return bytes_for("GET", f"/api/v1/event/{EVENT}/changes?{text}", **admin)


def last_sequence(connect, admin):
    _, _, content = read(connect(), poll(admin, limit=1000))
    return json.loads(content)["nextAfter"]


def test_crowd_that_waits_holds_no_thread_and_hears_of_a_booking(port, connect, admin):
    last = last_sequence(connect, admin)
    clients = [connect() for _ in range(CROWD)]
    with ThreadPoolExecutor(CROWD) as pool:
        waiting = [pool.submit(timed, client, poll(admin, after=last, wait=20)) for client in clients]
        time.sleep(1)
        # Both threads of Django are free.
        began = time.monotonic()
        read_json(port, f"{BOOKING}/status/{EVENT}")
        assert request(port, "GET", "/readyz")[0] == 200
        assert request(port, "GET", "/api/schema")[0] == 200
        seconds = time.monotonic() - began
        assert read(connect(), booking_bytes(EVENT))[0] == 201
        answers = [one.result(TIMEOUT_SECONDS) for one in waiting]

    assert seconds < SOON
    for status, _, content, waited in answers:
        assert status == 200
        assert [entry["sequence"] for entry in json.loads(content)["data"]] == [last + 1]
        assert 0.9 < waited < SOON


def test_stop_answers_those_who_wait(server, connect, admin):
    last = last_sequence(connect, admin)
    clients = [connect() for _ in range(CROWD)]
    with ThreadPoolExecutor(CROWD) as pool:
        waiting = [pool.submit(read, client, poll(admin, after=last, wait=25)) for client in clients]
        time.sleep(1)
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        answers = [one.result(TIMEOUT_SECONDS) for one in waiting]
        seconds = time.monotonic() - began

    assert {status for status, *_ in answers} == {200}
    assert {json.loads(content)["nextAfter"] for *_, content in answers} == {last}
    assert all(json.loads(content)["data"] == [] for *_, content in answers)
    assert {headers.get("connection") for _, headers, _ in answers} == {"close"}
    assert seconds < SOON
    server.communicate(timeout=TIMEOUT_SECONDS)


def test_wait_ends_with_an_empty_answer(connect, admin):
    last = last_sequence(connect, admin)

    status, _, content, seconds = timed(connect(), poll(admin, after=last, wait=1))

    assert (status, json.loads(content)["data"], json.loads(content)["nextAfter"]) == (200, [], last)
    assert 1 <= seconds < SOON


def test_guest_who_would_wait_is_refused_at_once(server, connect):
    status, _, _, seconds = timed(connect(), poll({}, after=1, wait=25))

    assert status == 401
    assert seconds < SOON
