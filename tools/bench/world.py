"""A measured world: one tree of Ticks on a schema of its own, with accounts, and servers in several configurations."""

import json
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

from tools.bench.ceiling import prepare_ceiling
from tools.private_mariadb import MariaDB, private_mariadb
from tools.service import HOST, ROOT, Service

# There are so many accounts that the default throttle, 600 a minute for each account and worker, stays on but is never
# reached.
ACCOUNTS = 1000
MAX_TICKETS = 1_000_000
MARIADB_OPTIONS = ("--max-connections=1500", "--innodb-buffer-pool-size=1G")
# These are the settings of the measured servers, besides the defaults. An idle server costs next to nothing. Commits
# before the redesign, which `--against` may name, know FAST_PATH as FAST_LANE.
CONFIGURATIONS = {
    "fast path": {"FAST_PATH": "on", "FAST_LANE": "on", "GROUP_BOOKING": "on"},
    "viewset": {"FAST_PATH": "off", "FAST_LANE": "off", "GROUP_BOOKING": "on"},
    "ungrouped": {"FAST_PATH": "off", "FAST_LANE": "off", "GROUP_BOOKING": "off"},
}
# Both trees run this script, so it uses only what rarely changes. The tokens are valid for longer than any measurement.
PEOPLE = f"""
import json
from datetime import timedelta
from rest_framework_simplejwt.tokens import AccessToken
from accounts import tokens
from accounts.models import User
AccessToken.lifetime = timedelta(days=2)
admin = User.objects.create_superuser("bench", "bench@example.org", None)
people = [User.objects.create_user(f"buyer{{n}}", f"buyer{{n}}@example.org", None) for n in range({ACCOUNTS})]
print(json.dumps([tokens.log_in(user)["token"] for user in (admin, *people)]))
"""
# With so many, the default throttle of 6,000 requests a minute for each key and worker is never reached.
API_KEY_COUNT = 50
API_KEYS = f"""
import json
from accounts.api_keys import make_api_key
from accounts.models import User
admin = User.objects.get(username="bench")
keys = [make_api_key(name="bench", scopes=["bookings:write"], actor=admin)[1] for n in range({API_KEY_COUNT})]
print(json.dumps(keys))
"""


class World:
    def __init__(self, name: str, mariadb: MariaDB, servers: Iterable[str], **options):
        self.name, self.mariadb = name, mariadb
        self.schema = f"ticks_{secrets.token_hex(4)}"
        mariadb.ask(f"CREATE DATABASE {self.schema}")
        url = f"mysql://root@localhost/{self.schema}?unix_socket={quote(mariadb.socket)}"
        keys = {"SECRET_KEY": secrets.token_hex(32), "JWT_SECRET": secrets.token_hex(32)}
        self.servers = {
            server: Service(database_url=url, settings={**keys, **CONFIGURATIONS[server]}, **options)
            for server in servers
        }
        self.first = next(iter(self.servers.values()))

    def start(self) -> None:
        self.first.manage("migrate", "-v0")
        self.admin, *self.tokens = json.loads(self.first.shell(PEOPLE))
        for server in self.servers.values():
            server.start()
            server.wait_until_ready()

    def stop(self) -> None:
        for server in self.servers.values():
            server.stop()

    @cached_property
    def api_keys(self) -> list[str]:
        return json.loads(self.first.shell(API_KEYS))

    def verify(self) -> None:
        """Verifies the last two events that were small enough to sell out, where bookings waited and were promoted."""
        small = f"SELECT id FROM events_event WHERE total_tickets < {MAX_TICKETS} ORDER BY id DESC LIMIT 2"  # noqa: S608
        for [event] in self.mariadb.ask(small, db=self.schema):
            self.first.manage("verify_inventory", "--event", str(event))

    def open_event(self, tickets: int = MAX_TICKETS) -> int:
        """The id of a new event, made by an admin through the API."""
        body = json.dumps({"name": "Bench", "date": "2030-01-01", "totalTickets": tickets}).encode()
        headers = {"Authorization": f"Bearer {self.admin}", "Content-Type": "application/json"}
        url = f"http://{HOST}:{self.first.address[1]}/api/v1/event"
        with urlopen(Request(url, body, headers), timeout=30) as answer:
            return json.load(answer)["data"]["id"]


@contextmanager
def worlds(commits: Iterable[str | None], servers: Iterable[str]) -> Iterator[list[World]]:
    """One running world for each commit of this repository; None is the files as they are."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ticks-bench-")))
        mariadb = stack.enter_context(private_mariadb(extra_options=MARIADB_OPTIONS))
        prepare_ceiling(mariadb)
        made = []
        for commit in commits:
            root, python = (ROOT, sys.executable) if commit is None else tree_of(commit, directory, stack.callback)
            made.append(World(commit or "this tree", mariadb, servers, root=root, python=python, directory=directory))
            stack.callback(made[-1].stop)
            made[-1].start()
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
