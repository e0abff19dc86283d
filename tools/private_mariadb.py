"""Runs a command with a MariaDB of its own, which nothing else can reach and which leaves nothing behind.

python tools/private_mariadb.py -- COMMAND ...
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any
from urllib.parse import quote

START_SECONDS = 60
STOP_SECONDS = 30
# A unix socket's path has 108 bytes in the kernel, its closing NUL among them.
SOCKET_PATH_BYTES = 106
# mariadbd refuses to run as root unless it is told to, and another user could not read a directory under root's TMPDIR.
AS_ROOT = ["--user=root"] if os.geteuid() == 0 else []


class MariaDBFailed(Exception):
    pass


@dataclass
class MariaDB:
    """A server on a data directory of its own, which can be killed and started again on it."""

    socket: str
    data: Path
    log: Path
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    # These are `user`, `group` and `extra_groups` of `subprocess.Popen`. Empty: the server runs as the present user.
    account: Mapping[str, Any] = field(default_factory=dict)
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"mysql://root@localhost/ticks?unix_socket={quote(self.socket)}"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-20:])

    def start(self) -> None:
        """Starts the server and waits until it sends its greeting. Raises MariaDBFailed when it does not come up."""
        self.launch()
        wait_until_ready(self)

    def launch(self, *options: str) -> None:
        self.process = subprocess.Popen(  # noqa: S603
            [*self.command, *options],
            env={**os.environ, **self.environment},
            **self.account,
            # Python ignores SIGXFSZ, and so does the server then: where a file may not grow, it goes on with an error.
            restore_signals=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # The server is in a session of its own: Ctrl-C in the terminal is for the command, which still needs its
            # database.
            start_new_session=True,
        )

    def ask(self, statement: str, *, db: str = "ticks", init_command: str = "SET autocommit=1") -> list[tuple]:
        """The rows of a statement, on a connection of its own. Raises MySQLdb.Error."""
        # The import is here, since only this method needs the driver.
        import MySQLdb

        options = {"unix_socket": self.socket, "user": "root", "db": db, "autocommit": True, "connect_timeout": 5}
        with closing(MySQLdb.connect(**options, init_command=init_command)) as connection:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())

    def kill(self) -> None:
        """Ends the server as a crash would. `start` then finds the data that was durable."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None:
            end_process(self.process, seconds=STOP_SECONDS)


@contextmanager
def private_mariadb(*, extra_options: Sequence[str] = ()) -> Iterator[MariaDB]:
    """Yields a running server with an empty database `ticks`; later options override ours.

    Raises MariaDBFailed when there is no server program, or when it does not come up.
    """
    with ExitStack() as stack:
        home = Path(stack.enter_context(private_directory()))
        socket_path = home / "mariadb.sock"
        if len(os.fsencode(socket_path)) > SOCKET_PATH_BYTES:
            socket_path = Path(stack.enter_context(private_directory(parent="/tmp"))) / "mariadb.sock"  # noqa: S108

        install(home)
        mariadb = MariaDB(
            socket=str(socket_path),
            data=home / "data",
            log=home / "error.log",
            command=[program("mariadbd"), *server_options(home, socket_path), *AS_ROOT, *extra_options],
        )
        stack.callback(mariadb.stop)
        mariadb.start()
        yield mariadb


def private_directory(parent: str | None = None) -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="ticks-db-", dir=parent, ignore_cleanup_errors=True)


def program(name: str, *, option: str = "--db") -> str:
    # Debian keeps servers in /usr/sbin, which is not in everybody's PATH.
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/usr/bin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise MariaDBFailed(f"There is no {name}; install it with: tools/setup.sh {option}")
    return found


def install(home: Path, account: Mapping[str, Any] = MappingProxyType({})) -> None:
    # There is no --user, even for root. With it the script would change the owner of the system's PAM plugin.
    with (home / "install.log").open("w+b") as log:
        script = subprocess.Popen(  # noqa: S603
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={home / 'data'}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **account,
        )
        try:
            status = script.wait(START_SECONDS)
        except BaseException:
            os.killpg(script.pid, signal.SIGKILL)
            script.wait()
            raise
        if status != 0:
            log.seek(0)
            raise MariaDBFailed(f"mariadb-install-db failed:\n{log.read().decode(errors='replace')}")


def server_options(home: Path, socket_path: Path) -> list[str]:
    init_file = home / "init.sql"
    # The command line client may not be installed, so the server creates the database itself.
    init_file.write_text("CREATE DATABASE IF NOT EXISTS ticks;\n")
    return [
        "--no-defaults",
        f"--datadir={home / 'data'}",
        f"--tmpdir={home}",
        f"--socket={socket_path}",
        f"--pid-file={home / 'mariadb.pid'}",
        f"--log-error={home / 'error.log'}",
        f"--init-file={init_file}",
        "--skip-networking",
        "--skip-log-bin",
        "--character-set-server=utf8mb4",
        "--collation-server=utf8mb4_unicode_ci",
        # These are production's settings: a test or a measurement with lazier commits would look too good.
        "--innodb-flush-log-at-trx-commit=1",
        "--innodb-buffer-pool-size=256M",
        "--max-connections=300",
    ]


def wait_until_ready(mariadb: MariaDB) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if mariadb.process.poll() is not None:
            raise MariaDBFailed(f"mariadbd ended early:\n{mariadb.log_tail}")
        if greets(mariadb.socket):
            return
        time.sleep(0.05)
    raise MariaDBFailed(f"mariadbd was not ready after {START_SECONDS} s:\n{mariadb.log_tail}")


def greets(socket_path: str) -> bool:
    # A connection proves little: the socket listens before the init file has run, and the greeting comes after that.
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(1)
        try:
            client.connect(socket_path)
            return client.recv(1) != b""
        except OSError:
            return False


def end_process(process: subprocess.Popen, *, seconds: float) -> None:
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def run(command: Sequence[str], *, url: str) -> int:
    process = subprocess.Popen(command, env={**os.environ, "DATABASE_URL": url})  # noqa: S603
    try:
        status = process.wait()
    except SystemExit as stopped:
        # Ctrl-C has reached the command too, so let it end in its own way first.
        if stopped.code == 128 + signal.SIGINT:
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
        end_process(process, seconds=10)
        raise
    return status if status >= 0 else 128 - status


def exit_on_signals() -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, _frame: FrameType | None) -> None:
        # A second signal must not interrupt the cleaning up.
        for each in signals:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in signals:
        signal.signal(each, leave)


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs COMMAND with DATABASE_URL set to a private MariaDB.")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    arguments = parser.parse_args()

    exit_on_signals()
    try:
        with private_mariadb() as mariadb:
            try:
                return run(arguments.command, url=mariadb.url)
            finally:
                if mariadb.process.poll() is not None:
                    sys.stderr.write(f"mariadbd died while the command ran:\n{mariadb.log_tail}\n")
    except (MariaDBFailed, OSError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
