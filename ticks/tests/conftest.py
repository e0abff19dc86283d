import time

import pytest
from django.db import connection

from ticks.outage import outage
from ticks.tests.served import connect, database, port, start  # noqa: F401 (fixtures)

RETURN_SECONDS = 2


def wait_for_return():
    """The promise: within two seconds of the database's return requests are served again, by themselves."""
    deadline = time.monotonic() + RETURN_SECONDS
    while not outage.is_over():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def unreachable_database(transactional_db, monkeypatch):
    """The database goes away after the arrangement: call the fixture."""

    def go_away():
        connection.close()
        if connection.vendor == "sqlite":
            patched.setitem(connection.settings_dict, "NAME", "/nonexistent/ticks.sqlite3")
        else:
            patched.setitem(connection.settings_dict["OPTIONS"], "unix_socket", "/nonexistent.sock")

    with monkeypatch.context() as patched:
        yield go_away
    connection.close()
    wait_for_return()
