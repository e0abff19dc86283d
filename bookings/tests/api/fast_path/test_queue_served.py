"""Waiting requests on the real server: in a full queue, behind a locked event, after lost connections."""

import json
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from django.db import connection

from bookings.tests.api.fast_path.served import BOOKING, HOT, OTHER, booking_bytes, bytes_for, timed, wanted
from ticks.tests.served import DATABASE, TIMEOUT_SECONDS, request

# The suite may run with other settings.
FAST_PATH = {"GROUP_BOOKING": "on", "FAST_PATH": "on"}
pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def lock_held(tmp_path, event):
    """Locks the event's row from another connection; on SQLite, it locks the database."""
    if connection.vendor == "sqlite":
        other = sqlite3.connect(tmp_path / "served.sqlite3", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            other.execute("ROLLBACK")
            other.close()
        return
    with connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT id FROM {DATABASE}.events_event WHERE id = %s FOR UPDATE", [event])
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


def test_full_queue_is_busy_at_once(start, port, connect, tmp_path):
    start(**FAST_PATH, WORKERS="1", QUEUE_LENGTH="1", DB_SECONDS="5")
    # The server has accepted these connections already, so that none waits for it.
    clients = [connect() for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as pool:
        with lock_held(tmp_path, HOT):
            served = pool.submit(timed, clients[0], booking_bytes(HOT))
            time.sleep(0.3)
            waiting = pool.submit(timed, clients[1], booking_bytes(HOT))
            time.sleep(0.1)
            refused = list(pool.map(lambda client: timed(client, booking_bytes(HOT)), clients[2:7]))
            polled = timed(clients[7], bytes_for("GET", f"{BOOKING}/status/{HOT}"))
        answered = [served.result(TIMEOUT_SECONDS), waiting.result(TIMEOUT_SECONDS)]

    busy = {
        "message": "Too many people are at this at once; nothing was changed. Try again in a second.",
        "error": True,
        "code": "busy",
    }
    assert [(status, retry, json.loads(content)) for status, retry, content, _ in refused] == [(503, "1", busy)] * 5
    assert max(seconds for *_, seconds in refused) < 1
    assert polled[0] == 200
    assert [status for status, *_ in answered] == [201, 201]


@pytest.mark.mariadb
def test_locked_event_keeps_only_its_own_waiting(start, port, connect, tmp_path):
    start(**FAST_PATH, WORKERS="1", QUEUE_SECONDS="1", DB_SECONDS="5")
    status = bytes_for("GET", f"{BOOKING}/status/{HOT}")
    clients = [connect() for _ in range(5)]
    client = connect()
    with ThreadPoolExecutor(len(clients)) as pool:
        with lock_held(tmp_path, HOT):
            served = pool.submit(timed, clients[0], booking_bytes(HOT))
            time.sleep(0.3)
            behind = [pool.submit(timed, one, booking_bytes(HOT)) for one in clients[1:]]
            passing = [timed(client, sent) for _ in range(20) for sent in (booking_bytes(OTHER), status)]
            refused = [one.result(TIMEOUT_SECONDS) for one in behind]
        after = served.result(TIMEOUT_SECONDS)

    assert [answer[0] for answer in passing] == [201, 200] * 20
    assert max(seconds for *_, seconds in passing) < 2
    assert [(code, retry, json.loads(said)["code"]) for code, retry, said, _ in refused] == [(503, "1", "busy")] * 4
    assert max(seconds for *_, seconds in refused) < 3
    assert after[0] == 201


@pytest.mark.mariadb
@pytest.mark.parametrize("fast_path", ["on", "off"])
@pytest.mark.parametrize("holder", ["FOR UPDATE", "LOCK TABLES"])
def test_lock_of_somebody_else_is_busy_and_no_outage(start, port, connect, tmp_path, fast_path, holder):
    start(FAST_PATH=fast_path, GROUP_BOOKING=fast_path, WORKERS="1", THREADS="12")
    hold = lock_held(tmp_path, HOT) if holder == "FOR UPDATE" else table_locked("bookings_ledgerentry")
    clients = [connect() for _ in range(8)]
    with ThreadPoolExecutor(len(clients)) as pool, hold:
        refused = list(pool.map(lambda client: timed(client, booking_bytes(HOT)), clients))
        passing = timed(connect(), booking_bytes(OTHER))[0] if holder == "FOR UPDATE" else 201
        healthy = request(port, "GET", "/readyz")[0]

    assert {(status, retry, json.loads(content)["code"]) for status, retry, content, _ in refused} == {
        (503, "1", "busy")
    }
    assert (passing, healthy) == (201, 200)
    assert timed(connect(), booking_bytes(HOT))[0] == 201


@contextmanager
def table_locked(table):
    """Locks the table against all reads and writes, as an ALTER TABLE does."""
    with connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLES {DATABASE}.{table} WRITE")
        try:
            yield
        finally:
            cursor.execute("UNLOCK TABLES")


@pytest.mark.mariadb
def test_locked_event_leaves_half_of_the_queue_to_others(start, port, connect, tmp_path):
    start(**FAST_PATH, WORKERS="1", QUEUE_LENGTH="8")
    clients = [connect() for _ in range(12)]
    client = connect()
    with ThreadPoolExecutor(len(clients)) as pool, lock_held(tmp_path, HOT):
        behind = [pool.submit(timed, one, booking_bytes(HOT)) for one in clients]
        time.sleep(0.5)
        passing = [timed(client, booking_bytes(OTHER))[0] for _ in range(20)]
        at_once = sum(one.done() for one in behind)
        refused = [one.result(TIMEOUT_SECONDS) for one in behind]

    assert passing == [201] * 20
    # One or more are in a batch, four wait, and the others were refused at once.
    assert 4 <= at_once <= 7
    assert {json.loads(content)["code"] for _, _, content, _ in refused} == {"busy"}


@pytest.mark.mariadb
def test_value_that_the_database_refuses_is_invalid_and_no_outage(start, port, connect):
    start(**FAST_PATH, WORKERS="1")
    odd = [bytes_for("POST", BOOKING, wanted(HOT, firstName="Łucja")) for _ in range(4)]
    with connection.cursor() as cursor:
        cursor.execute(
            f"ALTER TABLE {DATABASE}.bookings_booking MODIFY first_name varchar(100) CHARACTER SET latin1 NOT NULL"
        )
    clients = [connect() for _ in range(8)]

    with ThreadPoolExecutor(len(clients)) as pool:
        answers = list(pool.map(timed, clients, [sent for each in odd for sent in (booking_bytes(HOT), each)]))

    assert [status for status, *_ in answers] == [201, 400] * 4
    assert {json.loads(content)["code"] for status, _, content, _ in answers if status == 400} == {"invalid"}
    assert "Leave out unusual characters" in json.loads(answers[1][2])["message"]


@pytest.mark.mariadb
def test_connections_that_are_killed_are_made_anew(start, port, connect):
    start(**FAST_PATH, WORKERS="1")
    client = connect()
    status = bytes_for("GET", f"{BOOKING}/status/{HOT}")
    warm = [timed(client, sent)[0] for sent in (booking_bytes(HOT), status)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", [DATABASE])
        for (identity,) in cursor.fetchall():
            cursor.execute("KILL %s", [identity])

    answers = []
    deadline = time.monotonic() + 5
    while answers[-2:] != [201, 200] and time.monotonic() < deadline:
        answers += [timed(client, sent)[0] for sent in (booking_bytes(HOT), status)]

    assert warm == [201, 200]
    assert set(answers) <= {200, 201, 503}
    assert answers[-2:] == [201, 200]
