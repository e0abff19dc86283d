from types import SimpleNamespace

import pytest

from ticks.wsgi import environ_of, headers_of


class Headers(dict):
    """granian's, of which a header can come twice."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def get_all(self, name):
        return [value for given, value in self.pairs if given == name]


@pytest.mark.parametrize("twice", [True, False])
def test_header_with_an_underscore_passes_for_none_of_a_proxy(twice):
    pairs = [("x-forwarded-for", "10.0.0.1"), ("x_forwarded_for", "6.6.6.6"), ("x_forwarded_proto", "https")]

    environ = headers_of(Headers([*pairs, *([("accept", "a"), ("accept", "b")] if twice else [])]))

    assert environ == {"HTTP_X_FORWARDED_FOR": "10.0.0.1"} | ({"HTTP_ACCEPT": "a,b"} if twice else {})


def test_environ_is_as_wsgi_has_it():
    scope = SimpleNamespace(
        method="POST",
        path="/é",
        query_string="a=%41",
        server="[::1]:8000",
        client="[::2]:4711",
        scheme="http",
        http_version="1.1",
        authority=None,
        headers=Headers([("content-type", "text/plain"), ("cookie", "a=1"), ("cookie", "b=2"), ("host", "x")]),
    )

    environ = environ_of(scope)

    assert environ["PATH_INFO"].encode("latin-1").decode() == "/é"
    assert (environ["SERVER_NAME"], environ["SERVER_PORT"], environ["REMOTE_ADDR"]) == ("::1", "8000", "::2")
    assert (environ["CONTENT_TYPE"], environ["HTTP_COOKIE"], environ["HTTP_HOST"]) == ("text/plain", "a=1;b=2", "x")
    assert environ["QUERY_STRING"] == "a=%41"
