"""Input of callers leaves nothing in memory, however much and however odd it is."""

import encodings
import gc
import logging
import time
import tracemalloc
from io import BytesIO

import pytest
from django.test.client import ClientHandler

from ticks.api import throttling
from ticks.server import app, fast_path
from ticks.server.app import environ_of, made_readable
from ticks.server.fast_path import read_head
from ticks.server.process import HEAD_BYTES
from ticks.tests.server.test_app import Headers, scope

pytestmark = pytest.mark.django_db
ROUNDS = 60
LENGTH = HEAD_BYTES - 1024


def odd_requests(number):
    """One request for each place in which the server reads a caller's text, with text that never came before."""
    odd = f"{number}".ljust(LENGTH, "a")
    short = f"x{number}".ljust(100, "a")
    for path, header, value in [
        ("/healthz", "host", odd),
        ("/api/v1/booking/status/1", "host", f"{odd}.testserver"),
        ("/healthz", odd, "1"),
        ("/api/v1/nothing", "content-type", f"text/plain; charset={odd}"),
        ("/api/v1/nothing", "content-type", f"text/plain; charset={short}"),
        ("/api/v1/nothing", "content-type", f"text/{odd}"),
        ("/api/v1/event", "accept", f"text/{odd}"),
        ("/api/v1/event", "accept", f"text/plain; a*={short}''%41"),
        ("/api/v1/event", "accept-language", odd),
        ("/api/v1/event", "authorization", f"Bearer {odd}"),
        ("/api/v1/event", "cookie", f"sessionid={odd}"),
        ("/admin/", "cookie", f"csrftoken={odd}; {odd}=1"),
        ("/api/v1/event", "x-forwarded-for", odd),
        ("/api/v1/event", "if-none-match", odd),
        ("/api/v1/event", "x-request-id", odd),
        (f"/admin/{odd}/", "x", "1"),
        (f"/static/{odd}", "x", "1"),
    ]:
        headers = [("host", "testserver"), (header, value)] if header != "host" else [(header, value)]
        yield scope(path=path, headers=Headers(headers))
    yield scope(path="/api/v1/event", query_string=f"search={odd}&{odd}=1&format={odd}")
    yield scope(path="/api/v1/event", method=odd)


def send(sent):
    return ClientHandler()(made_readable(environ_of(sent) | {"wsgi.input": BytesIO()})).status_code


@pytest.fixture
def quiet():
    # Otherwise the test's own log would keep all lines.
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.embedded
def test_odd_requests_leave_nothing_behind(quiet, settings):
    settings.THROTTLE_ENABLED = True
    settings.REST_FRAMEWORK = settings.REST_FRAMEWORK | {"NUM_PROXIES": 1}
    for sent in odd_requests("first"):
        send(sent)

    gc.collect()
    tracemalloc.start()
    statuses = {send(sent) for number in range(ROUNDS) for sent in odd_requests(number)}
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    throttling.forget_all()

    received = ROUNDS * len(list(odd_requests(0))) * LENGTH
    assert statuses == {200, 302, 400, 401, 404, 406}
    # `urllib.parse` keeps the last 128 addresses that it took apart, and no more.
    assert grown < received / 4, f"{grown} bytes of {received}"
    assert encodings._cache.keys() <= app.CODECS


def test_names_of_charsets_are_not_kept():
    before = len(encodings._cache)

    for number in range(1000):
        with pytest.raises(LookupError):
            b"a".decode(f"charset_{number}")

    assert len(encodings._cache) == before
    assert [b"\xe9".decode(name) for name in ("latin-1", "ISO-8859-15", "cp1252", "iso8859_1")] == ["\xe9"] * 4


def test_long_host_is_not_kept(settings):
    settings.ALLOWED_HOSTS = ["*"]
    before = fast_path.is_our_host.cache_info().currsize

    plain = [
        read_head(scope(headers=Headers([("host", f"{number}".rjust(length, "a"))])))
        for number in range(10)
        for length in (300, 10_000)
    ]

    assert not any(plain)
    assert fast_path.is_our_host.cache_info().currsize == before
    assert fast_path.is_our_host.cache_info().maxsize == 256


def test_content_type_that_is_long_is_not_read():
    before = app.is_readable.cache_info().currsize
    began = time.perf_counter()

    # Django takes eight seconds to read this content type.
    environ = app.made_readable({"CONTENT_TYPE": 'a/b;"' + ";" * 60_000})

    assert environ == {"CONTENT_TYPE": "application/octet-stream"}
    assert time.perf_counter() - began < 0.1
    assert app.is_readable.cache_info().currsize == before


def test_long_callers_are_kept_by_what_they_begin_with(monkeypatch):
    window = throttling.MovingWindow()

    for number in range(5):
        window.hit("a" * 60_000 + str(number), limit=3, period=60)
    window.take_back("a" * 60_000)

    [(key, times)] = window.callers.items()
    assert key == "a" * throttling.MAX_KEY
    assert len(times) == 2
