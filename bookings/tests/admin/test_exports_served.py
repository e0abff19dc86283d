"""Exports over the real server: complete or none, one at a time, and without effect on other requests."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from django.conf import settings

from ticks.tests.served import TIMEOUT_SECONDS, answer_of, children_of, request, wait_until

# These tests take long, and their subject is the same on SQLite.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.mariadb]
NO_STORE = "max-age=0, no-cache, no-store, must-revalidate, private"
BOOKINGS = "/admin/bookings/booking/export/"
EVENTS = "/admin/events/event/export/"
# Making this as XLSX takes some seconds.
ROWS = 10_000
# Eight megabytes are more than the sockets between server and client take in.
LONG_EVENTS = """
import django
django.setup()
from accounts.models import User
from bookings.services.events import open_events
long = {"name": "Concert", "total_tickets": 1, "description": "x" * 5000}
open_events([long] * 1600, actor=User.objects.get(username="admin"))
"""


@pytest.fixture
def made(tmp_path):
    """The folder in which the server makes files."""
    folder = tmp_path / "made"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(start, database, tmp_path, made):
    """Gives a function that starts one worker, on a database with something to export, and returns its process.

    The worker has one thread for requests beside the one that makes an export, unless `threads` says otherwise.
    """

    def run(*filling, threads=2):
        process = start(WORKERS="1", THREADS=str(threads), TMPDIR=str(made))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
        local = {"LOG_DIR": str(tmp_path / "filled"), "LOCAL_DIR": str(tmp_path / ".local"), "TICKS_ENV_FILE": ""}
        subprocess.run(
            [sys.executable, *filling],
            cwd=settings.BASE_DIR,
            env=environment | database | local,
            check=True,
            capture_output=True,
            timeout=100,
        )
        return process

    return run


@pytest.fixture
def serve_bookings(serve):
    return lambda: serve("-m", "tools.bench.fill", "--bookings", str(ROWS))


@pytest.fixture
def serve_long_events(serve):
    return lambda **more: serve("-c", LONG_EVENTS, **more)


@pytest.fixture
def cookie(port, tmp_path):
    """Gives a function that logs the demo's admin in to the staff's site, and returns the cookie."""

    def log_in():
        page, token = page_of(port, "/admin/login/", {})
        form = {
            "username": "admin",
            "password": (tmp_path / ".local" / "demo_admin_password").read_text().strip(),
            "csrfmiddlewaretoken": re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)[1],
            "next": "/admin/",
        }
        _, session = page_of(port, "/admin/login/", {"Cookie": token}, urlencode(form))
        return session

    return log_in


def page_of(port, path, headers, form=None):
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    kind = {"Content-Type": "application/x-www-form-urlencoded"} if form else {}
    client.request("POST" if form else "GET", path, form, headers | kind)
    response = client.getresponse()
    cookies = [value.partition(";")[0] for name, value in response.getheaders() if name.lower() == "set-cookie"]
    content = response.read().decode()
    client.close()
    return content, "; ".join(cookies)


@pytest.fixture
def ask(port):
    """Gives a function that asks for an export, and returns the connection, with a small buffer if wanted."""
    opened = []

    def send(path, cookie, *, receives=None):
        client = socket.socket()
        opened.append(client)
        client.settimeout(TIMEOUT_SECONDS)
        if receives:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        client.connect(("127.0.0.1", port))
        client.sendall(f"GET {path}/ HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n".encode())
        return client

    yield send
    for client in opened:
        client.close()


def lines_of(tmp_path, path):
    """The log lines of requests for this path, once there are any."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        lines = [json.loads(line) for line in (tmp_path / "logs" / "combined.log").read_text().splitlines()]
        found = [line for line in lines if line.get("path") == path]
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"nothing logged of {path}")


def megabytes_of(worker):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{worker}/status").read_text())[1]) / 1024


def wait_until_being_made(made):
    wait_until(lambda: list(made.glob("ticks-export-*/*")))


def test_export_is_sent_whole_and_leaves_nothing(serve_bookings, ask, cookie, tmp_path, made):
    serve_bookings()
    session = cookie()

    status, headers, body = answer_of(ask(f"{BOOKINGS}csv", session))

    assert status == 200
    assert int(headers["content-length"]) == len(body)
    assert body.decode().count("\r\n") > ROWS
    assert (headers["cache-control"], headers["x-content-type-options"]) == (NO_STORE, "nosniff")
    [line] = lines_of(tmp_path, f"{BOOKINGS}csv/")
    assert (line["status"], line["user"] is None, line["requestId"]) == (200, False, headers["x-request-id"])
    assert list(made.iterdir()) == []


def test_export_beside_another_is_asked_to_wait_and_nobody_else(serve_bookings, port, ask, cookie, made):
    serve_bookings()
    session = cookie()
    first = ask(f"{BOOKINGS}xlsx", session)
    wait_until_being_made(made)

    status, headers, body = answer_of(ask(f"{BOOKINGS}csv", session))
    stranger, moved, _ = answer_of(ask(f"{BOOKINGS}csv", "none=1"))
    began = time.monotonic()
    healthy, _ = request(port, "GET", "/readyz")
    waited = time.monotonic() - began
    made_at_last, _, _ = answer_of(first)
    afterwards, _, _ = answer_of(ask(f"{BOOKINGS}csv", session))

    assert (status, headers["retry-after"]) == (503, "30")
    assert b"Another export is being made, and there is one at a time." in body
    assert (stranger, moved["location"]) == (302, f"/admin/login/?next={BOOKINGS}csv/")
    assert (healthy, waited < 1) == (200, True)
    assert (made_at_last, afterwards) == (200, 200)


@pytest.mark.parametrize("path", ["/admin/zzz/export", f"{EVENTS}csv"])
def test_flood_of_exports_without_login_leaves_the_turn_to_staff(start, ask, cookie, path):
    """Eight clients without a login ask again and again, each as soon as it has its answer."""
    start(WORKERS="1", THREADS="1")
    session = cookie()
    is_over = threading.Event()
    answers = []

    def flood():
        while not is_over.is_set():
            client = ask(path, "none=1")
            status, headers, _ = answer_of(client)
            # A worker accepts no further connection while 2,048 are open.
            client.close()
            answers.append((status, headers["location"].partition("?")[0]))

    crowd = [threading.Thread(target=flood) for _ in range(8)]
    for one in crowd:
        one.start()
    try:
        statuses = [answer_of(ask(f"{EVENTS}csv", session))[0] for _ in range(20)]
    finally:
        is_over.set()
        for one in crowd:
            one.join(TIMEOUT_SECONDS)

    assert statuses == [200] * 20
    assert set(answers) == {(302, "/admin/login/")}


def test_slow_reader_of_an_export_costs_neither_memory_nor_a_turn(serve_long_events, ask, cookie, tmp_path):
    # The first export of a thread takes memory that the thread keeps. That of a second thread could be counted as the
    # slow reader's.
    process = serve_long_events(threads=1)
    session = cookie()
    answer_of(ask(f"{EVENTS}csv", session))
    [worker] = children_of(process)
    before = megabytes_of(worker)

    slow = ask(f"{EVENTS}csv", session, receives=4096)
    lines = []
    while len(lines) < 2:
        lines = lines_of(tmp_path, f"{EVENTS}csv/")
    status, headers, body = answer_of(ask(f"{EVENTS}csv", session))
    after = megabytes_of(worker)
    late, _, same = answer_of(slow)

    assert (status, late) == (200, 200)
    assert int(headers["content-length"]) == len(body) == len(same)
    assert after - before < 6


def test_export_whose_reader_leaves_is_given_up(serve_bookings, ask, cookie, tmp_path, made):
    serve_bookings()
    session = cookie()
    leaving = ask(f"{BOOKINGS}xlsx", session)
    wait_until_being_made(made)

    leaving.close()
    [line] = lines_of(tmp_path, f"{BOOKINGS}xlsx/")
    status, _, _ = answer_of(ask(f"{BOOKINGS}csv", session))

    assert (line["status"], status) == (503, 200)
    assert list(made.iterdir()) == []
    assert "Traceback" not in (tmp_path / "logs" / "combined.log").read_text()


def test_reader_that_leaves_in_the_midst_of_its_file_hurts_nobody(serve_long_events, ask, cookie, tmp_path):
    process = serve_long_events()
    session = cookie()
    leaving = ask(f"{EVENTS}csv", session, receives=4096)

    assert leaving.recv(12) == b"HTTP/1.1 200"
    leaving.close()
    status, _, _ = answer_of(ask(f"{EVENTS}csv", session))

    assert status == 200
    assert process.poll() is None
    assert "Traceback" not in (tmp_path / "logs" / "combined.log").read_text()


def test_stop_gives_an_export_up_and_says_so(serve_bookings, ask, cookie, made):
    process = serve_bookings()
    asking = ask(f"{BOOKINGS}xlsx", cookie())
    wait_until_being_made(made)
    began = time.monotonic()

    process.send_signal(signal.SIGTERM)
    status, headers, body = answer_of(asking)
    process.communicate(timeout=TIMEOUT_SECONDS)

    assert (status, headers["retry-after"], headers["connection"]) == (503, "30", "close")
    assert b"The export was given up: the server is about to stop" in body
    assert process.returncode == 0
    assert time.monotonic() - began < 10
    assert list(made.iterdir()) == []


def test_stop_cuts_a_slow_reader_off_who_can_tell(serve_long_events, ask, cookie, made):
    process = serve_long_events()
    slow = ask(f"{EVENTS}csv", cookie(), receives=4096)
    head = slow.recv(12)
    began = time.monotonic()

    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=TIMEOUT_SECONDS)

    took = time.monotonic() - began
    assert head == b"HTTP/1.1 200"
    received = []
    reader = threading.Thread(target=lambda: received.append(rest_of(slow)))
    reader.start()
    reader.join(TIMEOUT_SECONDS)
    length = int(re.search(rb"content-length: (\d+)", received[0], re.IGNORECASE)[1])
    assert len(received[0]) < length
    assert took < 10
    assert list(made.iterdir()) == []


def rest_of(client):
    parts = []
    try:
        while part := client.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
