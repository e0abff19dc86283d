"""What is measured: a private durable MariaDB, and servers of several configurations on the same tables."""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import MySQLdb

from tools.bench.ceiling import prepare_ceiling
from tools.bench.server import HOST, ROOT, Server
from tools.bench.tokens import Mint
from tools.private_mariadb import private_mariadb

# Enough that the default throttle, 600 a minute for each account and worker, stays on and is never met:
# that takes 10,000 requests a second at one worker alone.
ACCOUNTS = 1000
PASSWORD = "correct horse battery staple"  # noqa: S105 (of accounts that nobody else can reach)
MAX_TICKETS = 1_000_000
MARIADB_OPTIONS = ("--max-connections=1500", "--innodb-buffer-pool-size=1G")
# What the measured server is told, beside the defaults. Idle ones cost next to nothing.
CONFIGURATIONS = {
    "fast lane": {"FAST_LANE": "on", "GROUP_BOOKING": "on"},
    "viewset": {"FAST_LANE": "off", "GROUP_BOOKING": "on"},
    "ungrouped": {"FAST_LANE": "off", "GROUP_BOOKING": "off"},
    # Passwords take much memory for a moment: beside bookings nobody could tell whose it is.
    "logins": {"FAST_LANE": "on", "GROUP_BOOKING": "on", "TRUSTED_PROXIES": "1"},
    "behind a proxy": {"FAST_LANE": "on", "GROUP_BOOKING": "on", "TRUSTED_PROXIES": "1"},
}
NOT_INHERITED = ("DB_", "DATABASE_URL", "THROTTLE_", "TRUSTED_PROXIES")


class Stage:
    """The database server, and a secret for all who are on it."""

    def __init__(self, mariadb, stack: ExitStack, *, port: int):
        self.mariadb, self.stack, self.next_port = mariadb, stack, port
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticks-bench-")))
        self.jwt_secret = secrets.token_hex(32)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)},
            "SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": self.jwt_secret,
            "TICKS_ENV_FILE": "",
            "DEBUG": "off",
        }
        prepare_ceiling(mariadb.socket)

    def take_port(self) -> int:
        self.next_port += 1
        return self.next_port - 1


@contextmanager
def staged(*, port: int):
    with ExitStack() as stack:
        mariadb = stack.enter_context(private_mariadb(extra_options=MARIADB_OPTIONS))
        yield Stage(mariadb, stack, port=port)


class World:
    """One schema with its accounts, and the servers that work on it."""

    def __init__(self, stage: Stage, schema: str = "ticks"):
        self.stage, self.schema, self.servers = stage, schema, {}
        connection = MySQLdb.connect(unix_socket=stage.mariadb.socket, user="root", autocommit=True)
        connection.cursor().execute(f"CREATE DATABASE IF NOT EXISTS {schema}")
        connection.select_db(schema)
        self.connection = connection
        stage.stack.callback(connection.close)
        url = f"mysql://root@localhost/{schema}?unix_socket={quote(stage.mariadb.socket)}"
        self.environment = {**stage.environment, "DATABASE_URL": url}
        self.run("manage.py", "migrate", "-v0")
        made = json.loads(self.run("-m", "tools.bench.prepare", str(ACCOUNTS), PASSWORD).splitlines()[-1])
        self.admin, self.tokens, self.names = made["admin"], made["tokens"], made["names"]
        self.mint = Mint(stage.jwt_secret)

    def run(self, *arguments: str) -> str:
        """What a Python program of Ticks prints. Raises CalledProcessError when it fails."""
        return subprocess.run(  # noqa: S603
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, check=True, stdout=subprocess.PIPE, text=True
        ).stdout

    def start(self, *configurations: str) -> None:
        started = {}
        for name in configurations:
            server = Server(
                {**self.environment, **CONFIGURATIONS[name]},
                port=self.stage.take_port(),
                directory=self.stage.directory,
            )
            self.stage.stack.callback(server.stop)
            started[name] = server
        for server in started.values():
            server.wait_until_ready()
        self.servers.update(started)

    def rows(self, query: str, *values) -> list[tuple]:
        cursor = self.connection.cursor()
        cursor.execute(query, values)
        return cursor.fetchall()

    def database_version(self) -> str:
        [[version]] = self.rows("SELECT VERSION()")
        return version

    def renew_tokens(self) -> None:
        """Access tokens last for half an hour, and a long run longer."""
        self.admin = self.mint.another(self.admin)
        self.tokens = [self.mint.another(token) for token in self.tokens]

    def open_event(self, tickets: int = MAX_TICKETS) -> int:
        """The id of a new event, made by an admin through the API."""
        [server, *_] = self.servers.values()
        connection = HTTPConnection(HOST, server.address[1], timeout=30)
        body = json.dumps({"name": "Bench", "date": "2030-01-01", "totalTickets": tickets})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.admin}"}
        connection.request("POST", "/api/v1/event", body, headers)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if answer["error"]:
            raise RuntimeError(f"no event could be made: {answer['message']}")
        return answer["data"]["id"]

    def fill(self, *, bookings: int, left: int = 0) -> int:
        """The id of a new event with so many bookings."""
        arguments = ("--bookings", str(bookings), "--left", str(left))
        return int(self.run("-m", "tools.bench.fill", *arguments).splitlines()[-1])

    def verify(self, event: int) -> None:
        """Raises CalledProcessError when the event's counters, bookings, waitlist and ledger disagree."""
        self.run("manage.py", "verify_inventory", "--event", str(event))
