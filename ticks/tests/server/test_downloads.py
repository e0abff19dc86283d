"""Files that are made for one request and sent by the server."""

import os
import tempfile

import pytest
from django.test import RequestFactory

from ticks.server import app, draining
from ticks.server.downloads import PERMIT, Download, GivenUp, OpenFile, Permit, makes_file, permit_of
from ticks.server.draining import Board, Stage

pytestmark = pytest.mark.embedded


@pytest.fixture
def download():
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
    file.write(b"all of it")
    file.seek(0)
    return Download(file, as_attachment=True, filename="a.csv")


def respond(monkeypatch, download, environ):
    def application(environ, start_response):
        start_response("200 OK", list(download.items()))
        return download

    monkeypatch.setattr(app, "application", application)
    return app.respond(environ)


def test_file_is_handed_over_to_who_may_send_it(monkeypatch, download):
    status, headers, body = respond(monkeypatch, download, {PERMIT: Permit()})

    assert (status, dict(headers)["Content-Length"]) == (200, "9")
    assert isinstance(body, OpenFile)
    assert download.file_to_stream.closed
    with open(body.path, "rb") as read:
        assert read.read() == b"all of it"
    body.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(body.number)


@pytest.mark.parametrize("environ", [{}, {PERMIT: None}])
def test_file_of_anybody_else_leaves_as_bytes(monkeypatch, download, environ):
    assert respond(monkeypatch, download, environ)[2] == b"all of it"
    assert download.file_to_stream.closed


def test_permit_ends_when_it_is_given_up():
    permit = Permit()
    permit.check()

    permit.give_up()

    with pytest.raises(GivenUp):
        permit.check()


@pytest.mark.parametrize("stage", [Stage.DRAINING, Stage.CLOSING])
def test_permit_ends_when_the_server_begins_to_stop(monkeypatch, stage):
    board = Board(1)
    monkeypatch.setattr(draining, "board", board)
    permit = Permit()
    permit.check()

    board.stage = stage

    with pytest.raises(GivenUp):
        permit.check()


def test_request_has_the_permit_that_it_was_given():
    permit = Permit()

    assert permit_of(RequestFactory().get("/", **{PERMIT: permit})) is permit
    assert isinstance(permit_of(RequestFactory().get("/")), Permit)


@pytest.mark.parametrize(
    ("path", "is_made"),
    [
        ("/admin/bookings/booking/export/csv/", True),
        ("/admin/bookings/booking/", False),
        ("/api/v1/booking", False),
        ("/x/admin/export/", False),
    ],
)
def test_addresses_under_which_files_are_made(path, is_made):
    assert makes_file(path) is is_made
