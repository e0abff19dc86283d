import io
import json
import logging
import re
import time

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError

from ticks.logging import JsonFormatter, ReadableFormatter, log_request, request_id, without_values

pytestmark = pytest.mark.django_db

HEX = re.compile(r"[0-9a-f]{32}")
PASSWORD = "correct horse 9 battery"


def captured(formatter):
    """What the loggers of the settings write, in this format."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def machine_log():
    yield from captured(JsonFormatter())


@pytest.fixture
def readable_log():
    yield from captured(ReadableFormatter())


def lines(log):
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_log_file_has_the_format_for_machines():
    handler = django_settings.LOGGING["handlers"]["combined"]

    assert django_settings.LOGGING["formatters"][handler["formatter"]] == {"()": "ticks.logging.JsonFormatter"}
    assert handler["filename"].endswith("combined.log")
    assert "combined" in django_settings.LOGGING["root"]["handlers"]


@pytest.mark.parametrize("path", ["/api/v1/booking", '/"\\\n\x1b[31m', "/é\u2028\ud800"])
@pytest.mark.parametrize("user", [None, 7])
def test_request_line_is_the_json_that_any_other_line_would_be(machine_log, caplog, path, user):
    log_request(method="GET", path=path, status=200, seconds=0.01234, user=user, identity="abc-1")

    written = machine_log.getvalue().splitlines()
    [record] = caplog.records
    # One of the kind that is not written by hand.
    record.__class__ = logging.LogRecord
    assert written == [JsonFormatter().format(record)]
    assert (record.ms, record.msecs, record.threadName) == (12.3, int(record.created % 1 * 1000), None)


def test_request_is_one_line_with_its_facts(owner, user, machine_log):
    response = owner.get("/api/v1/auth/me?colour=red", headers={"X-Request-ID": "abc-1"})

    (line,) = lines(machine_log)
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
def test_request_that_is_no_success_is_one_line_too(anonymous, machine_log, path, status):
    anonymous.get(path)

    (line,) = lines(machine_log)
    assert (line["path"], line["status"], line["user"]) == (path, status, None)


def test_request_of_a_browser_session_names_the_user(anonymous, user, machine_log):
    anonymous.force_login(user)

    anonymous.get("/api/v1/auth/me")

    assert [line["user"] for line in lines(machine_log)] == [user.pk]


def test_log_costs_no_query(anonymous, user, machine_log, django_assert_num_queries):
    anonymous.force_login(user)

    with django_assert_num_queries(0):
        anonymous.get("/healthz")

    assert [line["user"] for line in lines(machine_log)] == [None]


@pytest.mark.parametrize("given", ["abc", "a" * 128, "8f14e45f-ceea-467f-a1f6-9d0e4f3b2c1d", "A.b_c:d/e+f=", "1"])
def test_harmless_request_id_is_taken_over(anonymous, machine_log, given):
    response = anonymous.get("/healthz", headers={"X-Request-ID": given})

    assert response["X-Request-ID"] == given
    assert [line["requestId"] for line in lines(machine_log)] == [given]


@pytest.mark.parametrize(
    "given",
    ["", " ", "a b", "a\nb", "a\r\nSet-Cookie: x=1", "a\n", '{"a":1}', "é", "a\x1b[31m", "a" * 129, "<b>", "a\0"],
)
def test_hostile_request_id_is_replaced(anonymous, machine_log, given):
    response = anonymous.get("/healthz", headers={"X-Request-ID": given})

    assert HEX.fullmatch(response["X-Request-ID"])
    assert [line["requestId"] for line in lines(machine_log)] == [response["X-Request-ID"]]


def test_each_request_has_its_own_id_and_none_remains(anonymous):
    ids = {anonymous.get("/healthz")["X-Request-ID"] for _ in range(3)}

    assert len(ids) == 3
    assert request_id.get() == "-"


def test_path_cannot_start_a_second_line(anonymous, machine_log, readable_log):
    path = "/api/a%0A12:00:00%20200%20GET%20/%1B[31m%E2%80%A8"

    anonymous.get(path)

    assert lines(machine_log)[0]["path"] == "/api/a\n12:00:00 200 GET /\x1b[31m\u2028"
    assert len(readable_log.getvalue().splitlines()) == 1
    assert "\x1b" not in readable_log.getvalue()


def test_half_a_surrogate_pair_is_logged(machine_log):
    logging.getLogger("ticks.api.errors").error("Refused: %s", "\ud800")

    assert lines(machine_log)[0]["message"] == "Refused: \ud800"
    assert machine_log.getvalue().isascii()


def test_readable_line_says_the_same(owner, user, readable_log):
    owner.get("/api/v1/auth/me?colour=red", headers={"X-Request-ID": "abc-1"})

    assert re.fullmatch(
        rf"\d\d:\d\d:\d\d 200 GET /api/v1/auth/me \d+\.\d ms, user {user.pk} \[abc-1\]\n", readable_log.getvalue()
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/" + "a" * 10_000),
        ("GET", "/" + "\N{PARTY POPPER}" * 3000),
        ("M" * 10_000, "/"),
        ("GET", "/" * 10_000),
    ],
)
def test_line_of_a_request_has_a_bound(machine_log, readable_log, method, path):
    for _ in range(3):
        log_request(method=method, path=path, status=404, seconds=0.1, user=7, identity="a" * 128)

    # What is not ASCII takes six bytes, or twelve.
    assert [len(line) < 4000 for log in (machine_log, readable_log) for line in log.getvalue().splitlines()] == [
        True
    ] * 6


def test_path_is_shortened_in_the_middle(anonymous, machine_log):
    anonymous.get("/api/" + "a" * 2000 + "/end")

    assert lines(machine_log)[0]["path"] == f"/api/{'a' * 123}...(1753 more)...{'a' * 124}/end"


@pytest.mark.parametrize("said", ["a" * 50_000, "a\n" * 25_000, "\N{PARTY POPPER}" * 50_000])
def test_line_of_an_error_has_a_bound(machine_log, readable_log, said):
    try:
        raise ZeroDivisionError(said)
    except ZeroDivisionError:
        logging.getLogger("django.request").exception("It broke: %s", said)

    (line,) = lines(machine_log)
    assert "in test_line_of_an_error_has_a_bound" in line["traceback"]
    assert len(line["message"]) < 2100
    assert len(line["traceback"]) < 17_000
    assert len(machine_log.getvalue()) < 250_000
    assert len(readable_log.getvalue()) < 100_000


def test_refusal_of_django_is_one_line_without_a_traceback(anonymous, machine_log, readable_log):
    form = {f"field_{number}": "1" for number in range(1001)}

    response = anonymous.post("/admin/login/", form, format="multipart")

    refused, request = lines(machine_log)
    assert response.status_code == 400
    assert (refused["logger"], request["status"]) == ("django.security.TooManyFieldsSent", 400)
    assert "traceback" not in refused
    assert len(readable_log.getvalue().splitlines()) == 2


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


def test_value_whose_closing_quote_is_missing_is_left_out(machine_log):
    logging.getLogger("ticks.api.errors").error("Duplicate entry 'ada@example.org")

    assert lines(machine_log)[0]["message"] == "Duplicate entry '...'"


def test_error_has_its_traceback_inside_the_line(machine_log):
    try:
        raise ZeroDivisionError("nothing\nto see")
    except ZeroDivisionError:
        logging.getLogger("django.request").exception("It broke")

    (line,) = lines(machine_log)
    assert (line["level"], line["message"]) == ("error", "It broke")
    assert line["traceback"].endswith("ZeroDivisionError: nothing\nto see")


def test_log_holds_no_secret_and_no_mail_address(anonymous, staff, machine_log, readable_log):
    made = staff.post("/api/v1/event", {"name": "Concert", "date": "2030-01-01", "totalTickets": 5})
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
    assert len(lines(machine_log)) == 11
    secrets = [PASSWORD, "weak-7", "wrong-7", "@example.com", *pair.values(), *renewed.values()]
    secrets += [booked["bookingToken"], "token=", "key-4711", "Alphonsus"]
    for log in (machine_log.getvalue(), readable_log.getvalue()):
        assert [secret for secret in secrets if secret in log] == []


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
def test_log_does_not_say_what_a_database_quotes(machine_log, readable_log, message):
    try:
        raise IntegrityError(message)
    except IntegrityError as error:
        logging.getLogger("ticks.api.errors").exception("The database failed: %s", error)

    for log in (machine_log.getvalue(), readable_log.getvalue()):
        assert "ada@example.org" not in log
        assert "'...'" in log


def test_refusal_without_the_database_takes_two_lines(anonymous, unreachable_database, caplog):
    unreachable_database()

    anonymous.get("/api/v1/booking/status/1")

    assert [record.name for record in caplog.records if record.levelname != "DEBUG"] == [
        "ticks.api.errors",
        "ticks.request",
    ]
