"""The server stops in order: nothing that it acknowledged is lost, and requests in flight are answered."""

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from http.client import HTTPException
from pathlib import Path

import pytest

from ticks.server.process import DRAIN_SECONDS
from ticks.tests.served import (
    TIMEOUT_SECONDS,
    answer_of,
    await_ready,
    booking,
    children_of,
    dial,
    post,
    request,
    stored_bookings,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = 24
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"
LATE = post("/api/v1/booking", b"{", length=100)


class Client(threading.Thread):
    """Books until the port is closed, on one connection as long as it is kept or on a new one each time."""

    def __init__(self, port, *, keeps):
        super().__init__()
        self.port, self.keeps = port, keeps
        self.counts, self.booked, self.connection = Counter(), [], None

    def run(self):
        while True:
            try:
                self.connection = self.connection or dial(self.port)
            except ConnectionRefusedError:
                return
            except ConnectionResetError:
                self.counts["broken"] += 1
                continue
            try:
                self.connection.sendall(post("/api/v1/booking", json.dumps(booking(1)).encode()))
                status, headers, body = answer_of(self.connection)
            except (OSError, HTTPException):
                self.counts["broken"] += 1
                self.drop()
                continue
            self.counts[status] += 1
            if status == 201:
                self.booked.append(json.loads(body)["data"]["id"])
            if headers.get("connection") == "close" or not self.keeps:
                self.drop()

    def drop(self):
        self.connection.close()
        self.connection = None


def stop_main_process(process):
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)


def stop_all_processes(process):
    """Stops all processes, as systemd does with its default KillMode, control-group."""
    os.killpg(process.pid, signal.SIGTERM)


def stop_all_processes_again_and_again(process):
    for number in [signal.SIGTERM, signal.SIGHUP, signal.SIGTERM, signal.SIGINT, signal.SIGTERM]:
        os.killpg(process.pid, number)
        time.sleep(0.2)


@pytest.mark.parametrize(
    "stop",
    [
        stop_main_process,
        stop_all_processes,
        pytest.param(stop_all_processes_again_and_again, marks=pytest.mark.embedded),
    ],
)
def test_stop_under_load_loses_nothing_that_was_acknowledged(start, port, tmp_path, stop):
    process = start(THROTTLE_ENABLED="off")
    already = stored_bookings(tmp_path)
    clients = [Client(port, keeps=number % 2 == 0) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(1)
    before = sum(client.counts[201] for client in clients)

    began = time.monotonic()
    stop(process)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    took = time.monotonic() - began
    for client in clients:
        client.join(TIMEOUT_SECONDS)

    counts = sum((client.counts for client in clients), Counter())
    assert process.returncode == 0
    assert "Unexpected exit" not in said
    assert took < 10
    # A client that connects in the last instant may be reset: once for each client, and then it finds the port closed.
    assert counts["broken"] <= CLIENTS / 4
    assert set(counts) <= {201, 503, "broken"}
    assert counts[201] > before > 0
    booked = [number for client in clients for number in client.booked]
    assert len(set(booked)) == len(booked) == counts[201]
    made = stored_bookings(tmp_path) - already
    assert set(booked) <= made
    # The other bookings can only belong to clients that got no answer.
    assert len(made) - len(booked) <= counts["broken"]


def test_drain_closes_kept_connections_with_an_answer(start, port, connect):
    process = start()
    kept, probe, late = connect(HEALTH), connect(READY), connect(LATE)
    before = answer_of(kept), answer_of(probe)
    # A request in flight keeps the server draining.
    time.sleep(0.2)

    process.send_signal(signal.SIGTERM)
    time.sleep(DRAIN_SECONDS / 3)
    kept.sendall(HEALTH)
    probe.sendall(READY)
    during = answer_of(kept), answer_of(probe)
    new, _ = request(port, "GET", "/healthz")
    given_up = answer_of(late)
    process.communicate(timeout=TIMEOUT_SECONDS)

    assert [(status, headers.get("connection")) for status, headers, _ in before] == [(200, None), (200, None)]
    assert [(status, headers["connection"]) for status, headers, _ in during] == [(200, "close"), (503, "close")]
    assert json.loads(during[1][2]) == {"status": "stopping"}
    assert kept.recv(1) == b""
    assert new == 200
    assert (given_up[0], json.loads(given_up[2])["code"]) == (408, "request_timeout")
    assert process.returncode == 0


def test_stop_waits_for_no_silent_connection(start, port, connect):
    process = start()
    connect(), connect(b"GET /healthz HT")
    answer_of(connect(HEALTH))
    began = time.monotonic()

    process.send_signal(signal.SIGINT)
    process.communicate(timeout=TIMEOUT_SECONDS)

    assert time.monotonic() - began < 5
    assert process.returncode == 0


def is_blocked(process, number):
    """Whether the process keeps this signal waiting. The server does so before it loads Ticks."""
    blocked = re.search(r"SigBlk:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())[1]
    return bool(int(blocked, 16) >> (number - 1) & 1)


@pytest.mark.embedded
def test_stop_while_the_main_process_loads_is_clean(start):
    process = start(is_awaited=False)
    wait_until(lambda: is_blocked(process, signal.SIGTERM))

    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 0
    assert "Unexpected exit" not in said


@pytest.mark.embedded
@pytest.mark.parametrize("seconds", [0, 0.5])
def test_stop_while_workers_start_is_clean(start, seconds):
    process = start(is_awaited=False)
    wait_until(lambda: len(children_of(process)) == 2)
    time.sleep(seconds)

    stop_all_processes(process)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 0
    assert "Unexpected exit" not in said


@pytest.mark.embedded
@pytest.mark.parametrize("seconds", [0, 0.05])
def test_stop_while_a_worker_is_replaced_is_clean(start, seconds):
    process = start()
    os.kill(children_of(process)[0], signal.SIGKILL)
    time.sleep(seconds)

    stop_all_processes(process)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 0
    # This is the worker that was killed.
    assert said.count("Unexpected exit") <= 1


@pytest.mark.embedded
def test_signal_to_a_worker_alone_ends_nothing(start, port, connect):
    process = start()
    workers = children_of(process)
    kept = connect(HEALTH)
    answer_of(kept)

    for worker in workers:
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGINT)
    time.sleep(0.5)
    kept.sendall(HEALTH)
    status, headers, _ = answer_of(kept)

    assert (status, headers.get("connection")) == (200, None)
    assert children_of(process) == workers


def test_killed_worker_is_replaced_and_the_other_goes_on(start, port):
    process = start()
    [other, victim] = children_of(process)
    os.kill(victim, signal.SIGKILL)

    wait_until(lambda: len(set(children_of(process)) - {victim}) == 2)

    assert other in children_of(process)
    assert process.poll() is None
    # The other may not have opened its port either, when the first was killed.
    await_ready(process, port)
