"""Books for minutes while everything below Ticks is killed, stopped, filled up and cut; then compares the data.

    .venv/bin/python -m tools.chaos [--seed 1] [--kills 20] [--bookings 20000] [--quick]

Exits non-zero when an acknowledged booking is lost, a request was carried out twice, a ticket was sold twice,
the database contradicts itself, an answer came that is not announced, or a fault could not be injected."""

import argparse
import asyncio
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tools.chaos import report
from tools.chaos.clients import Asker, Client, Journal, Sale, Seat, open_sale
from tools.chaos.faults import KILLS, OTHERS, Disk, NotInjected, Stage, plan
from tools.chaos.proxy import Proxy
from tools.chaos.report import Board
from tools.chaos.verification import Verdict, oversold, verify
from tools.private_mariadb import MariaDBFailed, private_mariadb
from tools.service import HIGH_LIMITS, HOST, ROOT, Service, ServiceFailed

INTERRUPTED = 130
RECOVERY_SECONDS = 45
PROGRESS_SECONDS = 10
# A client may go on with a request, and with those before it, for this long after the end of the run.
LAST_ANSWERS_SECONDS = 120


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--seed", type=int, default=1, help="the dice: which faults when, and what is bought")
    add("--kills", type=int, help="of workers, the server and mariadbd, with -9 (20)")
    add("--others", type=int, help="how many times each of the other faults (4)")
    add("--bookings", type=int, help="acknowledged bookings at least (20000)")
    add("--connections", type=int, default=32)
    add("--minutes", type=float, default=15, help="fails after this time")
    add("--port", type=int, default=8320, help="the server's; the proxy has the next one")
    add("--quick", action="store_true", help="about a minute, each fault once: 3 kills, 4000 bookings")
    options = parser.parse_args()
    for name, usual, quick in (("kills", 20, 3), ("others", 4, 1), ("bookings", 20_000, 4000)):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
    return options


class Run:
    """A stage with its clients."""

    def __init__(self, options: argparse.Namespace, stage: Stage, sale: Sale, journal: Journal):
        self.options, self.stage, self.sale, self.journal = options, stage, sale, journal
        self.board = stage.board
        self.faults = plan(stage.chance, kills=options.kills, others=options.others)
        self.injected = 0

    async def play(self) -> None:
        """Books and injects faults until enough of both is done, or the time is over."""
        tasks = [asyncio.create_task(self.stage.keep_server_running())]
        try:
            players = [asyncio.create_task(self.client(number).run()) for number in range(self.options.connections)]
            players.append(asyncio.create_task(self.inject_all()))
            tasks += players
            try:
                await asyncio.wait_for(self.watch(tasks), self.options.minutes * 60)
            except TimeoutError:
                self.board.find(f"not done in {self.options.minutes:g} minutes: {self.progress}")
            self.board.is_over = True
            _, late = await asyncio.wait(players, timeout=LAST_ANSWERS_SECONDS)
            if late:
                self.board.find(f"{len(late)} clients did not come to an end")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def client(self, number: int) -> Client:
        chance = random.Random(f"{self.options.seed} {number}")  # noqa: S311 (the same dice each run)
        accounts = self.sale.seats[number :: self.options.connections]
        return Client(
            number=number,
            asker=Asker(number, self.options.port, chance, self.board),
            chance=chance,
            sale=self.sale,
            board=self.board,
            journal=self.journal,
            free_seats=[Seat(user, token, event) for user, token in accounts for event in self.sale.waitlist_events],
        )

    @property
    def progress(self) -> str:
        bookings, faults = (
            f"{self.board.acknowledged} of {self.options.bookings}",
            f"{self.injected} of {len(self.faults)}",
        )
        return f"{bookings} bookings, {faults} faults"

    async def watch(self, tasks: list[asyncio.Task]) -> None:
        """Waits until all tasks are done. An error of the run itself ends it at once."""
        began = shown = time.monotonic()
        while self.board.acknowledged < self.options.bookings or self.injected < len(self.faults):
            if time.monotonic() - shown > PROGRESS_SECONDS:
                shown = time.monotonic()
                print(f"{shown - began:4.0f} s  {self.progress}  {self.board.fault}", file=sys.stderr, flush=True)
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.2)

    async def inject_all(self) -> None:
        chance, bookings = self.stage.chance, self.options.bookings
        # Faults come by the number of bookings and not by the clock, so that a slow and a fast machine have them at the
        # same places.
        moments = sorted(chance.uniform(0.02, 0.9) * bookings for _ in self.faults)
        for name, moment in zip(self.faults, moments, strict=True):
            while self.board.acknowledged < moment and not self.board.is_over:
                await asyncio.sleep(0.02)
            await asyncio.sleep(chance.uniform(0, 1))
            if self.board.is_over:
                return
            await self.inject(name)
            self.injected += 1

    async def inject(self, name: str) -> None:
        board = self.board
        board.begin_fault(name)
        try:
            await (KILLS | OTHERS)[name](self.stage)
            await self.recover(name, time.monotonic())
        except NotInjected as failure:
            board.find(f"{name}: could not be injected, {failure}")
        board.cost(name).oversold += oversold(self.stage.database.ask)
        board.end_fault()

    async def recover(self, name: str, returned: float) -> None:
        """Waits until a booking succeeds, and records how long it took."""
        board = self.board
        board.note_return(returned)
        while board.booked_at is None:
            if time.monotonic() - returned > RECOVERY_SECONDS:
                board.find(f"{name}: nothing was booked {RECOVERY_SECONDS} s after it")
                return
            await asyncio.sleep(0.01)
        board.cost(name).to_booking.append(board.booked_at - returned)


async def run(options: argparse.Namespace, board: Board, directory: Path) -> Verdict:
    """Runs on a stage of its own, then compares the answers with the stored rows."""
    loop, itself = asyncio.get_running_loop(), asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, itself.cancel)
    disk = Disk(directory)
    with private_mariadb(extra_options=Disk.MARIADB_OPTIONS, environment=disk.environment) as database:
        try:
            with Proxy(database.socket, port=options.port + 1) as proxy:
                url = f"mysql://root@{HOST}:{proxy.port}/ticks"
                service = Service(database_url=url, port=options.port, directory=directory, settings=HIGH_LIMITS)
                chance = random.Random(options.seed)  # noqa: S311 (the same dice each run)
                stage = Stage(database, service, proxy, disk, board, chance)
                return await play_and_verify(options, stage, [])
        finally:
            shutil.copyfile(database.log, directory / "mariadbd.log")


async def play_and_verify(options: argparse.Namespace, stage: Stage, journal: Journal) -> Verdict:
    service = stage.service
    try:
        sale = await asyncio.to_thread(open_sale, service, bookings=options.bookings)
        service.start()
        await asyncio.to_thread(service.wait_until_ready)
        await Run(options, stage, sale, journal).play()
        verdict = verify(journal, stage.database.ask)
        try:
            service.manage("verify_inventory")
        except ServiceFailed as failure:
            verdict.findings.append(f"verify_inventory: {failure}")
    finally:
        service.stop()
    for what, times in (
        ("mariadbd gave up on the full disk", stage.database_aborts),
        ("the server ended by itself", stage.server_ends),
    ):
        if times:
            verdict.notes.append(f"{what}, and was started again: {times} times")
    return verdict


def show(board: Board, verdict: Verdict, *, seconds: float, seed: int) -> bool:
    """Prints the outcome; returns whether all is well."""
    print(report.table(board, lost=verdict.lost, duplicated=verdict.duplicated, oversold=verdict.oversold))
    print(f"\n{report.LEGEND}")
    print(
        f"{board.acknowledged} bookings acknowledged, {verdict.stored} stored, in {seconds:.0f} s, seed {seed}."
        f" Of {verdict.unknown} requests without a key that were never settled, {verdict.unknown_stored} are stored."
    )
    for note in verdict.notes:
        print(f"Note: {note}")
    total = report.total_of(board)
    refusals = [f"{n} x {label}" for label, n in sorted(total.answers.items()) if label.startswith(("409", "503"))]
    print("Refusals: " + (", ".join(refusals) or "none"))
    findings = [*board.findings, *verdict.findings]
    print("".join(f"WRONG: {finding}\n" for finding in findings), end="")
    print("verify_inventory, counters, ledger and CHECKs: " + ("see above" if verdict.findings else "clean"))
    return not (findings or verdict.lost or verdict.duplicated or verdict.oversold or total.oversold)


def main() -> int:
    options = arguments()
    directory = Path(tempfile.mkdtemp(prefix="ticks-chaos-"))
    board, began, is_kept = Board(), time.monotonic(), True
    try:
        verdict = asyncio.run(run(options, board, directory))
        is_well = show(board, verdict, seconds=time.monotonic() - began, seed=options.seed)
        is_kept = not is_well
        return 0 if is_well else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_kept = False
        return INTERRUPTED
    except (MariaDBFailed, NotInjected, ServiceFailed, OSError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    finally:
        if is_kept:
            sys.stderr.write(f"The logs of the server and of mariadbd: {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
