"""Lines that are written later, and still all of them, in order, once."""

import json
import logging
import signal
import subprocess
import sys
import threading
import time

import pytest

from ticks import log_batches
from ticks.log_batches import InBatches, RotatingFile, Writer
from ticks.logging import JsonFormatter, log_request, request_id
from ticks.tests.served import request as ask

PATIENCE_SECONDS = 20


class Kept(logging.Handler):
    """What a batch was written as."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def emit(self, record):
        self.batches.append(record.getMessage().split("\n"))


@pytest.fixture(autouse=True)
def writer(monkeypatch):
    """One of its own, that writes when told to."""
    writer = Writer()
    monkeypatch.setattr(log_batches, "writer", writer)
    monkeypatch.setattr(log_batches, "WINDOW_SECONDS", 3600)
    return writer


@pytest.fixture
def handler():
    return InBatches(Kept())


def say(handler, text, level=logging.INFO):
    handler.handle(logging.makeLogRecord({"msg": text, "levelno": level}))


def eventually(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_lines_are_written_as_one(handler, writer):
    for number in range(3):
        say(handler, str(number))
    before = list(handler.target.batches)
    writer.write_out()

    assert before == []
    assert handler.target.batches == [["0", "1", "2"]]


def test_lines_are_written_before_long(handler, monkeypatch):
    monkeypatch.setattr(log_batches, "WINDOW_SECONDS", 0.01)
    for text in ("first", "second"):
        say(handler, text)

        assert eventually(lambda text=text: handler.target.batches and handler.target.batches[-1] == [text])


def test_error_is_written_at_once_behind_what_came_before(handler):
    say(handler, "before")
    say(handler, "broken", logging.ERROR)

    assert handler.target.batches == [["before", "broken"]]


def test_more_lines_than_memory_is_for_are_written_by_who_logs(handler, monkeypatch):
    monkeypatch.setattr(log_batches, "MAX_LINES", 5)
    for number in range(13):
        say(handler, str(number))

    assert [len(batch) for batch in handler.target.batches] == [6, 6]
    assert len(handler.lines) == 1


def test_handler_that_was_closed_gathers_no_more(handler):
    say(handler, "before")
    handler.close()
    say(handler, "after")

    assert handler.target.batches == [["before"], ["after"]]


def test_lines_are_written_where_no_thread_is_to_be_had(handler, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    say(handler, "now")

    assert handler.target.batches == [["now"]]


def test_record_that_cannot_be_formatted_takes_no_other_with_it(handler, writer, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    say(handler, "before")
    handler.handle(logging.makeLogRecord({"msg": "%d", "args": ("x",)}))
    say(handler, "after")
    writer.write_out()

    assert handler.target.batches == [["before", "after"]]


def test_request_that_cannot_be_worded_takes_no_other_with_it(handler, monkeypatch):
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(log_batches, "WINDOW_SECONDS", 0.01)
    handler.setFormatter(JsonFormatter())
    logging.getLogger("ticks.request").addHandler(handler)
    for method, identity in [("GET", "given"), ("PUT", None), ("POST", "given")]:
        log_request(method=method, path="/x", status=201, seconds=0.0123, user=None, identity=identity)
    logging.getLogger("ticks.request").removeHandler(handler)

    def written():
        return [json.loads(line) for batch in handler.target.batches for line in batch]

    # By the thread, which has more to write later.
    assert eventually(lambda: len(written()) == 2)
    say(handler, "later")
    assert eventually(lambda: len(written()) == 3)
    assert [line.get("method") for line in written()] == ["GET", "POST", None]
    assert written()[2]["message"] == "later"


def test_line_has_the_request_id_of_its_moment(handler, writer):
    handler.setFormatter(JsonFormatter())
    token = request_id.set("mine")
    say(handler, "now")
    request_id.reset(token)
    writer.write_out()

    assert json.loads(handler.target.batches[0][0])["requestId"] == "mine"


def test_request_logged_outside_its_context_has_its_id(handler, writer):
    handler.setFormatter(JsonFormatter())
    logging.getLogger("ticks.request").addHandler(handler)
    log_request(method="POST", path="/x", status=201, seconds=0.0123, user=None, identity="given")
    logging.getLogger("ticks.request").removeHandler(handler)
    writer.write_out()

    line = json.loads(handler.target.batches[0][0])
    assert (line["requestId"], line["ms"], line["user"], line["message"]) == ("given", 12.3, None, "request")


def test_fork_leaves_the_parents_lines_to_the_parent(tmp_path):
    ended = run(tmp_path, FORKED)

    assert ended.returncode == 0
    assert sorted(words(tmp_path)) == ["child", "parent"]


FORKED = """
say("parent")
if os.fork() == 0:
    say("child")
    log_batches.writer.write_out()
    os._exit(0)
os.wait()
"""

CROWD = """
def work(number):
    def talk(thread):
        for line in range(400):
            say(f"{number}-{thread}-{line}")
            time.sleep(0.0002)
    threads = [threading.Thread(target=talk, args=(thread,)) for thread in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]

say("main")
workers = [multiprocessing.get_context("fork").Process(target=work, args=(number,)) for number in range(3)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
"""
PREAMBLE = """
import logging, multiprocessing, os, sys, threading, time
from ticks import log_batches
log_batches.WINDOW_SECONDS = 0.002
handler = log_batches.RotatingFile(filename=sys.argv[1], maxBytes=2000, backupCount=500, encoding="utf-8")
logging.getLogger().addHandler(handler)
logging.getLogger().setLevel("INFO")
say = logging.info
"""


def run(tmp_path, script):
    arguments = [sys.executable, "-c", PREAMBLE + script, str(tmp_path / "some.log")]
    return subprocess.run(arguments, timeout=60, check=False, capture_output=True)


def words(tmp_path):
    """Oldest first."""
    rotated = sorted(tmp_path.glob("some.log.*"), key=lambda path: -int(path.suffix[1:]))
    return [line for path in [*rotated, tmp_path / "some.log"] for line in path.read_text().splitlines()]


def test_processes_and_threads_write_and_rotate_one_file(tmp_path):
    ended = run(tmp_path, CROWD)

    written = words(tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert len(list(tmp_path.glob("some.log.*"))) > 3
    assert len(written) == 1 + 3 * 2 * 400
    assert "main" in written
    for number in range(3):
        for thread in range(2):
            said = [line for line in written if line.startswith(f"{number}-{thread}-")]
            assert said == [f"{number}-{thread}-{line}" for line in range(400)]


def test_process_that_ends_writes_what_it_has(tmp_path):
    assert run(tmp_path, "say('last')").returncode == 0

    assert words(tmp_path) == ["last"]


@pytest.mark.parametrize("script", ["raise SystemExit(3)", "raise ValueError", "sys.exit('no')"])
def test_process_that_fails_writes_what_it_has(tmp_path, script):
    assert run(tmp_path, f"say('last')\n{script}").returncode != 0

    assert words(tmp_path) == ["last"]


def test_rotating_file_takes_its_target_away_with_it(tmp_path):
    handler = RotatingFile(filename=str(tmp_path / "some.log"), maxBytes=2000, backupCount=5, encoding="utf-8")
    say(handler, "é\u2028\n")
    handler.close()

    assert (tmp_path / "some.log").read_text(encoding="utf-8") == "é\u2028\n\n"


@pytest.mark.django_db(transaction=True)
def test_server_that_is_stopped_has_logged_every_request(start, port, tmp_path):
    process = start()
    paths = [f"/api/v1/nothing/{number}" for number in range(30)]

    for path in paths:
        ask(port, "GET", path)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=PATIENCE_SECONDS)

    log = (tmp_path / "logs" / "combined.log").read_text().splitlines()
    logged = [line["path"] for line in map(json.loads, log) if line.get("path", "").startswith("/api/v1/nothing")]
    assert sorted(logged) == sorted(paths)
