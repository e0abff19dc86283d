"""Sends the test client's requests through the fast path first, as the server does, if the fast path is on."""

from contextvars import copy_context
from functools import partial
from io import BytesIO
from unittest import mock

import pytest
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.test.client import ClientHandler

from bookings.api import fast_path
from bookings.api.fast_path import FastPath, read_polls
from bookings.services.batches import run_job
from bookings.services.booking import BookingJob
from ticks.server.fast_path import Answer
from ticks.tests.server.test_app import Headers, scope

OF_CGI = {"CONTENT_TYPE": "content-type", "CONTENT_LENGTH": "content-length"}


class FastPathHere(FastPath):
    """Runs the fast path without an event loop, in the thread of the test, since no other thread sees its
    transaction."""

    def __init__(self):
        pass

    def answer_now(self, scope, body) -> Answer | None:
        """Does what the worker does in the server."""
        head = self.find(scope)
        if head is None:
            return None
        coroutine = self.answer(head, body if head.length else b"")
        with pytest.raises(StopIteration) as done:
            # The coroutine waits for nothing. Like a task, it has a context of its own.
            copy_context().run(coroutine.send, None)
        return done.value.value

    async def book(self, job):
        # If the test runs the queue, this waits for the job's future.
        job.finish = partial(BookingJob.finish, job)
        return run_job(job)

    async def read_with_others(self, poll):
        # A look at the connection would end the test's transaction.
        with mock.patch.object(fast_path, "connection"):
            return read_polls([poll])


def scope_of_environ(environ: dict):
    named = {
        OF_CGI.get(name) or name.removeprefix("HTTP_").lower().replace("_", "-"): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_") or (name in OF_CGI and value)
    }
    if not named.get("cookie"):
        # Django's client sends an empty header if it has no cookie.
        named.pop("cookie", None)
    named.setdefault("host", environ["SERVER_NAME"])
    return scope(
        method=environ["REQUEST_METHOD"],
        path=environ["PATH_INFO"],
        query_string=environ["QUERY_STRING"],
        client=f"{environ['REMOTE_ADDR']}:40000",
        scheme=environ["wsgi.url_scheme"],
        headers=Headers(list(named.items())),
    )


@pytest.fixture(autouse=True)
def _through_fast_path(monkeypatch):
    by_django = ClientHandler.__call__
    here = FastPathHere()

    def answer(handler, environ):
        # A client whose user is set by hand is only for Django.
        if getattr(handler, "_force_user", None):
            return by_django(handler, environ)
        body = environ["wsgi.input"].read()
        environ["wsgi.input"] = BytesIO(body)
        answered = here.answer_now(scope_of_environ(environ), body)
        if answered is None:
            return by_django(handler, environ)
        status, headers, content = answered
        response = HttpResponse(content, status=status)
        response.headers = response.headers.__class__(dict(headers))
        response.wsgi_request = WSGIRequest(environ)
        return response

    monkeypatch.setattr(ClientHandler, "__call__", answer)
