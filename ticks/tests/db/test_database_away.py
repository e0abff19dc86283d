"""The real server while its database is killed, hangs or takes no writes, and after it is back."""

import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import MySQLdb
import pytest
from django.conf import settings

from ticks.tests.served import TIMEOUT_SECONDS, booking, wait_until
from tools.private_mariadb import private_mariadb

pytestmark = pytest.mark.mariadb
CLIENTS = 8
# The promise is three seconds; the machine of the tests is busy with others of them. Waiting for time-outs
# one after the other would take CLIENTS of them longer.
SOON_SECONDS = 5.0


@pytest.fixture(scope="module")
def database():
    with private_mariadb() as server:
        # Root may write to a read-only server.
        execute(server, "CREATE USER ticks@localhost")
        execute(server, "GRANT ALL ON ticks.* TO ticks@localhost")
        yield server


def execute(database, statement):
    administrator = MySQLdb.connect(unix_socket=database.socket, user="root", autocommit=True)
    administrator.query(statement)
    administrator.close()


@pytest.fixture(scope="module")
def ask(database, tmp_path_factory):
    """Gives a function that sends a request, and returns the status (None without an answer), seconds and headers."""
    directory = tmp_path_factory.mktemp("served")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
    environment |= {
        "DATABASE_URL": database.url.replace("root@", "ticks@"),
        "SECRET_KEY": secrets.token_hex(32),
        "JWT_SECRET": secrets.token_hex(32),
        "TICKS_ENV_FILE": "",
        "LOG_DIR": str(directory),
        "LOCAL_DIR": str(directory / ".local"),
        "PORT": str(port),
        "THROTTLE_ENABLED": "off",
    }
    server = subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "serve", "--prepare", "--demo"],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def request(method, path, body=None, headers=None):
        began = time.monotonic()
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        try:
            headers = {"Content-Type": "application/json", **(headers or {})}
            client.request(method, path, body and json.dumps(body), headers)
            response = client.getresponse()
            response.read()
            return response.status, time.monotonic() - began, response.headers
        except OSError:
            return None, time.monotonic() - began, {}
        finally:
            client.close()

    wait_until(lambda: request("GET", "/readyz")[0] == 200)
    yield request
    server.send_signal(signal.SIGTERM)
    server.wait(TIMEOUT_SECONDS)


class Crowd:
    """Clients that book without end, and remember how they were answered."""

    def __init__(self, ask):
        self.ask, self.answers, self.stop = ask, [], threading.Event()
        self.threads = [threading.Thread(target=self.book) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *failure):
        self.stop.set()
        for thread in self.threads:
            thread.join(TIMEOUT_SECONDS)

    def book(self):
        while not self.stop.wait(0.02):
            self.answers.append(self.ask("POST", "/api/v1/booking", booking(1)))

    @property
    def longest(self):
        return max(seconds for _, seconds, _ in self.answers)

    @property
    def statuses(self):
        return Counter(status for status, _, _ in self.answers)


def kill(database):
    database.kill()
    return database.start


def freeze(database):
    os.kill(database.pid, signal.SIGSTOP)
    return lambda: os.kill(database.pid, signal.SIGCONT)


def demote(database):
    execute(database, "SET GLOBAL read_only = ON")
    return lambda: execute(database, "SET GLOBAL read_only = OFF")


@pytest.mark.parametrize("take_away", [kill, freeze, demote])
def test_database_that_goes_away_and_comes_back(ask, database, take_away):
    with Crowd(ask) as crowd:
        wait_until(lambda: crowd.statuses[201] > 2 * CLIENTS)
        give_back = take_away(database)
        wait_until(lambda: crowd.statuses[503] > 5 * CLIENTS)

        ready = ask("GET", "/readyz")
        alive = ask("GET", "/healthz")
        page = ask("GET", "/admin/", headers={"Cookie": f"sessionid={'s' * 32}"})
        poll = ask("GET", "/api/v1/booking/status/1")
        give_back()
        booked = crowd.statuses[201]
        wait_until(lambda: crowd.statuses[201] > booked + CLIENTS, seconds=SOON_SECONDS)
        # Each worker finds out for itself that it is back.
        for path in ("/readyz", "/api/v1/booking/status/1"):
            wait_until(lambda path=path: ask("GET", path)[0] == 200, seconds=SOON_SECONDS)

    assert [answer[0] for answer in (ready, alive, page, poll)] == [503, 200, 503, 503]
    assert ready[1] < 1
    assert page[2]["Retry-After"] == poll[2]["Retry-After"] == "2"
    assert poll[1] < SOON_SECONDS
    assert crowd.statuses.keys() == {201, 503}
    assert crowd.longest < SOON_SECONDS
    assert {headers["Retry-After"] for status, _, headers in crowd.answers if status == 503} == {"2"}
