"""Measures the real server on a private durable MariaDB, against hand-written SQL on the same machine.

    .venv/bin/python -m tools.bench [--quick] [--rounds 5] [--seconds 6] [--scenario NAME ...]
    .venv/bin/python -m tools.bench --against COMMIT    this tree and another commit, interleaved, and their quotients
    .venv/bin/python -m tools.bench --filled 1000000    empty tables and tables of so many bookings, interleaved

Exits non-zero when in any run 2xx = rows = tickets gone did not hold.
"""

import argparse
import itertools
import os
import signal
import subprocess
import sys

from tools.bench import report
from tools.bench.measure import Bench, Result
from tools.bench.scenarios import BY_NAME, SCENARIOS, Scenario
from tools.bench.world import MAX_TICKETS, worlds
from tools.private_mariadb import MariaDBFailed
from tools.service import ROOT, ServiceFailed

INTERRUPTED = 130
HERE = "this tree"
FILL = (
    "from accounts.models import User; from tools.bench.fill import fill; "
    "print(fill(bookings={}, actor=User.objects.get(is_staff=True)).pk)"
)
SMALL_EVENTS = "SELECT id FROM events_event WHERE total_tickets < %s ORDER BY id DESC LIMIT 2"


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="two minutes altogether: 2 rounds of 1.5 seconds")
    add("--rounds", type=int, help="how often each scenario is run (5)")
    add("--seconds", type=float, help="how long each run takes (6)")
    add("--scenario", nargs="+", choices=list(BY_NAME), metavar="NAME", default=[], help=", ".join(BY_NAME))
    add("--port", type=int, default=18199, help="the first server's; the others have the next ones")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", metavar="COMMIT", help="compare this tree with a commit")
    other.add_argument("--filled", type=int, metavar="N", help="compare empty tables with tables of N bookings")
    options = parser.parse_args(argv)
    options.rounds = (2 if options.quick else 5) if options.rounds is None else options.rounds
    options.seconds = (1.5 if options.quick else 6) if options.seconds is None else options.seconds
    if options.rounds < 1 or not 0 < options.seconds <= 600:
        parser.error("--rounds is at least 1, --seconds more than 0 and at most 600")
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def measure(options: argparse.Namespace) -> int:
    scenarios = [BY_NAME[name] for name in options.scenario] or SCENARIOS
    trees: dict[str, str | None] = {HERE: None}
    if options.against:
        trees = {options.against: options.against, HERE: None}
    elif options.filled:
        trees = {HERE: None, f"{options.filled:,} bookings before": None}
    say("Starting MariaDB and the servers ...")
    with worlds(trees, port=options.port) as made:
        if options.filled:
            made[-1].commands.shell(FILL.format(options.filled))
        benches = [Bench(world, seconds=options.seconds) for world in made]
        for bench in benches:
            bench.start(dict.fromkeys(scenario.server for scenario in scenarios))
        results = run_rounds(benches, scenarios, options.rounds)
        for world in made:
            # This mix and this sell-out are the last of all, and there waiting bookings were promoted.
            for [event] in world.rows(SMALL_EVENTS, MAX_TICKETS):
                world.commands.manage("verify_inventory", "--event", str(event))
    print(f"\nMedians of {options.rounds} interleaved rounds of {options.seconds:g} seconds.")
    print(report.tables(results, list(trees)))
    wrong = report.findings(results)
    print("".join(f"WRONG: {finding}\n" for finding in wrong), end="")
    return 1 if wrong else 0


def run_rounds(benches: list[Bench], scenarios: list[Scenario], rounds: int) -> list[Result]:
    results = []
    for number, scenario in itertools.product(range(1, rounds + 1), scenarios):
        # The two take turns at going first.
        for bench in benches if number % 2 else benches[::-1]:
            result = bench.run(scenario)
            results.append(result)
            say(f"round {number}  {result}")
    return results


def main() -> int:
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(INTERRUPTED))
    try:
        return measure(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MariaDBFailed, ServiceFailed, OSError, subprocess.CalledProcessError) as failure:
        say(str(failure))
        return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
