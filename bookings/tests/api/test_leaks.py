"""The search for leaked secrets (`leaks.py`) records them and finds them."""

import logging
from types import SimpleNamespace

import pytest

from accounts import tokens
from accounts.links import ask_for_new_password
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.tests.mailbox import latest_token
from bookings.tests import leaks
from bookings.tests.factories import BookingFactory
from bookings.tests.wire import booking_body

pytestmark = pytest.mark.django_db


@pytest.fixture
def watch(tmp_path):
    watch = leaks.Watch(tmp_path)
    watch.record("password", 'pässword "4711"')
    watch.record("token", "A" * 43)
    watch.record("key", "key-4711")
    watch.record("setting", "s" * 32)
    return watch


@pytest.mark.parametrize(
    "line",
    [
        'a pässword "4711" b',
        r'{"a": "p\u00e4ssword \"4711\""}',
        "?password=p%C3%A4ssword%20%224711%22",
        "password=p%C3%A4ssword+%224711%22",
        "?token=" + "A" * 43 + "&",
        "key-4711",
        "s" * 40,
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "ada@example.org",
    ],
)
def test_secret_is_found_in_any_spelling_and_not_said_again(watch, line):
    watch.keep("combined.log", f"before\n{line}\nafter")

    [finding] = watch.findings()

    assert finding.startswith("combined.log: ")
    assert line not in finding
    assert "********" in finding


def test_harmless_file_has_no_findings(watch):
    watch.keep("combined.log", '{"path": "/api/v1/booking/1", "requestId": "' + "a" * 43 + '", "user": 4711}')

    assert watch.findings() == []


def test_run_that_leaked_fails(watch):
    session = SimpleNamespace(exitstatus=0, config=SimpleNamespace(leaks=watch, _tmp_path_factory=SimpleNamespace()))
    session.config._tmp_path_factory.getbasetemp = lambda: watch.directory / "none"

    watch.keep("combined.log", "key-4711")
    leaks.pytest_sessionfinish(session)
    leaked, failed = session.config.leaked, session.exitstatus
    (watch.directory / "combined.log").write_text("nothing")
    session.exitstatus = 0
    leaks.pytest_sessionfinish(session)

    assert (len(leaked), failed) == (1, pytest.ExitCode.TESTS_FAILED)
    assert (session.config.leaked, session.exitstatus) == ([], 0)


def test_secrets_that_tests_use_are_recorded(anonymous, pytestconfig, settings):
    recorded = pytestconfig.leaks.secrets
    pair = tokens.log_in(UserFactory())
    guest = BookingFactory(user=None)
    settings.MAIL_ENABLED = True
    ask_for_new_password(UserFactory().email)
    link = latest_token()
    anonymous.post("/api/v1/auth/login", {"username": "nobody", "password": f"{PASSWORD} never hashed elsewhere"})
    anonymous.post(
        "/api/v1/booking",
        booking_body(guest.event),
        headers={"Idempotency-Key": "a key that is recorded".replace(" ", "-")},
    )

    assert {*pair.values(), guest.token, link.rpartition(".")[2]} <= recorded["token"]
    assert f"{PASSWORD} never hashed elsewhere" in recorded["password"]
    assert "a-key-that-is-recorded" in recorded["key"]
    assert len(recorded["setting"]) >= 2


def test_log_writes_and_refusals_are_kept_for_the_search(anonymous, pytestconfig):
    directory = pytestconfig.leaks.directory

    logging.getLogger("ticks").info("A line for %s", "the-search-of-leaks")
    UserFactory(username="written-for-the-search")
    anonymous.get("/api/v1/refused-for-the-search", headers={"X-Request-ID": "refused-for-the-search"})

    for name, text in {
        "combined.log": "the-search-of-leaks",
        "written.txt": "written-for-the-search",
        "answers.txt": "refused-for-the-search",
    }.items():
        assert text in (directory / name).read_text(), name


def test_schema_names_no_secret_of_the_settings(anonymous, pytestconfig):
    schema = anonymous.get("/api/schema").content.decode()

    assert [secret for secret in pytestconfig.leaks.secrets["setting"] if secret in schema] == []
    assert leaks.TOKEN.search(schema) is None
