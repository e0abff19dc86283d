"""The real server, `manage.py serve`, in one configuration, and what it costs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 20
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class ServerFailed(Exception):
    pass


class Server:
    def __init__(self, environment: Mapping[str, str], *, port: int, directory: Path):
        self.address = (HOST, port)
        self.log = directory / f"server-{port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, str(ROOT / "manage.py"), "serve"],
                cwd=ROOT,
                env={**environment, "HOST": HOST, "PORT": str(port), "LOG_DIR": str(directory / f"logs-{port}")},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Out of the terminal's reach: on Ctrl-C the benchmark ends it.
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Raises ServerFailed, with what the server said, when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(URLError, OSError), urlopen(f"http://{HOST}:{self.address[1]}/readyz", timeout=5):
                return
            time.sleep(0.1)
        raise ServerFailed(f"the server did not start:\n{self.log.read_text(errors='replace')[-2000:]}")

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(pid) for pid in (self.process.pid, *self.workers()))

    def memory_mb(self) -> list[float]:
        return [memory_mb(pid) for pid in self.workers()]

    def stop(self) -> None:
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads; 0 when it is gone."""
    with suppress(OSError):
        # The name, in brackets, may hold blanks.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND
    return 0.0


def memory_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0
