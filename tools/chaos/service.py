"""The real server, `manage.py serve`, kept running as a service manager would."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANAGE = (sys.executable, str(ROOT / "manage.py"))
LOOK_SECONDS = 0.02
# systemd's default.
RESTART_SECONDS = 0.1
STOP_SECONDS = 20


class Service:
    def __init__(self, *, database_url: str, port: int, directory: Path, settings: Mapping[str, str] | None = None):
        self.log = (directory / "server.log").open("ab")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DB_")},
            "DATABASE_URL": database_url,
            "SECRET_KEY": secrets.token_hex(32),
            "JWT_SECRET": secrets.token_hex(32),
            "TICKS_ENV_FILE": "",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "LOG_DIR": str(directory / "logs"),
            # On, but all guests come from one address here, and few accounts buy much.
            "THROTTLE_ENABLED": "on",
            "THROTTLE_GUEST": "10000000/min",
            "THROTTLE_USER": "10000000/min",
            **(settings or {}),
        }
        self.process: subprocess.Popen | None = None
        self.is_expected_to_end = False
        # By itself, or because it could not start.
        self.unplanned_ends = 0

    def manage(self, *arguments: str) -> str:
        """What a management command prints. Raises CalledProcessError when it fails."""
        return subprocess.run(  # noqa: S603
            [*MANAGE, *arguments], env=self.environment, check=True, stdout=subprocess.PIPE, stderr=self.log, text=True
        ).stdout

    def start(self) -> None:
        self.is_expected_to_end = False
        self.process = subprocess.Popen(  # noqa: S603
            [*MANAGE, "serve"],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            # Out of the terminal's reach: on Ctrl-C this run ends it.
            start_new_session=True,
        )

    async def keep_running(self) -> None:
        while True:
            if self.process.poll() is not None:
                self.unplanned_ends += not self.is_expected_to_end
                await asyncio.sleep(RESTART_SECONDS)
                self.start()
            await asyncio.sleep(LOOK_SECONDS)

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        with suppress(OSError):
            return [int(child) for child in children.read_text().split()]
        return []

    def kill(self) -> None:
        self.is_expected_to_end = True
        self.process.kill()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
