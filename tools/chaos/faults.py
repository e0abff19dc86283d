"""The faults. Each one is real, ends by itself, and reports when the broken part was back."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import MySQLdb

from tools.chaos.proxy import AFTER_COMMIT, BEFORE_COMMIT, Proxy
from tools.chaos.report import Board
from tools.private_mariadb import MariaDB
from tools.service import Service

STOPPED_SECONDS = 5
FULL_SECONDS = 4
FELT_SECONDS = 60
CUT_SECONDS = 15
# This is systemd's default.
RESTART_SECONDS = 0.1
NO_SUCH_THREAD = 1094


class NotInjected(Exception):
    """The fault could not be made, or had no effect. So the run proves nothing about it."""


class Disk:
    """A disk that is full on demand, for mariadbd and its directory alone, without any privilege.

    A small library that is loaded before the C library's functions refuses what would make a file grow (ENOSPC). A
    file system of a limited size would need root to mount it. Raises `NotInjected` where it cannot be compiled.
    """

    MARIADB_OPTIONS = (
        # Direct system calls of io_uring and libaio would not go through the library.
        "--innodb-use-native-aio=0",
        # All tables are in one file that grows by a megabyte, so that a full disk has an effect soon.
        "--skip-innodb-file-per-table",
        "--innodb-autoextend-increment=1",
    )

    def __init__(self, directory: Path):
        self.flag = directory / "disk-is-full"
        library = directory / "full_disk.so"
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            raise NotInjected("The disk cannot be filled: there is no C compiler.")
        source = Path(__file__).with_name("full_disk.c")
        command = [compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode:
            raise NotInjected(f"The library that fills the disk cannot be compiled:\n{done.stderr}")
        self.environment = {
            "LD_PRELOAD": str(library),
            "TICKS_FULL_DISK_FLAG": str(self.flag),
            # mariadbd's directories are made below it.
            "TICKS_FULL_DISK_BELOW": str(Path(tempfile.gettempdir()).resolve()),
        }


@dataclass
class Stage:
    """Everything that can be broken."""

    database: MariaDB
    service: Service
    proxy: Proxy
    disk: Disk
    board: Board
    chance: random.Random
    # This counts how often mariadbd gave up on the full disk, and how often the server ended by itself or could not
    # start.
    database_aborts: int = 0
    server_ends: int = 0
    is_server_killed: bool = False

    async def keep_server_running(self) -> None:
        """Starts the server again when it has ended, as its service manager would."""
        while True:
            if self.service.process.poll() is not None:
                self.server_ends += not self.is_server_killed
                await asyncio.sleep(RESTART_SECONDS)
                self.is_server_killed = False
                self.service.start()
            await asyncio.sleep(0.02)

    async def wait_for(self, condition: Callable[[], bool], seconds: float, failure: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise NotInjected(f"{failure} within {seconds} s")
            await asyncio.sleep(0.01)


async def kill_worker(stage: Stage) -> None:
    workers = stage.service.workers()
    if not workers:
        raise NotInjected("the server has no workers")
    os.kill(stage.chance.choice(workers), signal.SIGKILL)


async def kill_server(stage: Stage) -> None:
    stage.is_server_killed = True
    stage.service.process.kill()


async def kill_database(stage: Stage) -> None:
    stage.database.kill()
    await asyncio.sleep(stage.chance.uniform(0, 1.5))
    await asyncio.to_thread(stage.database.start)


async def kill_connections(stage: Stage) -> None:
    found = stage.database.ask(
        "SELECT id FROM information_schema.processlist"
        " WHERE db = 'ticks' AND command <> 'Daemon' AND id <> CONNECTION_ID()"
    )
    if not found:
        raise NotInjected("Ticks has no connections")
    some = stage.chance.choice([1, 2, len(found)])
    killed = 0
    for (number,) in stage.chance.sample(found, min(some, len(found))):
        try:
            stage.database.ask(f"KILL {number}")
            killed += 1
        except MySQLdb.Error as error:
            if error.args[0] != NO_SUCH_THREAD:
                raise
    if not killed:
        raise NotInjected("the connections had gone by themselves")


async def stop_database(stage: Stage) -> None:
    os.kill(stage.database.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_SECONDS)
    finally:
        os.kill(stage.database.pid, signal.SIGCONT)


async def fill_disk(stage: Stage) -> None:
    """Fills the disk until requests were refused for it, since only a file that grows meets a full disk.

    MariaDB may end if it has no room even to roll back. Then it is started again once there is room.
    """

    def refusals() -> int:
        answers = stage.board.cost(stage.board.fault).answers
        return sum(count for label, count in answers.items() if label.startswith("503"))

    before = refusals()
    stage.disk.flag.touch()
    try:
        await stage.wait_for(lambda: refusals() > before, FELT_SECONDS, "no request was refused for the full disk")
        await asyncio.sleep(FULL_SECONDS)
    finally:
        stage.disk.flag.unlink()
    # The server still writes its last log lines before it ends.
    await asyncio.sleep(0.5)
    if stage.database.process.poll() is not None:
        stage.database_aborts += 1
        await asyncio.to_thread(stage.database.start)


async def lose_answer(stage: Stage) -> None:
    await cut(stage, AFTER_COMMIT)


async def lose_commit(stage: Stage) -> None:
    await cut(stage, BEFORE_COMMIT)


async def cut(stage: Stage, kind: str) -> None:
    wanted = stage.chance.randint(1, 4)
    target = stage.proxy.cuts[kind] + wanted
    stage.proxy.arm(kind, wanted)
    try:
        await stage.wait_for(lambda: stage.proxy.cuts[kind] >= target, CUT_SECONDS, f"no {wanted} COMMITs were cut")
    finally:
        stage.proxy.disarm()


KILLS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "kill -9 of a worker": kill_worker,
    "kill -9 of the server": kill_server,
    "kill -9 of mariadbd": kill_database,
}
OTHERS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "connections killed": kill_connections,
    "mariadbd stopped 5 s": stop_database,
    "database's disk full": fill_disk,
    "answer to COMMIT lost": lose_answer,
    "COMMIT lost": lose_commit,
}


def plan(chance: random.Random, *, kills: int, others: int) -> list[str]:
    """The faults in their order: kills of each kind in equal numbers, and each other fault a given number of times."""
    names = [list(KILLS)[number % len(KILLS)] for number in range(kills)]
    names += [name for name in OTHERS for _ in range(others)]
    chance.shuffle(names)
    return names
