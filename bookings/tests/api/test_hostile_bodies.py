"""Sends bodies that no client sends by mistake to every write of both contracts. Each is refused in the right shape,
and nothing is changed. What single fields take is in the files of their endpoints."""

import gzip
import json

import pytest

from bookings.tests.state import digest_of_all_tables, undone
from bookings.tests.writes import WRITES, body_of, path_of

pytestmark = pytest.mark.django_db

JSON, FORM, PARTS = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
MEGABYTE = 1024 * 1024
DEEP = b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}"


def part(name, content=b"x", filename=b""):
    named = b'; filename="f"' if filename else b""
    return b'--b\r\nContent-Disposition: form-data; name="' + name + b'"' + named + b"\r\n\r\n" + content + b"\r\n"


BODIES = {
    # name: (body, content type, status, code)
    "unclosed arrays": (b"[" * 100_000, JSON, 400, "parse_error"),
    "unclosed objects": (b'{"a":' * 100_000, JSON, 400, "parse_error"),
    "a hundred thousand arrays": (b"[" * 100_000 + b"]" * 100_000, JSON, 400, "parse_error"),
    "a name twice": (b'{"username": "a", "username": "b"}', JSON, 400, "parse_error"),
    "NaN": (b'{"eventId": NaN}', JSON, 400, "parse_error"),
    "Infinity": (b'{"eventId": -Infinity}', JSON, 400, "parse_error"),
    "1e400": (b'{"eventId": 1e400}', JSON, 400, "parse_error"),
    "5000 digits": (b'{"eventId": ' + b"9" * 5000 + b"}", JSON, 400, "parse_error"),
    "invalid UTF-8": (b'{"username": "\xff\xfe"}', JSON, 400, "parse_error"),
    "UTF-16": ("{}".encode("utf-16"), JSON, 400, "parse_error"),
    "UTF-32": ("{}".encode("utf-32"), JSON, 400, "parse_error"),
    "byte order mark": (b"\xef\xbb\xbf{}", JSON, 400, "parse_error"),
    "gzip": (gzip.compress(b"{}"), JSON, 400, "parse_error"),
    "NUL alone": (b"\0", JSON, 400, "parse_error"),
    "raw control character": (b'{"username": "a\0b"}', JSON, 400, "parse_error"),
    "not JSON": (b"username=a", JSON, 400, "parse_error"),
    "two documents": (b"{}{}", JSON, 400, "parse_error"),
    "array": (b"[{}]", JSON, 400, "invalid"),
    "text": (b'"a"', JSON, 400, "invalid"),
    "number": (b"7", JSON, 400, "invalid"),
    "true": (b"true", JSON, 400, "invalid"),
    "null": (b"null", JSON, 400, "invalid"),
    "text/plain": (b"{}", "text/plain", 415, "unsupported_media_type"),
    "XML": (b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "application/xml", 415,
            "unsupported_media_type"),
    "YAML": (b"!!python/object/apply:os.system [id]", "application/yaml", 415, "unsupported_media_type"),
    "pickle": (b"cos\nsystem\n(S'id'\ntR.", "application/octet-stream", 415, "unsupported_media_type"),
    "no type of content": (b"{}", "nonsense", 415, "unsupported_media_type"),
    "6 MB of JSON": (b'{"a": "' + b"x" * 6 * MEGABYTE + b'"}', JSON, 413, "too_large"),
    "6 MB of a form": (b"a=" + b"x" * 6 * MEGABYTE, FORM, 413, "too_large"),
    "6 MB of a file": (part(b"a", b"x" * 6 * MEGABYTE, b"f") + b"--b--\r\n", PARTS, 413, "too_large"),
    "parts without an end": (part(b"a") * 3 + b"--b", "multipart/form-data", 400, "parse_error"),
    "a thousand and one fields": (b"&".join(b"a%d=1" % n for n in range(1001)), FORM, 400, "malformed"),
    "a hundred and one files": (b"".join(part(b"a%d" % n, b"x", b"f") for n in range(101)) + b"--b--\r\n", PARTS,
                                400, "malformed"),
}  # fmt: skip


def answers_of(world, body, content_type):
    """Each write's (status, code or shape), and the names of those that changed anything."""
    answers, touched = {}, set()
    for name, (persona, method, _) in WRITES.items():
        client = world.clients[persona]
        client.raise_request_exception = False
        sent = body(name) if callable(body) else body
        with undone():
            response = client.generic(method, path_of(world, name), sent, content_type=content_type)
            answers[name] = (response.status_code, said(response, name))
            if digest_of_all_tables() != world.digest:
                touched.add(name)
    return answers, touched


def said(response, name):
    """The failure's code. The one-ticket contract has none, so there the error must be one sentence."""
    if response.status_code < 400:
        return None
    answered = response.json()
    if name.startswith("plain"):
        assert list(answered) == ["error"]
        assert isinstance(answered["error"], str)
        return "plain"
    assert answered["error"] is True
    assert answered["message"]
    return answered["code"]


def everywhere(status, code):
    return {name: (status, "plain" if name.startswith("plain") else code) for name in WRITES}


@pytest.mark.parametrize("kind", BODIES)
def test_hostile_body_is_refused_everywhere(world, kind):
    body, content_type, status, code = BODIES[kind]

    answers, touched = answers_of(world, body, content_type)

    assert answers == everywhere(status, code)
    assert touched == set()


@pytest.mark.parametrize("value", ["a\0b", "\ud800", {"a": 1}, ["a"], True, "x" * 20_000, "", None])
def test_every_field_with_a_hostile_value_is_refused_everywhere(world, value):
    def body(name):
        return json.dumps(dict.fromkeys(body_of(world, name), value))

    answers, touched = answers_of(world, body, JSON)

    assert {status for status, _ in answers.values()} == {400}
    assert touched == set()


def test_deep_body_is_refused_everywhere_and_read_past_where_it_is_no_field(world):
    answers, touched = answers_of(world, DEEP, JSON)

    assert {status for status, _ in answers.values()} <= {400, 200}
    assert touched == set()


def test_files_instead_of_fields_are_refused_everywhere(world):
    def body(name):
        return b"".join(part(field.encode(), b"x", b"f") for field in body_of(world, name)) + b"--b--\r\n"

    answers, touched = answers_of(world, body, PARTS)

    assert answers == everywhere(400, "invalid")
    assert touched == set()


def test_empty_body_is_refused_where_there_is_a_field_that_must_be(world):
    answers, touched = answers_of(world, b"", JSON)

    # An empty body is no mistake: it cancels all tickets.
    assert {name for name, (status, _) in answers.items() if status == 200} == {"profile", "change", "cancel"}
    assert {status for status, _ in answers.values()} == {200, 400}
    assert touched == {"cancel"}


def test_writes_are_taken_as_they_should_be(world):
    # This is the control: neither the address nor the sender is the reason for the refusals above.
    taken = set()
    for name, (persona, method, _) in WRITES.items():
        with undone():
            body = json.dumps(body_of(world, name))
            response = world.clients[persona].generic(method, path_of(world, name), body, content_type=JSON)
            taken |= {name} if response.status_code < 300 else set()

    assert set(WRITES) - taken == {"login", "refresh", "logout", "password", "plain login"}
