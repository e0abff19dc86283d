"""Runs the real server, `manage.py serve`, for a tool, in a configuration of its own, and measures its cost."""

import os
import random
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.request import urlopen

from tools.private_mariadb import end_process

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
# The kernel takes ports for outgoing connections from 32768 on.
PORTS = range(15_000, 32_000)
START_SECONDS = 60
STOP_SECONDS = 20
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")
NOT_INHERITED = ("DB_", "DATABASE_URL", "THROTTLE_", "TRUSTED_PROXIES")
# The throttles are on. They are high, since all clients of a tool come from one address, and few accounts buy much.
HIGH_LIMITS = {
    "THROTTLE_ENABLED": "on",
    "THROTTLE_GUEST": "10000000/min",
    "THROTTLE_USER": "10000000/min",
    "THROTTLE_GUEST_BOOKING": "10000000/min",
    "THROTTLE_API_KEY": "10000000/min",
}


class ServiceFailed(Exception):
    pass


class Service:
    def __init__(
        self,
        *,
        database_url: str,
        directory: Path,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        root: Path = ROOT,
        python: str = sys.executable,
    ):
        [port] = [port] if port else free_ports(1)
        self.address = (HOST, port)
        self.root, self.manage_py = root, (python, str(root / "manage.py"))
        self.log_file = directory / f"server-{port}.log"
        self.log = self.log_file.open("ab")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)},
            "DATABASE_URL": database_url,
            "SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": secrets.token_hex(32),
            "TICKS_ENV_FILE": "",
            "DEBUG": "off",
            "HOST": HOST,
            "PORT": str(port),
            "LOG_DIR": str(directory / f"logs-{port}"),
            **(settings or {}),
        }
        self.process: subprocess.Popen | None = None

    def manage(self, *arguments: str) -> str:
        """Runs a management command and returns its output. Raises ServiceFailed, with all that it wrote, when it
        fails."""
        done = subprocess.run(  # noqa: S603
            [*self.manage_py, *arguments],
            cwd=self.root,
            env=self.environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise ServiceFailed(f"manage.py {arguments[0]} failed:\n{(done.stdout + done.stderr)[-2000:]}")
        return done.stdout

    def shell(self, script: str) -> str:
        """Runs a script in Django's shell and returns the last line of its output."""
        return self.manage("shell", "--no-imports", "-c", script).splitlines()[-1]

    def start(self) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [*self.manage_py, "serve"],
            cwd=self.root,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            # The server is in a session of its own, so that on Ctrl-C the tool ends it and not the terminal.
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        """Waits until the server is ready. Raises ServiceFailed with its last lines if it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(OSError), urlopen(f"http://{HOST}:{self.address[1]}/readyz", timeout=5):
                return
            time.sleep(0.1)
        raise ServiceFailed(f"The server did not start:\n{self.log_file.read_text(errors='replace')[-2000:]}")

    def workers(self) -> list[int]:
        pid = self.process.pid
        with suppress(OSError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(pid) for pid in (self.process.pid, *self.workers()))

    def memory_mb(self) -> list[float]:
        return [memory_mb(pid) for pid in self.workers()]

    def stop(self) -> None:
        if self.process is not None:
            end_process(self.process, seconds=STOP_SECONDS)
        self.log.close()


def cpu_seconds(pid: int) -> float:
    """The user and system time of a process with all its threads; 0 if the process is gone."""
    with suppress(OSError):
        # The name stands in brackets and may contain blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return 0.0


def memory_mb(pid: int) -> float:
    """The memory of a process in MB. Memory that several processes share is divided among them (Pss)."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        ports = []
        for port in random.sample(PORTS, len(PORTS)):
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
            if len(ports) == count:
                break
        return ports


def columns(rows: Sequence[Sequence[str]]) -> str:
    """A table: the first column is aligned to the left, and all others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    )
