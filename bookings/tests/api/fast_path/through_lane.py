"""Lets the test client's requests go through the fast lane first, as the server's do, where that is on."""

from contextlib import suppress
from io import BytesIO

import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test.client import ClientHandler

from bookings.api.fast_path import Lane
from bookings.api.fast_path.status import Poll, read
from bookings.api.fast_path.visits import Visit
from bookings.services.batches import run_job
from ticks.server.fast_path import Answer, Head

OF_CGI = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


def head_of_environ(environ: dict) -> Head:
    named = {
        OF_CGI.get(name) or name.removeprefix("HTTP_").lower().replace("_", "-"): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in OF_CGI and value)
    }
    if not named.get("cookie"):
        # Django's client says so when it has none.
        named.pop("cookie", None)
    named.setdefault("host", environ["SERVER_NAME"])
    return Head(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
        environ["QUERY_STRING"],
        f"{environ['REMOTE_ADDR']}:40000",
        environ["wsgi.url_scheme"],
        named,
    )


def answer_by_lane(environ: dict) -> Answer | None:
    """What `ticks.server.front` does in the server, but here and now."""
    visit = Lane().visit(head_of_environ(environ))
    if visit is None:
        return None
    body = b""
    if visit.has_body:
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = BytesIO(body)
    return carry_out(visit, body)


def carry_out(visit: Visit, body: bytes) -> Answer | None:
    order = visit.order(body)
    if order is None:
        return None
    if isinstance(order, Poll):
        read([order])
    else:
        # The result says all; it is raised too.
        with suppress(Exception):
            run_job(order)
    if visit.is_unsettled(order):
        visit.settle(order)
    return visit.answer(order)


@pytest.fixture(autouse=True)
def _through_lane(monkeypatch):
    by_django = ClientHandler.__call__

    def answer(handler, environ):
        # One whose user is set by hand is for Django alone.
        if not settings.FAST_LANE or getattr(handler, "_force_user", None):
            return by_django(handler, environ)
        answered = answer_by_lane(environ)
        if answered is None:
            return by_django(handler, environ)
        status, headers, content = answered
        response = HttpResponse(content, status=status)
        response.headers = response.headers.__class__(dict(headers))
        response.wsgi_request = WSGIRequest(environ)
        return response

    monkeypatch.setattr(ClientHandler, "__call__", answer)
