"""The faults. Each one is real, ends by itself, and returns when the broken part is back."""

import asyncio
import os
import random
import resource
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

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
# With these options a full disk has an effect soon: all tables are in one file, which is larger than the redo log and
# grows by a megabyte.
MARIADB_OPTIONS = (
    "--skip-innodb-file-per-table",
    "--innodb-autoextend-increment=1",
    "--innodb-log-file-size=8M",
)


class FaultFailed(Exception):
    """The fault could not be made, had no effect, or did not end. So the run proves nothing about it."""


@dataclass
class Stage:
    """Everything that can be broken."""

    database: MariaDB
    service: Service
    proxy: Proxy
    board: Board
    chance: random.Random

    async def keep_server_running(self) -> None:
        """Starts the server again when it has ended, as its service manager would."""
        while True:
            if self.service.process.poll() is not None:
                await asyncio.sleep(RESTART_SECONDS)
                self.service.start()
            await asyncio.sleep(0.02)

    async def wait_for(self, condition: Callable[[], bool], seconds: float, failure: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise FaultFailed(f"{failure} within {seconds} s")
            await asyncio.sleep(0.01)


async def kill_worker(stage: Stage) -> None:
    workers = stage.service.workers()
    if not workers:
        raise FaultFailed("the server has no workers")
    os.kill(stage.chance.choice(workers), signal.SIGKILL)


async def kill_server(stage: Stage) -> None:
    stage.service.process.kill()


async def kill_database(stage: Stage) -> None:
    stage.proxy.refuse()
    stage.database.kill()
    await asyncio.sleep(stage.chance.uniform(0, 1.5))
    await asyncio.to_thread(stage.database.start)
    stage.proxy.listen()


async def kill_connections(stage: Stage) -> None:
    found = stage.database.ask(
        "SELECT id FROM information_schema.processlist"
        " WHERE db = 'ticks' AND command <> 'Daemon' AND id <> CONNECTION_ID()"
    )
    if not found:
        raise FaultFailed("Ticks has no connections")
    some = stage.chance.choice([1, 2, len(found)])
    killed = 0
    for (number,) in stage.chance.sample(found, min(some, len(found))):
        # The connection may be gone.
        with suppress(MySQLdb.Error):
            stage.database.ask(f"KILL {number}")
            killed += 1
    if not killed:
        raise FaultFailed("the connections had gone by themselves")


async def stop_database(stage: Stage) -> None:
    os.kill(stage.database.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_SECONDS)
    finally:
        os.kill(stage.database.pid, signal.SIGCONT)


async def fill_disk(stage: Stage) -> None:
    """Lets no file of the database grow until requests were refused for it, and a while longer.

    The kernel refuses what is beyond a limit of the process. A file system that is full would need root to mount it.
    """
    cost, database = stage.board.costs[stage.board.fault], stage.database
    before = cost.refused
    _, most = resource.prlimit(database.pid, resource.RLIMIT_FSIZE)
    size = (database.data / "ibdata1").stat().st_size
    resource.prlimit(database.pid, resource.RLIMIT_FSIZE, (size, most))
    try:
        await stage.wait_for(lambda: cost.refused > before, FELT_SECONDS, "no request was refused for the full disk")
        await asyncio.sleep(FULL_SECONDS)
    finally:
        if database.process.poll() is None:
            resource.prlimit(database.pid, resource.RLIMIT_FSIZE, (most, most))
        else:
            # It ends if it has no room even to roll back.
            await asyncio.to_thread(database.start)


async def cut(stage: Stage, *, kind: str) -> None:
    wanted = stage.chance.randint(1, 4)
    target = stage.proxy.cuts[kind] + wanted
    stage.proxy.arm(kind, wanted)
    try:
        await stage.wait_for(lambda: stage.proxy.cuts[kind] >= target, CUT_SECONDS, f"no {wanted} COMMITs were cut")
    finally:
        stage.proxy.disarm()


FAULTS: dict[str, Callable[[Stage], Awaitable[None]]] = {
    "kill -9 of a worker": kill_worker,
    "kill -9 of the server": kill_server,
    "kill -9 of mariadbd": kill_database,
    "connections killed": kill_connections,
    "mariadbd stopped 5 s": stop_database,
    "database's disk full": fill_disk,
    "answer to COMMIT lost": partial(cut, kind=AFTER_COMMIT),
    "COMMIT lost": partial(cut, kind=BEFORE_COMMIT),
}
