"""One series of requests sent twice, through the fast path and by Django alone, each on the same database.

A trace is everything that they caused, except random values and times."""

import json
import logging
import re
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import NamedTuple
from unittest import mock

from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import override_settings
from django.utils import timezone

from accounts import api_keys
from bookings.tests.api.fast_path.client import FastPathHere
from bookings.tests.state import everything, undone
from ticks.api import throttling
from ticks.server import app
from ticks.server.fast_path import Answer
from ticks.tests.server.test_app import Headers, scope

FACTS = ("method", "path", "status", "ms", "user")
YEAR = 365 * 24 * 3600
TLS = {"SECURE_SSL_REDIRECT": True, "SECURE_HSTS_SECONDS": YEAR}
BELIEVED = {"SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https")}
SECURITY = django_settings.MIDDLEWARE.index("django.middleware.security.SecurityMiddleware")
CORS = {
    "CORS_ALLOWED_ORIGINS": ["https://shop.example.org"],
    "MIDDLEWARE": [
        *django_settings.MIDDLEWARE[:SECURITY],
        "corsheaders.middleware.CorsMiddleware",
        *django_settings.MIDDLEWARE[SECURITY:],
    ],
}
DEPLOYMENTS = {
    "alone": {},
    "behind a proxy": {"TRUSTED_PROXIES": 1, **BELIEVED},
    "https": {"TRUSTED_PROXIES": 1, **BELIEVED, **TLS},
    "https behind two": {"TRUSTED_PROXIES": 2, **BELIEVED, **TLS},
    "https without a proxy": TLS,
    "open to a shop": CORS,
    "of one name": {"ALLOWED_HOSTS": ["tickets.example.org", ".example.com"]},
}
DRAWN = re.compile(
    r'"(?P<id>id)":(?P<number>\d+)|"(?P<name>reference|bookingToken|createdAt|updatedAt)":"(?P<text>[^"]*)"'
)
SHAPES = {
    "reference": r"[0-9A-Z]{5}-[0-9A-Z]{6}",
    "bookingToken": r"[\w-]{43}",
    "createdAt": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
    "updatedAt": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z",
}


class Sent(NamedTuple):
    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    query: str = ""
    client: str = "127.0.0.1:40000"
    scheme: str = "http"

    def scope(self):
        return scope(
            method=self.method,
            path=self.path,
            query_string=self.query,
            client=self.client,
            scheme=self.scheme,
            headers=Headers(self.headers),
        )


class Trace(NamedTuple):
    answers: list
    lines: list
    rows: str
    counted: dict


@contextmanager
def deployed(name: str, *, rate: str = "300/min", guest_booking: str = "60/min"):
    """Ticks with these settings; the middleware reads them when it is made, so it is made for each."""
    changes = DEPLOYMENTS[name]
    rest = {
        **django_settings.REST_FRAMEWORK,
        "NUM_PROXIES": changes.get("TRUSTED_PROXIES", 0),
        "DEFAULT_THROTTLE_RATES": {"guest": rate, "user": rate, "api_key": rate, "guest_booking": guest_booking},
    }
    with (
        override_settings(THROTTLE_ENABLED=True, FAST_PATH=True, REST_FRAMEWORK=rest, **changes),
        mock.patch.object(app, "django_application", application_of(name)),
        mock.patch.object(throttling, "clock", return_value=1_000_000.0),
        # Django's own client does this too. Otherwise the test's transaction would end with the first request.
        mock.patch.object(connection, "close_if_unusable_or_obsolete"),
    ):
        yield


@cache
def application_of(name: str) -> WSGIHandler:
    return WSGIHandler()


def by_fast_path(sent: Sent) -> Answer | None:
    return FastPathHere().answer_now(sent.scope(), sent.body)


def by_django(sent: Sent) -> Answer:
    return app.respond(app.environ_of(sent.scope(), sent.body))


def trace_of_fast_path(series) -> tuple[Trace, list[bool]]:
    """Sends the requests, and returns which of them the fast path took. It must not have touched the others."""
    taken = []

    def answer(sent):
        before = counted()
        answered = by_fast_path(sent)
        taken.append(answered is not None)
        if answered is None:
            assert counted() == before
        return answered or by_django(sent)

    return trace(series, answer), taken


def trace_of_django(series) -> Trace:
    return trace(series, by_django)


def trace(series, answer) -> Trace:
    throttling.forget_all()
    names, began = {}, timezone.now()
    # A look-up changes which keys are known, and both ways begin with the same.
    with undone(), mock.patch.dict(api_keys.known), logged() as records:
        answers = [plain(answer(sent), sent, names) for sent in series]
        lines = [line_of(record, names) for record in records]
        return Trace(answers, lines, rows(names, began), counted())


@contextmanager
def logged():
    """Collects everything that is logged inside the block."""
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logging.getLogger().addHandler(handler)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(handler)


def line_of(record, names) -> tuple:
    facts = {name: getattr(record, name) for name in FACTS if hasattr(record, name)}
    assert facts.pop("ms", 0) >= 0
    return record.name, record.levelname, facts, identity(getattr(record, "request_id", ""), names)


def counted() -> dict:
    return {
        scope: {key: len(times) for key, times in counts.callers.items() if times}
        for scope, counts in throttling.MOVING_WINDOWS.items()
    }


def plain(answer: Answer, sent: Sent, names: dict) -> tuple:
    """The answer, with numbered names in the place of random values."""
    status, headers, body = answer
    # Only Django answers with pages, and they are full of random tokens.
    is_page = dict(headers).get("Content-Type", "").startswith("text/html")
    text = "page" if is_page else DRAWN.sub(lambda found: named(found, names), body.decode())
    # The order of headers does not matter.
    headers = sorted(list(header) for header in headers)
    for header in headers:
        if header[0] == "Content-Length":
            assert header[1] == str(len(body))
            header[1] = str(len(text))
        elif header[0] == "X-Request-ID":
            header[1] = identity(header[1], names)
        elif header[0] == "Location" and status == 201:
            address, _, pk = header[1].rpartition("/")
            header[1] = f"{address}/{number_of('booking', int(pk), names)}"
        elif header[0] == "Set-Cookie":
            header[1] = header[1].partition("=")[0]
    return status, headers, text


def named(found: re.Match, names: dict) -> str:
    if found["id"]:
        return f'"id":{number_of("booking", int(found["number"]), names)}'
    name, text = found["name"], found["text"]
    assert re.fullmatch(SHAPES[name], text)
    return f'"{name}":"{"now" if name.endswith("At") else number_of(name, text, names)}"'


def number_of(kind: str, value, names: dict) -> int:
    """Numbers the values. The same value always has the same number."""
    values = names.setdefault(kind, [])
    if value not in values:
        values.append(value)
    return values.index(value)


def identity(given: str, names: dict) -> str:
    return f"drawn {number_of('request', given, names)}" if re.fullmatch(r"[0-9a-f]{32}", given) else given


def rows(names: dict, began: datetime) -> str:
    """Every row of what bookings change."""
    return "\n".join(
        f"{model} {[(column, column_of(model, column, value, names, began)) for column, value in row.items()]}"
        for model, of_model in everything().items()
        for row in of_model
    )


def column_of(model: str, column: str, value, names: dict, began: datetime):
    if isinstance(value, datetime):
        return "now" if value >= began else value
    if column == "booking_id" or (model == "Booking" and column == "id"):
        return value and number_of("booking", value, names)
    if column == "id":
        return None
    if column in ("reference", "token_hash", "token_nonce"):
        return value and number_of(column, value, names)
    if column == "answer":
        said = value if isinstance(value, dict) else json.loads(value)
        assert began <= datetime.fromisoformat(said["created_at"])
        return {**said, "created_at": "now", "reference": number_of("reference", said["reference"], names)}
    return value
