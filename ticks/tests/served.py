"""The real server, started as `make run` starts it, on a database of its own: the suite's kind of database."""

import http.client
import itertools
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

DATABASE = f"test_ticks_served_{os.getpid()}"
# Migrations make the rows of these tables.
OF_MIGRATIONS = (
    "django_migrations",
    "django_content_type",
    "auth_permission",
    "auth_group",
    "auth_group_permissions",
)
TIMEOUT_SECONDS = 30
PERSON_NUMBERS = itertools.count(1)


@pytest.fixture
def port():
    return free_port()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def database(tmp_path, request):
    """The settings of a database for the server, and that alone: migrated, without rows; as parameter `empty`, empty.

    Migrating it would take longer than most tests do.
    """
    is_migrated = getattr(request, "param", None) != "empty"
    if connection.vendor == "sqlite":
        path = tmp_path / "served.sqlite3"
        if is_migrated:
            copy_of_sqlite(path)
        yield {"DATABASE_URL": f"sqlite:///{path}"}
        return
    url = os.environ["DATABASE_URL"].partition("?")
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
        if is_migrated:
            copy_of_mariadb(cursor, connection.settings_dict["NAME"])
    yield {"DATABASE_URL": f"{url[0].rpartition('/')[0]}/{DATABASE}{url[1]}{url[2]}"}
    with connection.cursor() as cursor:
        cursor.execute(f"DROP DATABASE {DATABASE}")


def copy_of_sqlite(path):
    with connection.cursor() as cursor:
        cursor.execute("VACUUM INTO %s", [str(path)])
    with closing(sqlite3.connect(path, isolation_level=None)) as copy:
        # Ids start at 1.
        kept = ", ".join(f"'{table}'" for table in OF_MIGRATIONS)
        copy.execute(f"DELETE FROM sqlite_sequence WHERE name NOT IN ({kept})")


def copy_of_mariadb(cursor, source):
    tables = connection.introspection.table_names(cursor)
    made = []
    for table in tables:
        cursor.execute(f"SHOW CREATE TABLE {table}")
        made.append(re.sub(r" AUTO_INCREMENT=\d+", "", cursor.fetchone()[1]))
    cursor.execute(f"USE {DATABASE}")
    with connection.constraint_checks_disabled():
        for statement in made:
            cursor.execute(statement)
        for table in OF_MIGRATIONS:
            cursor.execute(f"INSERT INTO {table} SELECT * FROM {source}.{table}")
    cursor.execute(f"USE {source}")


@pytest.fixture
def start(tmp_path, port, database):
    """A function that starts the server and waits until it is ready; returns its process."""
    started = []
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
    environment |= {
        "TICKS_ENV_FILE": "",
        **database,
        "LOG_DIR": str(tmp_path / "logs"),
        "LOCAL_DIR": str(tmp_path / ".local"),
        "PORT": str(port),
        "WORKERS": "2",
    }

    def run(*options, is_awaited=True, **more):
        output = tmp_path / f"output-{len(started)}"
        with output.open("w") as file:
            process = launch(tmp_path, environment | more, *(options or ("--prepare", "--demo")), stdout=file)
        process.output = output
        started.append(process)
        if is_awaited:
            await_ready(process, port)
        return process

    yield run
    for process in started:
        end(process)


class Served(subprocess.Popen):
    """The server. Where its output goes to a file, no full pipe that nobody reads makes it wait."""

    output = None

    def communicate(self, *, timeout):
        if self.output is None:
            return super().communicate(timeout=timeout)
        self.wait(timeout)
        return self.output.read_text(), None


def launch(directory, environment, *options, stdout=subprocess.PIPE):
    return Served(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "serve", *options],
        cwd=directory,
        env=environment,
        stdout=stdout,
        stderr=subprocess.STDOUT,
        text=True,
        # This is as in a terminal: Ctrl-C reaches the whole group.
        start_new_session=True,
        # If the tests run in the background, their child processes ignore this signal.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(is_so, *, seconds=TIMEOUT_SECONDS):
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def children_of(process):
    """The processes that a server's main process has started: its workers, and what it runs beside them."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(child) for child in children.split()]


def await_ready(process, port):
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if request(port, "GET", "/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"not ready: {process.communicate(timeout=1)[0] if process.poll() is not None else ''}")


def end(process):
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=TIMEOUT_SECONDS)


def request(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def booking(tickets):
    """The body of a booking. Each call makes it for a new person."""
    email = f"a{next(PERSON_NUMBERS)}@example.org"
    return {"eventId": 1, "firstName": "A", "lastName": "B", "email": email, "ticketsReserved": tickets}


def dial(port):
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)


@pytest.fixture
def connect(port):
    """Gives a function that sends bytes, and returns the connection."""
    opened = []

    def send(data=b""):
        opened.append(dial(port))
        opened[-1].sendall(data)
        return opened[-1]

    yield send
    for one in opened:
        one.close()


def post(path, body: bytes, length=None):
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
    ).encode() + body


def answer_of(client):
    """Status, headers and body of the next answer on a connection; raises if it is broken."""
    response = http.client.HTTPResponse(client)
    response.begin()
    return response.status, dict(response.headers), response.read()


def stored_bookings(tmp_path):
    """The ids of all bookings in the server's database."""
    return {row[0] for row in stored_rows(tmp_path, "bookings_booking", "id")}


def stored_rows(tmp_path, table, columns):
    """All rows of a table in the server's database."""
    if connection.vendor == "sqlite":
        served = sqlite3.connect(tmp_path / "served.sqlite3")
        rows = served.execute(f"SELECT {columns} FROM {table}").fetchall()
        served.close()
        return rows
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM {DATABASE}.{table}")
        return list(cursor.fetchall())
