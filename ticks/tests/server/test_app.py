from types import SimpleNamespace

import pytest

from ticks.server.app import environ_of, headers_of


class Headers:
    """granian's: it counts names, and has the values that are ASCII."""

    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(set(self.keys()))

    def keys(self):
        return list(dict.fromkeys(name for name, _ in self.pairs))

    def items(self):
        return [(name, value) for name, value in self.pairs if value.isascii()]

    def get_all(self, name):
        return [value for given, value in self.items() if given == name]


@pytest.mark.parametrize("twice", [True, False])
def test_header_with_an_underscore_passes_for_none_of_a_proxy(twice):
    pairs = [("x-forwarded-for", "10.0.0.1"), ("x_forwarded_for", "6.6.6.6"), ("x_forwarded_proto", "https")]

    environ = headers_of(Headers([*pairs, *([("accept", "a"), ("accept", "b")] if twice else [])]))

    assert environ == {"HTTP_X_FORWARDED_FOR": "10.0.0.1"} | ({"HTTP_ACCEPT": "a,b"} if twice else {})


def scope(**changes):
    plain = {
        "method": "GET",
        "path": "/",
        "query_string": "",
        "scheme": "http",
        "http_version": "1.1",
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

    assert headers_of(Headers(sent)) == {"HTTP_AUTHORIZATION": "", "HTTP_X_A": "1,2"}


def test_environ_without_a_host_has_none():
    assert "HTTP_HOST" not in environ_of(scope(http_version="1.0"))
