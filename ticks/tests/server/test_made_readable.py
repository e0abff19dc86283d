"""Input from the network, before Django has made a request of it."""

import gzip
import json
from io import BytesIO

import pytest
from django.test import RequestFactory
from django.test.client import ClientHandler

from ticks.server.app import made_readable

pytestmark = pytest.mark.django_db

LOGIN = "/api/v1/auth/login"
UNFIT = ["hex", "zlib", "rot13", "undefined", "punycode", "idna", "utf-16", "utf-7", "unicode_escape", "none", "\xff"]


def send(method, path, body=b"", **environ):
    """The server's answer, as (status, body)."""
    given = RequestFactory().generic(method, path).environ
    given |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body)), **environ}
    response = ClientHandler()(made_readable(given))
    return response.status_code, response.content


@pytest.mark.parametrize("charset", UNFIT)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_charset_that_is_none_is_415(kind, charset):
    status, content = send("POST", f"{LOGIN}?a=%41", b'{"username": 1}', CONTENT_TYPE=f"{kind}; charset={charset}")

    assert status == 415
    assert json.loads(content)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("content_type", ["application/json; charset*=BOGUS''%3F", "text/plain; x*=BOGUS''%ff"])
def test_content_type_that_cannot_be_parsed_is_415(content_type):
    status, content = send("POST", LOGIN, b"{}", CONTENT_TYPE=content_type)

    assert status == 415
    assert json.loads(content)["code"] == "unsupported_media_type"


@pytest.mark.parametrize("charset", ["hex", "undefined", "*=BOGUS''x"])
@pytest.mark.parametrize(
    ("path", "expected"), [("/api/v1/booking/status/1?a=%41", 404), ("/admin/login/?next=%41", 200)]
)
def test_page_is_read_whatever_charset_its_request_claims(path, expected, charset):
    assert send("GET", path, CONTENT_TYPE=f"text/plain; charset={charset}")[0] == expected


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF8"',
        "application/json; charset=us-ascii",
        "application/json; charset=ISO-8859-1",
        "application/x-www-form-urlencoded; charset=windows-1252",
    ],
)
def test_usual_content_types_are_read(content_type):
    body = b"{}" if "json" in content_type else b"username=ada"

    status, content = send("POST", LOGIN, body, CONTENT_TYPE=content_type)

    assert status == 400
    assert json.loads(content)["errors"] == {"password": ["This field is required."]}


def test_session_is_read_beside_a_cookie_with_backslashes(superuser_client):
    session = superuser_client.cookies["sessionid"].value

    status, _ = send("GET", "/admin/", HTTP_COOKIE=f'other="\\\\ \\054"; sessionid={session}; last="\\"')

    assert status == 200


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br"])
def test_compressed_body_is_no_json(coding):
    body = gzip.compress(b'{"username": "a", "password": "b"}' + b" " * 100_000)

    status, content = send("POST", LOGIN, body, CONTENT_TYPE="application/json", HTTP_CONTENT_ENCODING=coding)

    assert status == 400
    assert json.loads(content)["code"] == "parse_error"


@pytest.mark.parametrize("length", ["-1", "x", "1e3", "", " "])
def test_length_that_is_none_is_no_body(length):
    status, _ = send("POST", LOGIN, b"{}", CONTENT_TYPE="application/json", CONTENT_LENGTH=length)

    assert status == 400
