"""Books for minutes while everything below Ticks is killed, stopped, filled up and cut; then compares the data.

    .venv/bin/python -m tools.chaos [--seed 1] [--quick]

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
from pathlib import Path

from tools.chaos import report
from tools.chaos.clients import Asker, Client, Journal, Sale, open_sale
from tools.chaos.faults import FAULTS, MARIADB_OPTIONS, FaultFailed, Stage
from tools.chaos.proxy import Proxy
from tools.chaos.report import Board
from tools.chaos.verification import Verdict, oversold, verify
from tools.private_mariadb import MariaDBFailed, private_mariadb
from tools.service import HIGH_LIMITS, HOST, ROOT, Service, ServiceFailed, free_ports

INTERRUPTED = 130
CLIENTS = 32
# How many times each fault is injected, and how many bookings there are at least, in a usual and in a quick run.
USUAL, QUICK = (5, 20_000), (1, 4000)
MOST_SECONDS = 900
RECOVERY_SECONDS = 45
# A client may go on with a request, and with those before it, for this long after the end of the run.
LAST_ANSWERS_SECONDS = 120


async def play(stage: Stage, sale: Sale, journal: Journal, *, seed: int, times: int, bookings: int) -> None:
    """Books and injects faults until enough of both is done, or the time is over."""
    board = stage.board
    async with asyncio.TaskGroup() as group:
        keeper = group.create_task(stage.keep_server_running())
        players = []
        for number in range(CLIENTS):
            asker = Asker(number, stage.service.address[1], random.Random(f"{seed} {number}"), board)  # noqa: S311
            client = Client(number, asker, sale, journal, seats=sale.seats_of(number, CLIENTS))
            players.append(group.create_task(client.run()))
        try:
            async with asyncio.timeout(MOST_SECONDS):
                await inject_all(stage, times=times, bookings=bookings)
        except TimeoutError:
            board.find(f"not done in {MOST_SECONDS} s: {board.acknowledged} of {bookings} bookings")
        board.is_over = True
        _, late = await asyncio.wait(players, timeout=LAST_ANSWERS_SECONDS)
        if late:
            board.find(f"{len(late)} clients did not come to an end")
        for task in (keeper, *late):
            task.cancel()


async def inject_all(stage: Stage, *, times: int, bookings: int) -> None:
    chance, board = stage.chance, stage.board
    faults = [*FAULTS] * times
    chance.shuffle(faults)
    # Faults come by the number of bookings and not by the clock, so that a slow and a fast machine have them at the
    # same places.
    moments = sorted(chance.uniform(0.02, 0.9) * bookings for _ in faults)
    for name, moment in zip(faults, moments, strict=True):
        while board.acknowledged < moment:
            await asyncio.sleep(0.02)
        await asyncio.sleep(chance.uniform(0, 1))
        print(f"{board.acknowledged:6} of {bookings} bookings, {name}", file=sys.stderr, flush=True)
        await inject(stage, name)
    while board.acknowledged < bookings:
        await asyncio.sleep(0.1)


async def inject(stage: Stage, name: str) -> None:
    """Injects a fault, and waits until a booking succeeds after it."""
    board = stage.board
    board.begin_fault(name)
    try:
        await FAULTS[name](stage)
        board.note_return()
        await stage.wait_for(lambda: board.booked_at is not None, RECOVERY_SECONDS, "nothing was booked after it")
    except FaultFailed as failure:
        board.find(f"{name}: {failure}")
    if tickets := oversold(stage.database.ask):
        board.find(f"{name}: {tickets} tickets oversold")
    board.end_fault()


async def run(options: argparse.Namespace, board: Board, directory: Path) -> Verdict:
    """Runs on a stage of its own, then compares the answers with the stored rows."""
    times, bookings = QUICK if options.quick else USUAL
    journal: Journal = []
    with (
        private_mariadb(extra_options=MARIADB_OPTIONS) as database,
        Proxy(database.socket, port=free_ports(1)[0]) as proxy,
    ):
        url = f"mysql://root@{HOST}:{proxy.port}/ticks"
        service = Service(database_url=url, directory=directory, settings=HIGH_LIMITS)
        chance = random.Random(options.seed)  # noqa: S311 (the same dice each run)
        stage = Stage(database, service, proxy, board, chance)
        try:
            sale = open_sale(service, bookings=bookings)
            service.start()
            service.wait_until_ready()
            await play(stage, sale, journal, seed=options.seed, times=times, bookings=bookings)
            verdict = verify(journal, database.ask)
            try:
                service.manage("verify_inventory")
            except ServiceFailed as failure:
                verdict.findings.append(f"verify_inventory: {failure}")
            return verdict
        finally:
            service.stop()
            shutil.copyfile(database.log, directory / "mariadbd.log")


def show(board: Board, verdict: Verdict, *, seed: int) -> bool:
    """Prints the outcome; returns whether all is well."""
    print(report.table(board, lost=verdict.lost, duplicated=verdict.duplicated))
    print(f"\n{report.LEGEND}")
    print(
        f"{board.acknowledged} bookings acknowledged, {verdict.stored} stored, {verdict.lost.total()} lost,"
        f" {verdict.duplicated.total()} duplicated, {verdict.oversold} tickets oversold, seed {seed}."
        f" Of {verdict.unknown} requests without a key that were never settled, {verdict.unknown_stored} are stored."
    )
    findings = [*board.findings, *verdict.findings]
    print("".join(f"WRONG: {finding}\n" for finding in findings), end="")
    print("verify_inventory, counters and ledger: " + ("see above" if verdict.findings else "clean"))
    return not (findings or verdict.oversold)


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the dice: which faults when, and what is bought")
    parser.add_argument("--quick", action="store_true", help="about a minute: each fault once, 4000 bookings")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    directory = Path(tempfile.mkdtemp(prefix="ticks-chaos-"))
    board, is_well = Board(), False
    try:
        is_well = show(board, asyncio.run(run(options, board, directory)), seed=options.seed)
        return 0 if is_well else 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MariaDBFailed, ServiceFailed, OSError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    finally:
        if is_well:
            shutil.rmtree(directory, ignore_errors=True)
        else:
            sys.stderr.write(f"The logs of the server and of mariadbd: {directory}\n")


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
