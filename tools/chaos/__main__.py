"""Books for minutes while everything under Ticks is killed, stopped, filled up and cut, and compares in the end.

    .venv/bin/python -m tools.chaos [--seed 1] [--kills 20] [--bookings 20000] [--quick] [--json FILE]

Exits non-zero when an acknowledged booking is lost, a request was carried out twice, a ticket was sold twice,
the database contradicts itself, an answer came that is not announced, or a fault could not be injected.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tools.chaos import report
from tools.chaos.board import Board
from tools.chaos.disk import MARIADB_OPTIONS, Disk
from tools.chaos.faults import Stage
from tools.chaos.proxy import Proxy
from tools.chaos.run import Options, run
from tools.chaos.service import Service
from tools.chaos.verification import Verdict
from tools.private_mariadb import MariaDBFailed, private_mariadb

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 130


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1, help="the dice: which faults when, and what is bought")
    parser.add_argument("--kills", type=int, help="of workers, the server and mariadbd, with -9 (20)")
    parser.add_argument("--others", type=int, help="how many times each of the other faults (4)")
    parser.add_argument("--bookings", type=int, help="acknowledged bookings at least (20000)")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=15, help="fails after this time")
    parser.add_argument("--port", type=int, default=8320, help="the server's; the proxy has the next one")
    parser.add_argument("--quick", action="store_true", help="about a minute, each fault once: 3 kills, 4000 bookings")
    parser.add_argument("--keep", action="store_true", help="keep the logs even if all is well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table there too")
    given = parser.parse_args()
    kills, others, bookings = (3, 1, 4000) if given.quick else (20, 4, 20_000)
    given.kills = kills if given.kills is None else given.kills
    given.others = others if given.others is None else given.others
    given.bookings = bookings if given.bookings is None else given.bookings
    return given


async def stage_and_run(options: Options, board: Board, directory: Path) -> Verdict:
    loop, itself = asyncio.get_running_loop(), asyncio.current_task()
    for number in SIGNALS:
        loop.add_signal_handler(number, itself.cancel)
    disk = Disk(directory)
    with private_mariadb(extra_options=MARIADB_OPTIONS, environment=disk.environment()) as database:
        try:
            with Proxy(database.socket, port=options.port + 1) as proxy:
                url = f"mysql://root@127.0.0.1:{proxy.port}/ticks"
                service = Service(database_url=url, port=options.port, directory=directory)
                chance = random.Random(options.seed)  # noqa: S311 (the same dice each run)
                stage = Stage(database, service, proxy, disk, board, chance)
                verdict = await run(options, stage, directory)
                for what, times in (
                    ("mariadbd gave up on the full disk", stage.aborts),
                    ("the server ended by itself or could not start", service.unplanned_ends),
                ):
                    if times:
                        verdict.notes.append(f"{what}, and was started again: {times} times")
                return verdict
        finally:
            shutil.copyfile(database.log, directory / "mariadbd.log")


def show(board: Board, verdict: Verdict, *, seconds: float, options: Options, to: Path | None) -> bool:
    """Prints the outcome; whether all is well."""
    found = report.lines(board, verdict)
    print(report.table([list(report.COLUMNS), *(line.cells() for line in found)]))
    print(f"\n{report.LEGEND}")
    print(
        f"{board.acknowledged} bookings acknowledged, {verdict.stored} stored, in {seconds:.0f} s, seed {options.seed}."
        f" Of {verdict.unknown} requests without a key that were never settled, {verdict.unknown_stored} are stored."
    )
    print(report.promise(board))
    refusals = {label: count for label, count in found[-1].toll.answers.items() if label.startswith(("409", "503"))}
    for note in verdict.notes:
        print(f"Note: {note}")
    print("Refusals: " + (", ".join(f"{count} x {label}" for label, count in sorted(refusals.items())) or "none"))
    findings = [*board.findings, *verdict.findings]
    is_well = not (findings or board.found or verdict.lost or verdict.duplicated or found[-1].toll.oversold)
    for finding in findings[:40]:
        print(f"WRONG: {finding}")
    if len(findings) > 40:
        print(f"... and {len(findings) - 40} more")
    print("verify_inventory, counters, ledger and CHECKs: " + ("clean" if not verdict.findings else "see above"))
    if to:
        to.write_text(
            json.dumps(
                {
                    "options": vars(options),
                    "seconds": round(seconds, 1),
                    "is_well": is_well,
                    "faults": [line.facts() for line in found],
                    "unknown": verdict.unknown,
                    "unknown_stored": verdict.unknown_stored,
                    "notes": verdict.notes,
                    "findings": findings,
                },
                indent=2,
            )
            + "\n"
        )
    return is_well


def main() -> int:
    given = arguments()
    options = Options(
        seed=given.seed,
        kills=given.kills,
        others=given.others,
        bookings=given.bookings,
        connections=given.connections,
        minutes=given.minutes,
        port=given.port,
    )
    directory = Path(tempfile.mkdtemp(prefix="ticks-chaos-"))
    board, began, is_kept = Board(), time.monotonic(), True
    try:
        verdict = asyncio.run(stage_and_run(options, board, directory))
        is_well = show(board, verdict, seconds=time.monotonic() - began, options=options, to=given.json)
        is_kept = given.keep or not is_well
        return 0 if is_well else 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        is_kept = False
        return INTERRUPTED
    except (MariaDBFailed, OSError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    finally:
        if is_kept:
            sys.stderr.write(f"The logs of the server and of mariadbd, and what the clients were told: {directory}\n")
        else:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parents[2])
    sys.exit(main())
