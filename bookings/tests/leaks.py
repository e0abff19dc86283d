"""Looks, after all tests, for every secret that they used in everything that they left behind.

Recorded are passwords as they are hashed or sent, tokens as they are issued, API keys as they are drawn, idempotency
keys as they are used, and the settings' secrets. Searched are the log files, all that was written to a database, every
refusal's answer, and the schema. What is found fails the run. It is a pytest plugin; `conftest.py` loads it.
"""

import json
import logging.config
import re
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

# Shorter ones, such as the key "k1", are found everywhere.
SHORTEST = 8
WORD = re.compile(r"[\w-]{40,}")
TOKEN = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*")
ADDRESS = re.compile(r"[\w.+-]+@example\.(?:org|com)")


class Watch:
    def __init__(self, directory: Path):
        self.directory = directory
        self.secrets: dict[str, set[str]] = {"setting": set(), "password": set(), "token": set(), "key": set()}
        self.published: set[str] = set()
        # Passwords and keys that a machine draws are no secrets, and they occur elsewhere too.
        self.is_drawn = False
        self.writing = threading.Lock()

    def record(self, kind: str, secret) -> None:
        # Some tests take an address for a password; the log has neither.
        if self.is_drawn and kind in ("password", "key"):
            return
        if isinstance(secret, str) and len(secret) >= SHORTEST and not ADDRESS.fullmatch(secret):
            self.secrets[kind].add(secret)

    def keep(self, name: str, text: str) -> None:
        with self.writing, (self.directory / name).open("a", encoding="utf-8", errors="replace") as file:
            file.write(text + "\n")

    def findings(self, *more: Path) -> list[str]:
        """The files and kinds of the secrets that were found, and the lines without them."""
        found = []
        # A server that was killed at once has logged nothing.
        for path in [*sorted(self.directory.iterdir()), *filter(Path.exists, more)]:
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.name}: {kind} in: {line}" for kind, line in self.search(text, file=path.name)]
        return found

    def search(self, text: str, *, file: str):
        if TOKEN.search(text):
            yield "token", masked(text, TOKEN.search(text).span())
        for word in set(WORD.findall(text)) & self.secrets["token"]:
            yield "token", masked(text, (text.index(word), text.index(word) + len(word)))
        for kind in ("setting", "password", "key"):
            # A page that refuses shows the example that the schema has, and a machine that draws requests takes it for
            # anything.
            for secret in self.secrets[kind] - self.published:
                for spelling in spellings(secret):
                    at = text.find(spelling)
                    if at >= 0:
                        yield kind, masked(text, (at, at + len(spelling)))
        if file.endswith(".log") and ADDRESS.search(text):
            yield "address", masked(text, ADDRESS.search(text).span())


def spellings(secret: str) -> set[str]:
    """The secret as it is, and as it stands in JSON, in a repr and in an address."""
    in_bytes = secret.encode(errors="replace")
    return {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(in_bytes), quote_plus(in_bytes)}


def masked(text: str, span: tuple[int, int]) -> str:
    start, end = span
    line = text[max(0, start - 80) : start] + "*" * 8 + text[end : end + 80]
    return line.replace("\n", " ")


def recording(owner, name: str, record: Callable) -> None:
    """Wraps a function where it is looked up; `record` gets its arguments and what it returned."""
    original = getattr(owner, name)

    def run(*args, **kwargs):
        returned = original(*args, **kwargs)
        record(returned, *args, **kwargs)
        return returned

    setattr(owner, name, run)


def record_secrets(watch: Watch) -> None:
    # The imports are late, since a plugin is loaded before Django is set up.
    from django.conf import settings
    from rest_framework_api_key.crypto import KeyGenerator
    from rest_framework_simplejwt.tokens import Token

    from accounts import mails, serializers
    from accounts.backends import OwaspArgon2
    from bookings.services import booking, links

    for secret in (
        settings.SECRET_KEY,
        settings.TICKET_SECRET,
        settings.SIMPLE_JWT["SIGNING_KEY"],
        settings.DATABASES["default"].get("PASSWORD"),
        settings.EMAIL_HOST_PASSWORD,
    ):
        watch.record("setting", secret)
    for named in vars(serializers).values():
        watch.published |= {str(value) for value in getattr(named, "example", {}).values()}
    recording(OwaspArgon2, "encode", lambda _, self, password, *rest: watch.record("password", password))
    recording(OwaspArgon2, "verify", lambda _, self, password, *rest: watch.record("password", password))
    recording(
        serializers.PasswordField, "to_internal_value", lambda returned, *rest: watch.record("password", returned)
    )
    recording(KeyGenerator, "get_secret_key", lambda returned, *rest: watch.record("password", returned))
    recording(Token, "__str__", lambda returned, *rest: watch.record("token", returned))
    recording(booking, "guest_token", lambda returned, *rest: watch.record("token", returned))
    # Its last part is the signature; `WORD` finds no whole token, since it has a dot.
    recording(mails, "make_token", lambda returned, *rest, **_: watch.record("token", returned.rpartition(".")[2]))
    recording(links, "link_key", lambda returned, *rest: watch.record("token", returned))
    recording(booking.BookingRequest, "key_digest", lambda _, self, key: watch.record("key", key))


def keep_what_is_written(watch: Watch) -> None:
    from django.db.backends.signals import connection_created
    from django.test.client import ClientHandler

    def execute(execute, sql, params, many, context):
        if sql.lstrip()[:6].upper() in ("INSERT", "UPDATE"):
            watch.keep("written.txt", repr(params))
        return execute(sql, params, many, context)

    def connected(connection, **kwargs):
        if execute not in connection.execute_wrappers:
            connection.execute_wrappers.append(execute)

    def answered(response, handler, environ):
        if response.status_code >= 400 and not response.streaming:
            watch.keep("answers.txt", f"{dict(response.headers)} {response.content.decode(errors='replace')}")

    connection_created.connect(connected, weak=False)
    recording(ClientHandler, "__call__", answered)


def log_to(directory: Path) -> None:
    """The suite's own log, whatever LOG_DIR is."""
    from django.conf import settings

    settings.LOGGING["handlers"]["log"]["filename"] = str(directory / "combined.log")
    logging.config.dictConfig(settings.LOGGING)


def pytest_configure(config):
    config.leaks = Watch(Path(tempfile.mkdtemp(prefix="ticks-tests-")))
    log_to(config.leaks.directory)
    record_secrets(config.leaks)
    keep_what_is_written(config.leaks)


def pytest_runtest_setup(item):
    item.config.leaks.is_drawn = item.get_closest_marker("drawn") is not None


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    watch = session.config.leaks
    served = list(session.config._tmp_path_factory.getbasetemp().rglob("logs/combined.log"))
    session.config.leaked = watch.findings(*served)
    if not session.config.leaked:
        shutil.rmtree(watch.directory, ignore_errors=True)
    else:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    for finding in getattr(config, "leaked", []):
        terminalreporter.write_line(f"SECRET LEAKED: {finding}", red=True)
