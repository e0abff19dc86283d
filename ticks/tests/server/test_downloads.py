"""Files that are made for one request and sent by the server."""

import os
import tempfile

import pytest
from django.http import FileResponse
from django.test import RequestFactory

from ticks.server import app, stopping
from ticks.server.downloads import PERMIT, GivenUp, Permit, permit_of

pytestmark = pytest.mark.embedded


@pytest.fixture
def download():
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
    file.write(b"all of it")
    file.seek(0)
    return FileResponse(file, as_attachment=True, filename="a.csv")


def test_file_without_a_name_is_handed_over(monkeypatch, download):
    def application(environ, start_response):
        start_response("200 OK", list(download.items()))
        return download

    monkeypatch.setattr(app, "application", application)

    status, headers, body = app.respond({})

    assert (status, dict(headers)["Content-Length"]) == (200, "9")
    assert download.file_to_stream.closed
    with open(f"/dev/fd/{body}", "rb") as read:
        assert read.read() == b"all of it"
    os.close(body)


def test_permit_ends_when_it_is_given_up():
    permit = Permit()
    permit.check()

    permit.give_up()

    with pytest.raises(GivenUp):
        permit.check()


@pytest.mark.parametrize("stage", [stopping.DRAINING, stopping.ENDING])
def test_permit_ends_when_the_server_begins_to_stop(monkeypatch, stage):
    memory = bytearray(1)
    monkeypatch.setattr(stopping, "stage", memory)
    permit = Permit()
    permit.check()

    memory[0] = stage

    with pytest.raises(GivenUp):
        permit.check()


def test_request_has_the_permit_that_it_was_given():
    permit = Permit()

    assert permit_of(RequestFactory().get("/", **{PERMIT: permit})) is permit
    assert isinstance(permit_of(RequestFactory().get("/")), Permit)
