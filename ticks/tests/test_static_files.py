"""Static files: compressed, cached, and never read into memory."""

import gzip
import re
import socket
from pathlib import Path

import pytest
from django.test import RequestFactory

from ticks.server.app import respond
from ticks.tests.served import TIMEOUT_SECONDS, answer_of, request

BUNDLE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"
READERS = 10


def served(path, method="GET", **headers):
    status, headers, body = respond(RequestFactory(headers=headers).generic(method, path).environ)
    return status, {name.lower(): value for name, value in headers}, body


def test_file_stays_on_the_disk():
    status, headers, body = served(BUNDLE)

    assert status == 200
    assert isinstance(body, Path)
    assert int(headers["content-length"]) == body.stat().st_size > 1_000_000
    assert headers["content-type"] == 'text/javascript; charset="utf-8"'
    assert headers["vary"] == "Accept-Encoding"


def test_file_of_a_package_is_sent_compressed():
    """The server sends the copies that tools/setup.sh makes."""
    _, plain, whole = served(BUNDLE)
    status, headers, body = served(BUNDLE, **{"Accept-Encoding": "gzip, deflate, br"})

    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert int(headers["content-length"]) == body.stat().st_size < 500_000
    assert headers["etag"] == plain["etag"]
    assert gzip.decompress(body.read_bytes()) == whole.read_bytes()


def test_file_that_is_known_is_not_sent_again():
    _, headers, _ = served(BUNDLE)

    status, again, body = served(BUNDLE, **{"If-None-Match": headers["etag"]})

    assert (status, body) == (304, b"")
    assert (again["etag"], again["cache-control"]) == (headers["etag"], "max-age=600, public")


def test_head_of_a_file_has_its_length_alone():
    status, headers, body = served(BUNDLE, method="HEAD")

    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1_000_000


@pytest.mark.parametrize("part", ["bytes=0-1500000", "bytes=5-", "bytes=-1000000", "bytes=1-2,4-5"])
def test_part_of_a_file_is_all_of_it(part):
    status, headers, body = served(BUNDLE, Range=part)

    assert status == 200
    assert isinstance(body, Path)
    assert int(headers["content-length"]) == body.stat().st_size


@pytest.mark.parametrize(
    "path",
    [
        f"{BUNDLE}.gz",
        "/static/ticks/none.js",
        "/static/../manage.py",
        "/static/ticks/../../settings.py",
    ],
)
@pytest.mark.django_db
def test_path_that_is_no_static_file_is_not_found(path):
    status, headers, _ = served(path)

    assert status == 404
    assert headers["cache-control"] == "no-store"


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["/", "/api/docs", "/api-auth/login/", "/admin/login/", "/api/v1/event"])
def test_files_that_a_page_names_are_found(page):
    # The browser tests see the rest: what scripts and stylesheets ask for, and the pages of the staff's site.
    _, _, body = served(page, Accept="text/html")
    named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', body.decode()))

    assert named
    assert {path: served(path)[0] for path in named} == dict.fromkeys(named, 200)


def dial_to_read_slowly(port):
    """Connects with a buffer so small that the kernel takes in little of an answer."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.settimeout(TIMEOUT_SECONDS)
    reader.connect(("127.0.0.1", port))
    return reader


@pytest.mark.embedded
@pytest.mark.django_db(transaction=True)
def test_slow_readers_get_the_whole_file(start, port):
    start(WORKERS="1")
    whole = request(port, "GET", BUNDLE)[1]
    readers = [dial_to_read_slowly(port) for _ in range(READERS)]

    for reader in readers:
        reader.sendall(f"GET {BUNDLE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answers = [answer_of(reader) for reader in readers]
    for reader in readers:
        reader.close()

    assert [(status, body == whole) for status, _, body in answers] == [(200, True)] * READERS
