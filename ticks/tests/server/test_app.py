import os
import tempfile
from types import SimpleNamespace

import pytest
from django.http import FileResponse
from rest_framework.exceptions import ParseError, ValidationError

from ticks.api.idempotency import idempotency_key
from ticks.server import app
from ticks.server.app import environ_of, wsgi_headers
from ticks.server.bodies import MissingBody


class Headers:
    """Stands in for granian's headers: they count all names, but have only the values that are ASCII."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(set(self.keys()))

    def keys(self):
        return list(dict.fromkeys(name for name, _ in self.pairs))

    def items(self):
        return [(name, value) for name, value in self.pairs if value.isascii()]

    def __contains__(self, name):
        return name in self.keys()

    def get(self, name):
        return dict(self.items()).get(name)

    def get_all(self, name):
        return [value for given, value in self.items() if given == name]


@pytest.mark.parametrize("twice", [True, False])
def test_header_with_an_underscore_passes_for_none_of_a_proxy(twice):
    pairs = [("x-forwarded-for", "10.0.0.1"), ("x_forwarded_for", "6.6.6.6"), ("x_forwarded_proto", "https")]

    environ = wsgi_headers(Headers([*pairs, *([("accept", "a"), ("accept", "b")] if twice else [])]))

    assert environ == {"HTTP_X_FORWARDED_FOR": "10.0.0.1"} | ({"HTTP_ACCEPT": "a, b"} if twice else {})


def scope(**changes):
    plain = {
        "method": "GET",
        "path": "/",
        "query_string": "",
        "scheme": "http",
        "authority": None,
    }
    return SimpleNamespace(
        **{**plain, "server": "127.0.0.1:80", "client": "127.0.0.1:1", "headers": Headers([]), **changes}
    )


def test_environ_is_as_wsgi_has_it():
    headers = [("content-type", "text/plain"), ("cookie", "a=1"), ("cookie", "b=2"), ("host", "x")]
    sent = scope(path="/é", query_string="a=%41", server="[::1]:8000", client="[::2]:4711", headers=Headers(headers))

    environ = environ_of(sent)

    assert environ["PATH_INFO"].encode("latin-1").decode() == "/é"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("::1", "8000", "::2")
    assert (environ["CONTENT_TYPE"], environ["HTTP_COOKIE"], environ["HTTP_HOST"]) == ("text/plain", "a=1;b=2", "x")
    assert environ["QUERY_STRING"] == "a=%41"


def test_header_that_cannot_be_read_is_there_all_the_same():
    # Unsent, it would make a guest of who meant to log in; and one that came twice must not hide it.
    sent = [("authorization", "Bearer é"), ("x-a", "1"), ("x-a", "2")]

    assert wsgi_headers(Headers(sent)) == {"HTTP_AUTHORIZATION": "", "HTTP_X_A": "1, 2"}


def test_environ_without_a_host_has_none():
    assert "HTTP_HOST" not in environ_of(scope())


def test_body_that_came_in_chunks_has_its_length():
    environ = environ_of(scope(headers=Headers([("transfer-encoding", "chunked")])), b"12345")

    assert (environ["wsgi.input"].read(), environ["CONTENT_LENGTH"]) == (b"12345", "5")


def test_body_that_did_not_come_has_a_length_and_fails_when_it_is_read():
    environ = environ_of(scope(headers=Headers([("transfer-encoding", "chunked")])), MissingBody(ParseError("late")))

    assert environ["CONTENT_LENGTH"] == "1"
    with pytest.raises(ParseError, match="late"):
        environ["wsgi.input"].read(1)


def test_key_that_came_twice_is_no_third_key():
    [key] = wsgi_headers(Headers([("idempotency-key", "k1"), ("idempotency-key", "k1")])).values()

    with pytest.raises(ValidationError, match="without spaces"):
        idempotency_key(key)


# The end of the answer looks at the connection.
@pytest.mark.django_db
def test_file_without_a_name_is_handed_over(monkeypatch):
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
    file.write(b"all of it")
    file.seek(0)
    download = FileResponse(file, as_attachment=True, filename="a.csv")

    def django_application(environ, start_response):
        start_response("200 OK", list(download.items()))
        return download

    monkeypatch.setattr(app, "django_application", django_application)

    status, headers, body = app.respond({})

    assert (status, dict(headers)["Content-Length"]) == (200, "9")
    assert download.file_to_stream.closed
    with open(f"/dev/fd/{body}", "rb") as read:
        assert read.read() == b"all of it"
    os.close(body)
