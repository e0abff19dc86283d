"""Faults of a database for tests. It is a plugin of pytest in the root conftest."""

import time

import pytest
from django.db import connection

from ticks.db.outage import outage

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


@pytest.fixture
def commits(transactional_db, monkeypatch):
    """Gives a function after which the next commits raise these errors, before or after they are carried out."""
    done = []
    commit = connection.commit

    def expect(*errors, carried_out=False):
        pending = list(errors)

        def commit_or_fail():
            done.append(1)
            error = pending.pop(0) if pending else None
            if error is None or carried_out:
                commit()
            if error:
                raise error

        monkeypatch.setattr(connection, "commit", commit_or_fail)
        return done

    return expect
