"""What breaks. Each fault is done for real, ends by itself, and says when what it broke was back."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import MySQLdb

from tools.chaos.board import Board
from tools.chaos.disk import Disk
from tools.chaos.proxy import AFTER_COMMIT, BEFORE_COMMIT, Proxy
from tools.chaos.service import Service
from tools.private_mariadb import MariaDB

STOPPED_SECONDS = 5
FULL_SECONDS = 4
FELT_SECONDS = 60
CUT_SECONDS = 15
NO_SUCH_THREAD = 1094


class NotInjected(Exception):
    """The fault could not be done, or nothing felt it: the run has proved nothing about it."""


@dataclass
class Stage:
    """All that can be broken."""

    database: MariaDB
    service: Service
    proxy: Proxy
    disk: Disk
    board: Board
    chance: random.Random
    # How often mariadbd gave up by itself, for want of disk space.
    aborts: int = 0

    def ask(self, statement: str) -> list[tuple]:
        """Asks the database without the proxy."""
        connection = MySQLdb.connect(
            unix_socket=self.database.socket, user="root", db="ticks", autocommit=True, connect_timeout=5
        )
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return list(cursor.fetchall())
        finally:
            connection.close()


async def kill_worker(stage: Stage) -> float:
    workers = stage.service.workers()
    if not workers:
        raise NotInjected("the server has no workers")
    os.kill(stage.chance.choice(workers), signal.SIGKILL)
    return time.monotonic()


async def kill_server(stage: Stage) -> float:
    stage.service.kill()
    return time.monotonic()


async def kill_database(stage: Stage) -> float:
    stage.database.kill()
    await asyncio.sleep(stage.chance.uniform(0, 1.5))
    await asyncio.to_thread(stage.database.start)
    return time.monotonic()


async def kill_connections(stage: Stage) -> float:
    found = stage.ask(
        "SELECT id FROM information_schema.processlist"
        " WHERE db = 'ticks' AND command <> 'Daemon' AND id <> CONNECTION_ID()"
    )
    if not found:
        raise NotInjected("Ticks has no connections")
    some = stage.chance.choice([1, 2, len(found)])
    killed = 0
    for (number,) in stage.chance.sample(found, min(some, len(found))):
        try:
            stage.ask(f"KILL {number}")
            killed += 1
        except MySQLdb.Error as error:
            if error.args[0] != NO_SUCH_THREAD:
                raise
    if not killed:
        raise NotInjected("the connections had gone by themselves")
    return time.monotonic()


async def stop_database(stage: Stage) -> float:
    os.kill(stage.database.pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_SECONDS)
    finally:
        os.kill(stage.database.pid, signal.SIGCONT)
    return time.monotonic()


async def fill_disk(stage: Stage) -> float:
    """Until requests were refused for it: only what grows meets a full disk.

    MariaDB may give up on it, where it has no room even to roll back. Then it is started again once there
    is room, as its service manager would.
    """
    board = stage.board
    before = refusals(board)
    deadline = time.monotonic() + FELT_SECONDS
    stage.disk.fill()
    try:
        while refusals(board) == before:
            if time.monotonic() > deadline:
                raise NotInjected(f"no request was refused while the disk was full for {FELT_SECONDS} s")
            await asyncio.sleep(0.05)
        await asyncio.sleep(FULL_SECONDS)
    finally:
        stage.disk.free()
    # It writes its last words for a while before it ends.
    await asyncio.sleep(0.5)
    if stage.database.process.poll() is not None:
        stage.aborts += 1
        await asyncio.to_thread(stage.database.start)
    return time.monotonic()


def refusals(board: Board) -> int:
    answers = board.toll(board.fault).answers
    return sum(count for label, count in answers.items() if label.startswith("503"))


async def lose_answer(stage: Stage) -> float:
    return await cut(stage, AFTER_COMMIT)


async def lose_commit(stage: Stage) -> float:
    return await cut(stage, BEFORE_COMMIT)


async def cut(stage: Stage, kind: str) -> float:
    wanted = stage.chance.randint(1, 4)
    target = stage.proxy.cuts[kind] + wanted
    stage.proxy.arm(kind, wanted)
    deadline = time.monotonic() + CUT_SECONDS
    try:
        while stage.proxy.cuts[kind] < target:
            if time.monotonic() > deadline:
                raise NotInjected(f"the proxy saw no {wanted} COMMITs to cut within {CUT_SECONDS} s")
            await asyncio.sleep(0.01)
    finally:
        stage.proxy.disarm()
    return time.monotonic()


KILLS: dict[str, Callable[[Stage], Awaitable[float]]] = {
    "kill -9 of a worker": kill_worker,
    "kill -9 of the server": kill_server,
    "kill -9 of mariadbd": kill_database,
}
DISK = "database's disk full"
OTHERS: dict[str, Callable[[Stage], Awaitable[float]]] = {
    "connections killed": kill_connections,
    "mariadbd stopped 5 s": stop_database,
    DISK: fill_disk,
    "answer to COMMIT lost": lose_answer,
    "COMMIT lost": lose_commit,
}
# Those whose end is the return of the database: 2 s later Ticks books again, by its promise.
RETURNS = {"kill -9 of mariadbd", "mariadbd stopped 5 s"}


def plan(chance: random.Random, *, kills: int, others: int) -> list[str]:
    """The faults in the order in which they come: kills in equal parts, the others so many times each."""
    names = [list(KILLS)[number % len(KILLS)] for number in range(kills)]
    names += [name for name in OTHERS for _ in range(others)]
    chance.shuffle(names)
    return names
