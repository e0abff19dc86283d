import contextlib
import io
import json
import logging
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError

from ticks.logging import BATCH_LINES, LogHandler, json_line, log_request, request_id, without_values, write_in_batches
from ticks.tests.served import request

pytestmark = pytest.mark.django_db

HEX = re.compile(r"[0-9a-f]{32}")
PASSWORD = "correct horse 9 battery"


@pytest.fixture
def log():
    """The lines that the loggers of the settings write."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.format = json_line
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def lines(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


@pytest.mark.parametrize("path", ["/api/v1/booking", '/"\\\n\x1b[31m', "/é\u2028\ud800"])
@pytest.mark.parametrize("user", [None, 7])
def test_request_line_is_what_json_dumps_writes(log, path, user):
    log_request(method="GET", path=path, status=200, seconds=0.01234, user=user, identity="abc-1")

    [written] = log.getvalue().splitlines()
    line = json.loads(written)
    assert written == json.dumps(line)
    assert (line["path"], line["user"], line["ms"], line["requestId"]) == (path, user, 12.3, "abc-1")


def test_request_is_one_line_with_its_facts(owner, user, log):
    response = owner.get("/api/v1/auth/me?colour=red", headers={"X-Request-ID": "abc-1"})

    (line,) = lines(log)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert 0 < line.pop("ms") < 60_000
    assert line == {
        "level": "info",
        "logger": "ticks.request",
        "message": "request",
        "requestId": "abc-1",
        "method": "GET",
        "path": "/api/v1/auth/me",
        "status": 200,
        "user": user.pk,
    }
    assert response["X-Request-ID"] == "abc-1"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/v1/nothing", 404), ("/api/v1/event", 401), ("/healthz", 200), ("/nothing", 404), ("/admin/", 302)],
)
def test_request_that_is_no_success_is_one_line_too(anonymous, log, path, status):
    anonymous.get(path)

    (line,) = lines(log)
    assert (line["path"], line["status"], line["user"]) == (path, status, None)


def test_request_of_a_browser_session_names_the_user(anonymous, user, log):
    anonymous.force_login(user)

    anonymous.get("/api/v1/auth/me")

    assert [line["user"] for line in lines(log)] == [user.pk]


def test_log_costs_no_query(anonymous, user, log, django_assert_num_queries):
    anonymous.force_login(user)

    with django_assert_num_queries(0):
        anonymous.get("/healthz")

    assert [line["user"] for line in lines(log)] == [None]


@pytest.mark.parametrize("given", ["abc", "a" * 128, "8f14e45f-ceea-467f-a1f6-9d0e4f3b2c1d", "A.b_c:d/e+f=", "1"])
def test_harmless_request_id_is_taken_over(anonymous, log, given):
    response = anonymous.get("/healthz", headers={"X-Request-ID": given})

    assert response["X-Request-ID"] == given
    assert [line["requestId"] for line in lines(log)] == [given]


@pytest.mark.parametrize(
    "given",
    ["", " ", "a b", "a\nb", "a\r\nSet-Cookie: x=1", "a\n", '{"a":1}', "é", "a\x1b[31m", "a" * 129, "<b>", "a\0"],
)
def test_hostile_request_id_is_replaced(anonymous, log, given):
    response = anonymous.get("/healthz", headers={"X-Request-ID": given})

    assert HEX.fullmatch(response["X-Request-ID"])
    assert [line["requestId"] for line in lines(log)] == [response["X-Request-ID"]]


def test_each_request_has_its_own_id_and_none_remains(anonymous):
    ids = {anonymous.get("/healthz")["X-Request-ID"] for _ in range(3)}

    assert len(ids) == 3
    assert request_id.get() == "-"


def test_path_cannot_start_a_second_line(anonymous, log):
    path = "/api/a%0A12:00:00%20200%20GET%20/%1B[31m%E2%80%A8"

    anonymous.get(path)

    assert lines(log)[0]["path"] == "/api/a\n12:00:00 200 GET /\x1b[31m\u2028"
    assert len(log.getvalue().splitlines()) == 1
    assert "\x1b" not in log.getvalue()


def test_half_a_surrogate_pair_is_logged(log):
    logging.getLogger("ticks.errors").error("Refused: %s", "\ud800")

    assert lines(log)[0]["message"] == "Refused: \ud800"
    assert log.getvalue().isascii()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/" + "a" * 10_000),
        ("GET", "/" + "\N{PARTY POPPER}" * 3000),
        ("M" * 10_000, "/"),
        ("GET", "/" * 10_000),
    ],
)
def test_line_of_a_request_has_a_bound(log, method, path):
    for _ in range(3):
        log_request(method=method, path=path, status=404, seconds=0.1, user=7, identity="a" * 128)

    # A character that is not ASCII takes six bytes, or twelve.
    assert [len(line) < 4000 for line in log.getvalue().splitlines()] == [True] * 3


def test_path_is_shortened_in_the_middle(anonymous, log):
    anonymous.get("/api/" + "a" * 2000 + "/end")

    assert lines(log)[0]["path"] == f"/api/{'a' * 123}...(1753 more)...{'a' * 124}/end"


@pytest.mark.parametrize("said", ["a" * 50_000, "a\n" * 25_000, "\N{PARTY POPPER}" * 50_000])
def test_line_of_an_error_has_a_bound(log, said):
    try:
        raise ZeroDivisionError(said)
    except ZeroDivisionError:
        logging.getLogger("django.request").exception("It broke: %s", said)

    (line,) = lines(log)
    assert "in test_line_of_an_error_has_a_bound" in line["traceback"]
    assert len(line["message"]) < 2100
    assert len(line["traceback"]) < 17_000
    assert len(log.getvalue()) < 250_000


def test_refusal_of_django_is_one_line_without_a_traceback(anonymous, log):
    form = {f"field_{number}": "1" for number in range(1001)}

    response = anonymous.post("/admin/login/", form, format="multipart")

    refused, request = lines(log)
    assert response.status_code == 400
    assert (refused["logger"], request["status"]) == ("django.security.TooManyFieldsSent", 400)
    assert "traceback" not in refused


@pytest.mark.parametrize(
    "worst",
    [
        "incorrect " * 100_000,
        "incorrect " + "a " * 500_000,
        "Duplicate entry '" * 60_000,
        "Duplicate entry '" + "' " * 500_000,
        "Duplicate entry ''" + "\n" * 1_000_000,
    ],
)
def test_what_a_database_quotes_is_found_in_linear_time(worst):
    began = time.perf_counter()

    without_values(worst)

    assert time.perf_counter() - began < 1


def test_value_whose_closing_quote_is_missing_is_left_out(log):
    logging.getLogger("ticks.errors").error("Duplicate entry 'ada@example.org")

    assert lines(log)[0]["message"] == "Duplicate entry '...'"


def test_error_has_its_traceback_inside_the_line(log):
    try:
        raise ZeroDivisionError("nothing\nto see")
    except ZeroDivisionError:
        logging.getLogger("django.request").exception("It broke")

    (line,) = lines(log)
    assert (line["level"], line["message"]) == ("error", "It broke")
    assert line["traceback"].endswith("ZeroDivisionError: nothing\nto see")


def test_log_holds_no_secret_and_no_mail_address(anonymous, staff, log):
    made = staff.post("/api/v1/event", {"name": "Concert", "date": "2080-01-01", "totalTickets": 5})
    account = {"username": "divine", "email": "divine@example.com", "password": PASSWORD}
    anonymous.post("/api/v1/auth/register", account)
    anonymous.post("/api/v1/auth/register", {**account, "password": "weak-7"})
    anonymous.post("/api/v1/auth/login", {"email": "divine@example.com", "password": "wrong-7"})
    pair = anonymous.post("/api/v1/auth/login", {"email": "divine@example.com", "password": PASSWORD}).json()["data"]
    bearer = {"Authorization": f"Bearer {pair['token']}"}
    anonymous.get("/api/v1/auth/me", headers=bearer)
    renewed = anonymous.post("/api/v1/auth/refresh", {"refreshToken": pair["refreshToken"]}).json()["data"]
    booking = {
        "eventId": made.json()["data"]["id"],
        "firstName": "Divine",
        "lastName": "Alphonsus",
        "email": "guest@example.com",
        "ticketsReserved": 1,
    }
    booked = anonymous.post("/api/v1/booking", booking, headers={"Idempotency-Key": "key-4711"}).json()["data"]
    url = f"/api/v1/booking/{booked['id']}?token={booked['bookingToken']}"
    shown = anonymous.get(url)
    anonymous.get(url.replace("token=", "token=x"))
    cancelled = anonymous.delete(url)

    assert (shown.status_code, cancelled.status_code) == (200, 200)
    assert get_user_model().objects.filter(username="divine").exists()
    assert len(lines(log)) == 11
    secrets = [PASSWORD, "weak-7", "wrong-7", "@example.com", *pair.values(), *renewed.values()]
    secrets += [booked["bookingToken"], "token=", "key-4711", "Alphonsus"]
    assert [secret for secret in secrets if secret in log.getvalue()] == []


@pytest.mark.parametrize(
    "message",
    [
        "(1062, \"Duplicate entry 'ada@example.org' for key 'email'\")",
        "(1366, \"Incorrect string value: 'ada@example.org' for column `ticks`.`user`.`email` at row 1\")",
        "(1292, \"Truncated incorrect DOUBLE value: 'ada@example.org'\")",
        "(1292, \"Incorrect datetime value: 'ada@example.org' for column 'date' at row 1\")",
        "(1062, \"Duplicate entry 'it's\nada@example.org' for key 'email'\")",
    ],
)
def test_log_does_not_say_what_a_database_quotes(log, message):
    try:
        raise IntegrityError(message)
    except IntegrityError as error:
        logging.getLogger("ticks.errors").exception("The database failed: %s", error)

    assert "ada@example.org" not in log.getvalue()
    assert "'...'" in log.getvalue()


def test_refusal_without_the_database_takes_two_lines(anonymous, unreachable_database, caplog):
    unreachable_database()

    anonymous.get("/api/v1/booking/status/1")

    assert [record.name for record in caplog.records if record.levelname != "DEBUG"] == [
        "ticks.errors",
        "ticks.request",
    ]


# The file, stderr, and batches


@pytest.fixture
def path(tmp_path):
    (tmp_path / "logs").mkdir()
    return tmp_path / "logs" / "some.log"


@pytest.fixture
def handler(path):
    handler = LogHandler(str(path))
    handler.targets[1].setStream(io.StringIO())
    yield handler
    close(handler)


def close(handler):
    for target in handler.targets:
        # The lines that are still in a buffer cannot be written to a full disk either.
        with contextlib.suppress(OSError):
            target.close()


def say(handler, text, level=logging.INFO, **fields):
    handler.handle(logging.makeLogRecord({"msg": text, "levelno": level, **fields}))


def messages(path):
    return [json.loads(line)["message"] for line in path.read_text().splitlines()]


def test_line_goes_to_the_file_and_to_stderr(handler, path):
    say(handler, "first")

    assert messages(path) == ["first"]
    assert handler.targets[1].stream.getvalue() == path.read_text()


def test_terminal_gets_a_short_line_of_a_request_and_no_control_character(handler, path):
    handler.is_terminal = True
    facts = {"name": "ticks.request", "method": "GET", "path": "/\x1b[31m", "status": 404, "ms": 12.3, "user": None}
    say(handler, "request", request_id="abc", **facts)
    say(handler, "something else")

    short, other = handler.targets[1].stream.getvalue().splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d 404 GET /\\u001b\[31m 12\.3 ms", short)
    assert other == path.read_text().splitlines()[1]
    assert messages(path) == ["request", "something else"]


def test_stderr_that_is_no_terminal_gets_the_line_of_the_file(handler):
    assert not handler.is_terminal


def test_line_goes_to_the_new_file_once_the_file_was_rotated(handler, path):
    say(handler, "first")
    path.rename(path.with_suffix(".1"))
    say(handler, "second")

    assert (messages(path.with_suffix(".1")), messages(path)) == (["first"], ["second"])


def test_missing_directory_fails_nobody_and_is_used_again_once_it_is_there(handler, path):
    say(handler, "first")
    shutil.rmtree(path.parent)
    say(handler, "lost")
    say(handler, "lost too")
    path.parent.mkdir()
    say(handler, "last")

    assert messages(path) == ["last"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_fails_nobody_and_says_nothing_of_the_failure(capsys):
    handler = LogHandler("/dev/full")
    say(handler, "a line")
    close(handler)

    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["message"] for line in err.splitlines()] == ["a line"]


def test_processes_that_append_to_one_file_tear_no_line(path):
    script = (
        "import logging, sys; from ticks.logging import LogHandler; handler = LogHandler(sys.argv[1])\n"
        "for _ in range(500): handler.handle(logging.makeLogRecord({'msg': sys.argv[2] * 300, 'levelno': 20}))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", script, path, letter], stderr=subprocess.DEVNULL) for letter in "abcd"
    ]

    assert [writer.wait(timeout=60) for writer in writers] == [0] * 4
    assert Counter(messages(path)) == {letter * 300: 500 for letter in "abcd"}


@pytest.fixture
def batches(handler):
    handler.most_lines = 4
    return handler


def test_lines_of_a_batch_are_one_write(batches, monkeypatch):
    writes = []
    monkeypatch.setattr(batches.targets[0], "handle", lambda record: writes.append(record.getMessage()))
    for number in range(3):
        say(batches, str(number))
    before = list(writes)
    batches.flush()
    batches.flush()

    assert before == []
    assert [[json.loads(line)["message"] for line in write.split("\n")] for write in writes] == [["0", "1", "2"]]


def test_error_is_written_at_once_behind_what_came_before(batches, path):
    say(batches, "before")
    say(batches, "broken", logging.ERROR)

    assert messages(path) == ["before", "broken"]


def test_full_batch_is_written_at_once(batches, path):
    for number in range(6):
        say(batches, str(number))

    assert messages(path) == ["0", "1", "2", "3"]


def test_line_that_cannot_be_formatted_takes_no_other_with_it(batches, path):
    say(batches, "before")
    say(batches, "%d", args=("x",))
    say(batches, "after")
    batches.flush()

    assert messages(path) == ["before", "after"]


def test_line_of_a_batch_has_the_request_id_of_its_moment(batches, path):
    token = request_id.set("mine")
    say(batches, "now")
    request_id.reset(token)
    batches.flush()

    assert json.loads(path.read_text())["requestId"] == "mine"


def test_worker_makes_the_handler_of_the_settings_write_batches(monkeypatch):
    for fact in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        monkeypatch.setattr(logging, fact, True, raising=False)
    [handler] = [handler for handler in logging.getLogger().handlers if isinstance(handler, LogHandler)]
    monkeypatch.setattr(handler, "most_lines", 1)

    assert write_in_batches() is handler
    assert handler.most_lines == BATCH_LINES
    handler.flush()


@pytest.mark.django_db(transaction=True)
def test_server_that_is_stopped_has_logged_every_request(start, port, tmp_path):
    process = start()
    paths = [f"/api/v1/nothing/{number}" for number in range(30)]

    for path in paths:
        request(port, "GET", path)
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=20)

    log = (tmp_path / "logs" / "combined.log").read_text().splitlines()
    logged = [json.loads(line).get("path", "") for line in log]
    assert sorted(path for path in logged if path.startswith("/api/v1/nothing")) == sorted(paths)
