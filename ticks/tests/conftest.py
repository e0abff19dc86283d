import pytest
from django.db import connection


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
