"""What the API refuses is counted once, by one thread that nobody waits for, whatever the database does."""

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from ticks import refusal_counts
from ticks.models import RefusalMinute
from ticks.refusal_counts import CODE_LENGTH, KEPT, Tally, prune_refusals, tally
from ticks.tests.faults import wait_for_return
from ticks.tests.served import PATIENCE_SECONDS, stored_rows
from ticks.tests.served import request as ask

NOON = datetime(2026, 3, 1, 12, 0, 59, 999_999, tzinfo=UTC)
MINUTE = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock(monkeypatch):
    """Time stands still, and is set."""
    moments = [NOON]
    monkeypatch.setattr(timezone, "now", lambda: moments[-1])
    return moments


def counted(*codes):
    """A tally that has counted these."""
    one = Tally()
    for code in codes:
        one.count(code)
    return one


def rows():
    return list(RefusalMinute.objects.order_by("minute", "code").values_list("minute", "code", "count"))


@pytest.mark.django_db
def test_refusals_are_written_by_minute_and_code_in_one_statement(clock, django_assert_num_queries):
    one = counted("sold_out", "busy", "sold_out")

    with django_assert_num_queries(1):
        one.write()

    assert rows() == [(MINUTE, "busy", 1), (MINUTE, "sold_out", 2)]


@pytest.mark.django_db
def test_later_refusals_are_added_to_those_of_the_minute(clock):
    one, other = counted("sold_out"), counted("sold_out", "busy")

    one.write()
    other.write()
    one.count("sold_out")
    clock.append(MINUTE + timedelta(minutes=1))
    one.write()

    assert rows() == [
        (MINUTE, "busy", 1),
        (MINUTE, "sold_out", 2),
        (MINUTE + timedelta(minutes=1), "sold_out", 1),
    ]


@pytest.mark.django_db
def test_nothing_refused_is_nothing_written_and_nothing_asked(django_assert_num_queries):
    one = counted("sold_out")
    one.write()

    with django_assert_num_queries(0):
        one.write()
        Tally().write()

    assert [count for _, _, count in rows()] == [1]


@pytest.mark.django_db
def test_what_scanners_are_answered_is_not_counted(django_assert_num_queries):
    one = counted("not_found", "bad_host")

    with django_assert_num_queries(0):
        one.write()

    assert rows() == []


@pytest.mark.django_db
def test_code_that_is_too_long_is_cut_and_keeps_no_other_from_being_written():
    counted("x" * 200, "busy").write()

    assert [row[1:] for row in rows()] == [("busy", 1), ("x" * CODE_LENGTH, 1)]


def test_no_more_is_gathered_than_memory_is_for(clock, monkeypatch):
    monkeypatch.setattr(refusal_counts, "MAX_GATHERED", 3)
    monkeypatch.setattr(refusal_counts, "MAX_ROWS", 2)
    one = counted("first", "a", "a", "b")

    one.add_up()
    clock.append(MINUTE + timedelta(minutes=1))
    one.count("a")
    one.add_up()

    assert one.unwritten == {(MINUTE, "b"): 1, (MINUTE + timedelta(minutes=1), "a"): 1}


def test_database_that_is_away_loses_nothing(unreachable_database, clock, caplog):
    one = counted("sold_out")
    unreachable_database()

    one.write_if_possible()
    clock.append(MINUTE + timedelta(minutes=1))
    one.count("busy")
    one.write_if_possible()
    said = [record.levelname for record in caplog.records if record.name == "ticks.refusal_counts"]

    assert said == ["WARNING"]
    assert one.unwritten == {(MINUTE, "sold_out"): 1, (MINUTE + timedelta(minutes=1), "busy"): 1}


@pytest.mark.django_db(transaction=True)
def test_what_waited_for_the_database_is_written_under_its_own_minute(clock, monkeypatch, caplog):
    one = counted("sold_out")
    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "NAME", "/nonexistent/none")
        connection.close()
        one.write_if_possible()
    wait_for_return()
    clock.append(MINUTE + timedelta(minutes=9))
    one.write_if_possible()

    with monkeypatch.context() as patched:
        patched.setitem(connection.settings_dict, "NAME", "/nonexistent/none")
        one.count("busy")
        one.write_if_possible()
    wait_for_return()

    assert rows() == [(MINUTE, "sold_out", 1)]
    # Once for each time that it went away.
    assert len([record for record in caplog.records if record.name == "ticks.refusal_counts"]) == 2


@pytest.mark.django_db(transaction=True)
def test_writer_keeps_no_connection():
    counted("sold_out").write_if_possible()

    assert connection.connection is None


@pytest.mark.django_db(transaction=True)
def test_thread_goes_on_after_an_error_of_any_kind(monkeypatch):
    one = counted("sold_out")
    write = refusal_counts.add_to_rows
    # Only the last one ends the thread.
    steps = iter([RuntimeError("made up"), None, SystemExit])

    def write_or_fail(counts):
        step = next(steps)
        if step:
            raise step
        write(counts)
        one.count("busy")

    monkeypatch.setattr(refusal_counts, "WRITE_SECONDS", 0.01)
    monkeypatch.setattr(refusal_counts, "add_to_rows", write_or_fail)

    with pytest.raises(SystemExit):
        one.run()

    assert [row[1:] for row in rows()] == [("sold_out", 1)]


def test_no_thread_is_started_and_nothing_written_unless_asked(db, anonymous):
    tally.gathered.clear()

    anonymous.get("/api/v1/auth/me")

    assert list(tally.gathered) == ["not_authenticated"]
    assert rows() == []


def test_new_process_leaves_the_parents_counts_to_the_parent():
    tally.gathered.clear()
    tally.count("sold_out")
    reader, writer = multiprocessing.Pipe(duplex=False)

    child = os.fork()
    if child == 0:
        tally.count("busy")
        writer.send((list(tally.gathered), tally.writing.locked()))
        os._exit(0)
    os.waitpid(child, 0)

    assert reader.recv() == (["busy"], False)
    assert list(tally.gathered) == ["sold_out"]


@pytest.mark.django_db
def test_prune_deletes_what_is_older_than_a_week():
    now = timezone.now()
    for age in (KEPT - timedelta(minutes=1), KEPT + timedelta(minutes=1)):
        RefusalMinute.objects.create(minute=now - age, code="busy", count=1)

    deleted = prune_refusals()

    assert deleted == 1
    assert RefusalMinute.objects.get().minute == now - KEPT + timedelta(minutes=1)


@pytest.mark.django_db(transaction=True)
def test_server_that_is_stopped_has_written_every_refusal(start, port, tmp_path):
    process = start()

    # The first and the third in front of Django, the others by it; the last is what scanners ask for.
    asked = [
        ask(port, "GET", "/api/v1/booking/status/999")[0],
        ask(port, "GET", "/api/v1/booking/status/999?a=b")[0],
        ask(port, "GET", "/api/v1/booking/status/999")[0],
        ask(port, "GET", "/api/v1/auth/me")[0],
        ask(port, "GET", "/api/v1/nothing")[0],
    ]
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=PATIENCE_SECONDS)

    assert asked == [404, 404, 404, 401, 404]
    totals = {}
    for code, count in stored_rows(tmp_path, "ticks_refusalminute", "code, count"):
        totals[code] = totals.get(code, 0) + count
    assert totals == {"event_not_found": 3, "not_authenticated": 1}


@pytest.mark.django_db(transaction=True)
def test_server_writes_refusals_while_it_runs(start, port, tmp_path):
    start()
    ask(port, "GET", "/api/v1/auth/me")

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not stored_rows(tmp_path, "ticks_refusalminute", "code") and time.monotonic() < deadline:
        time.sleep(0.2)

    assert stored_rows(tmp_path, "ticks_refusalminute", "code, count") == [("not_authenticated", 1)]
