"""Lets the test client's requests go through the fast lane first, as the server's do, where that is on."""

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.test.client import ClientHandler, FakePayload

from bookings.lane import Lane
from ticks.lane import Answer, Head

OF_CGI = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


def head_of_environ(environ: dict) -> Head:
    named = {
        OF_CGI.get(name) or name.removeprefix("HTTP_").lower().replace("_", "-"): str(value)
        for name, value in environ.items()
        if value and (name.startswith("HTTP_") or name in OF_CGI)
    }
    named.setdefault("host", environ["SERVER_NAME"])
    return Head(
        environ["REQUEST_METHOD"],
        environ["PATH_INFO"],
        environ["QUERY_STRING"],
        f"{environ['REMOTE_ADDR']}:40000",
        environ["wsgi.url_scheme"],
        named,
    )


def answer_by_lane(head: Head, body: bytes) -> Answer | None:
    """What `ticks.front` does in the server, but here and now."""
    visit = Lane().visit(head)
    order = visit and visit.order(body)
    if not order:
        return None
    visit.serve(order)
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
        body = environ["wsgi.input"].read() if environ.get("CONTENT_LENGTH") else b""
        environ["wsgi.input"] = FakePayload(body)
        answered = answer_by_lane(head_of_environ(environ), body)
        if answered is None:
            return by_django(handler, environ)
        status, headers, content = answered
        response = HttpResponse(content, status=status)
        response.headers = response.headers.__class__(dict(headers))
        return response

    monkeypatch.setattr(ClientHandler, "__call__", answer)
