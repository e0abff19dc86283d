"""One run: everything is started, sold, broken, mended, ended, and compared."""

import asyncio
import random
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tools.chaos.acknowledgements import Acknowledgements
from tools.chaos.asking import Asker
from tools.chaos.board import Board
from tools.chaos.box_office import open_box_office
from tools.chaos.clients import Client, Seat, Stalls
from tools.chaos.faults import DISK, KILLS, OTHERS, NotInjected, Stage, plan
from tools.chaos.report import Progress
from tools.chaos.verification import Verdict, oversold, verify
from tools.chaos.wire import Connection, NoAnswer

RECOVERY_SECONDS = 45
START_SECONDS = 30
# A client's patience and what comes before it, once no more is asked.
LAST_ANSWERS_SECONDS = 120
# Workers answer one after the other; ready is a server of which some in a row say so.
READY_IN_A_ROW = 3


@dataclass(frozen=True)
class Options:
    seed: int
    kills: int
    others: int
    bookings: int
    connections: int
    minutes: float
    port: int


@dataclass
class Show:
    """A stage with its clients."""

    options: Options
    stage: Stage
    stalls: Stalls
    acknowledgements: Acknowledgements
    injected: int = 0

    @property
    def board(self) -> Board:
        return self.stage.board

    async def play(self) -> None:
        """Sells and breaks until enough of both is done, or time is up."""
        tasks = [asyncio.create_task(self.stage.service.keep_running())]
        try:
            await self.wait_until_ready(START_SECONDS)
            players = [asyncio.create_task(client.run()) for client in self.clients()]
            players.append(asyncio.create_task(self.break_things()))
            tasks += players
            try:
                await asyncio.wait_for(self.watch(tasks), self.options.minutes * 60)
            except TimeoutError:
                sold = f"{self.board.acknowledged} bookings, {self.injected} faults"
                self.board.find(f"not done in {self.options.minutes:g} minutes: {sold}")
            self.board.is_over = True
            _, late = await asyncio.wait(players, timeout=LAST_ANSWERS_SECONDS)
            if late:
                self.board.find(f"{len(late)} clients did not come to an end")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def clients(self) -> list[Client]:
        return [self.client(number) for number in range(self.options.connections)]

    def client(self, number: int) -> Client:
        chance = random.Random(f"{self.options.seed} {number}")  # noqa: S311 (the same dice each run)
        accounts = self.stalls.seats[number :: self.options.connections]
        return Client(
            number=number,
            asker=Asker(number, self.options.port, chance, self.board),
            chance=chance,
            stalls=self.stalls,
            board=self.board,
            acknowledgements=self.acknowledgements,
            free_seats=[Seat(user, token, event) for user, token in accounts for event in self.stalls.open_events],
        )

    async def watch(self, tasks: list[asyncio.Task]) -> None:
        """Until all is done; an error of the run's own ends it at once."""
        progress = Progress(bookings=self.options.bookings, faults=self.faults_planned)
        while self.board.acknowledged < self.options.bookings or self.injected < self.faults_planned:
            progress.tell(self.board, self.injected)
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.2)
        progress.tell(self.board, self.injected, at_last=True)

    @property
    def faults_planned(self) -> int:
        return self.options.kills + self.options.others * len(OTHERS)

    async def break_things(self) -> None:
        chance, bookings = self.stage.chance, self.options.bookings
        names = plan(chance, kills=self.options.kills, others=self.options.others)
        # By what is sold rather than by the clock: the same places on a slow machine and on a fast one.
        moments = sorted(chance.uniform(0.02, 0.9) * bookings for _ in names)
        for name, moment in zip(names, moments, strict=True):
            while self.board.acknowledged < moment and not self.board.is_over:
                await asyncio.sleep(0.02)
            await asyncio.sleep(chance.uniform(0, 1))
            if self.board.is_over:
                return
            await self.inject(name)
            self.injected += 1

    async def inject(self, name: str) -> None:
        board, toll = self.board, self.board.toll(name)
        if name == DISK and self.stage.disk.impossible:
            toll.impossible = self.stage.disk.impossible
            board.find(f"{name}: not possible here, {toll.impossible}")
            return
        board.strike(name)
        try:
            returned = await (KILLS | OTHERS)[name](self.stage)
            await self.recover(name, returned)
        except NotInjected as failure:
            board.find(f"{name}: could not be injected, {failure}")
        toll.oversold += oversold(self.stage.ask)
        board.calm()

    async def recover(self, name: str, returned: float) -> None:
        """Waits until somebody books and the server says that it is ready, and notes how long both took."""
        board, toll = self.board, self.board.toll(name)
        board.note_return(returned)

        async def booked() -> None:
            while board.booked_at is None:
                await asyncio.sleep(0.01)
            toll.to_booking.append(board.booked_at - returned)

        try:
            _, ready = await asyncio.wait_for(asyncio.gather(booked(), self.ready_at()), RECOVERY_SECONDS)
            toll.to_ready.append(max(0.0, ready - returned))
        except TimeoutError:
            board.find(f"{name}: nothing was booked, or not ready, {RECOVERY_SECONDS} s after it")

    async def ready_at(self) -> float:
        """When the first of some answers in a row said that the server is ready."""
        first, in_a_row = 0.0, 0
        while in_a_row < READY_IN_A_ROW:
            connection = Connection(self.options.port)
            try:
                answer = await connection.ask("GET", "/readyz")
            except NoAnswer:
                answer = None
            connection.close()
            if answer is None or answer.status != 200:
                in_a_row = 0
                await asyncio.sleep(0.05)
                continue
            in_a_row += 1
            if in_a_row == 1:
                first = time.monotonic()
        return first

    async def wait_until_ready(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.ready_at(), seconds)
        except TimeoutError:
            raise RuntimeError(f"The server was not ready after {seconds} s") from None


async def run(options: Options, stage: Stage, directory: Path) -> Verdict:
    """Plays, then compares what was told with what is stored."""
    stalls = await asyncio.to_thread(open_box_office, stage.service, bookings=options.bookings)
    acknowledgements = Acknowledgements(directory / "acknowledged.jsonl")
    stage.service.start()
    try:
        await Show(options, stage, stalls, acknowledgements).play()
        acknowledgements.close()
        verdict = verify(acknowledgements.read(), stage.ask)
        try:
            stage.service.manage("verify_inventory")
        except subprocess.CalledProcessError as failure:
            verdict.findings.append(f"verify_inventory: {failure.stdout[-2000:]}")
        return verdict
    finally:
        acknowledgements.close()
        stage.service.stop()
