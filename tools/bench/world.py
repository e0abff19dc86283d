"""A measured world: one tree of Ticks on a schema of its own, with accounts, and servers in several configurations."""

import hmac
import json
import secrets
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import MySQLdb

from tools.bench.ceiling import prepare_ceiling
from tools.private_mariadb import MariaDB, private_mariadb
from tools.service import HOST, ROOT, Service

# There are so many accounts that the default throttle, 600 a minute for each account and worker, stays on but is never
# reached.
ACCOUNTS = 1000
PASSWORD = "correct horse battery staple"  # noqa: S105 (of accounts that nobody else can reach)
MAX_TICKETS = 1_000_000
TOKEN_MINUTES = 30
MARIADB_OPTIONS = ("--max-connections=1500", "--innodb-buffer-pool-size=1G")


def fast_path(value: str) -> dict[str, str]:
    # Commits before the redesign, which `--against` may name, know the setting as FAST_LANE.
    return {"FAST_PATH": value, "FAST_LANE": value}


# These are the settings of the measured servers, besides the defaults. An idle server costs next to nothing.
CONFIGURATIONS = {
    "fast path": {**fast_path("on"), "GROUP_BOOKING": "on"},
    "viewset": {**fast_path("off"), "GROUP_BOOKING": "on"},
    "ungrouped": {**fast_path("off"), "GROUP_BOOKING": "off"},
    # Hashing needs much memory for a moment, which would count as memory of bookings.
    "logins": {**fast_path("on"), "GROUP_BOOKING": "on", "TRUSTED_PROXIES": "1"},
    "behind a proxy": {**fast_path("on"), "GROUP_BOOKING": "on", "TRUSTED_PROXIES": "1"},
}
# Both trees run this script, so it uses only what rarely changes.
PEOPLE = f"""
import json
from django.contrib.auth.hashers import make_password
from accounts import tokens
from accounts.models import User
def token_of(user):
    return tokens.log_in(user)["token"]
admin = User.objects.create_superuser("bench", "bench@example.org", None)
people = [User.objects.create_user(f"buyer{{n}}", f"buyer{{n}}@example.org", None) for n in range({ACCOUNTS})]
User.objects.exclude(pk=admin.pk).update(password=make_password({PASSWORD!r}))
people = User.objects.exclude(pk=admin.pk).order_by("pk")
print(json.dumps([token_of(admin), [token_of(user) for user in people]]))
"""


class World:
    def __init__(self, mariadb: MariaDB, *, name: str, root: Path, python: str, ports: Iterator[int], directory: Path):
        self.mariadb, self.name, self.ports = mariadb, name, ports
        schema = f"ticks_{secrets.token_hex(4)}"
        self.connection = MySQLdb.connect(unix_socket=mariadb.socket, user="root", autocommit=True)
        self.connection.cursor().execute(f"CREATE DATABASE {schema}")
        self.connection.select_db(schema)
        self.keys = {"SECRET_KEY": secrets.token_hex(32), "JWT_SECRET": secrets.token_hex(32)}
        self.options = {
            "database_url": f"mysql://root@localhost/{schema}?unix_socket={quote(mariadb.socket)}",
            "directory": directory,
            "root": root,
            "python": python,
        }
        self.servers: dict[str, Service] = {}
        # This server is never started. It is for management commands.
        self.commands = self.service({})
        self.commands.manage("migrate", "-v0")
        self.admin, self.tokens = json.loads(self.commands.shell(PEOPLE))
        self.names = [f"buyer{number}" for number in range(ACCOUNTS)]
        self.signed, self.signed_at = 0, time.monotonic()

    def service(self, settings: dict[str, str]) -> Service:
        return Service(port=next(self.ports), settings={**self.keys, **settings}, **self.options)

    def start(self, configurations: Iterable[str]) -> None:
        for name in configurations:
            self.servers[name] = self.service(CONFIGURATIONS[name])
            self.servers[name].start()
        for server in self.servers.values():
            server.wait_until_ready()

    def stop(self) -> None:
        for server in (*self.servers.values(), self.commands):
            server.stop()
        self.connection.close()

    def rows(self, query: str, *values) -> list[tuple]:
        cursor = self.connection.cursor()
        cursor.execute(query, values)
        return cursor.fetchall()

    def another_token(self, token: str) -> str:
        """A new token of the same login. It is valid from now on, and the server has never seen it."""
        head, payload, _ = token.split(".")
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.signed += 1
        now = int(time.time())
        claims |= {"iat": now, "exp": now + TOKEN_MINUTES * 60, "jti": f"{self.signed:032x}"}
        signed = f"{head}.{base64(json.dumps(claims, separators=(',', ':')).encode())}"
        return f"{signed}.{base64(hmac.digest(self.keys['JWT_SECRET'].encode(), signed.encode(), sha256))}"

    def renew_tokens(self) -> None:
        """Replaces access tokens that end soon. The server must see the new ones once before a run."""
        if time.monotonic() - self.signed_at > (TOKEN_MINUTES - 10) * 60:
            self.admin, self.signed_at = self.another_token(self.admin), time.monotonic()
            self.tokens = [self.another_token(token) for token in self.tokens]

    def open_event(self, tickets: int = MAX_TICKETS) -> int:
        """The id of a new event, made by an admin through the API."""
        port = next(iter(self.servers.values())).address[1]
        body = json.dumps({"name": "Bench", "date": "2030-01-01", "totalTickets": tickets}).encode()
        headers = {"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"}
        with urlopen(Request(f"http://{HOST}:{port}/api/v1/event", body, headers), timeout=30) as answer:
            return json.load(answer)["data"]["id"]


def base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@contextmanager
def worlds(trees: dict[str, str | None], *, port: int) -> Iterator[list[World]]:
    """One world for each tree: a name, and a commit of this repository or None for the files as they are."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticks-bench-")))
        mariadb = stack.enter_context(private_mariadb(extra_options=MARIADB_OPTIONS))
        prepare_ceiling(mariadb.socket)
        ports = iter(range(port, port + 100))
        made = []
        for name, commit in trees.items():
            root, python = (ROOT, sys.executable) if commit is None else tree_of(commit, directory, stack.callback)
            made.append(World(mariadb, name=name, root=root, python=python, ports=ports, directory=directory))
            stack.callback(made[-1].stop)
        yield made


def tree_of(commit: str, directory: Path, at_end: Callable) -> tuple[Path, str]:
    """The files of a commit and the Python that runs them: this one, if the required packages are the same."""
    root = directory / "tree"
    git("worktree", "add", "--quiet", "--detach", str(root), commit)
    at_end(git, "worktree", "remove", "--force", str(root))
    if (root / "requirements.txt").read_bytes() == (ROOT / "requirements.txt").read_bytes():
        return root, sys.executable
    subprocess.run([root / "tools/setup.sh"], cwd=root, check=True)  # noqa: S603
    return root, str(root / ".venv/bin/python")


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=ROOT, check=True)  # noqa: S603, S607
