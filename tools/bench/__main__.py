"""Measures the real server on a private durable MariaDB, against hand-written SQL on the same machine.

    .venv/bin/python -m tools.bench [--quick] [--rounds 5] [--seconds 6] [--scenario NAME ...]
    .venv/bin/python -m tools.bench --against COMMIT    this tree and another commit, interleaved, and their quotients

Exits non-zero when in any run 2xx = rows = tickets gone did not hold.
"""

import argparse
import os
import signal
import subprocess
import sys
from itertools import product

from tools.bench import report
from tools.bench.measure import measure, run
from tools.bench.scenarios import BY_NAME, SCENARIOS, Scenario, hot_event
from tools.bench.world import worlds
from tools.private_mariadb import MariaDBFailed
from tools.service import ROOT, ServiceFailed

INTERRUPTED = 130
WARM_UP_SECONDS = 1.5


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--quick", action="store_true", help="two minutes altogether: 2 rounds of 1.5 seconds")
    add("--rounds", type=int, default=5, help="how often each scenario is run (5)")
    add("--seconds", type=float, default=6, help="how long each run takes (6)")
    add("--scenario", nargs="+", choices=list(BY_NAME), metavar="NAME", default=[], help=", ".join(BY_NAME))
    add("--against", metavar="COMMIT", help="compare this tree with a commit")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 2, 1.5
    if options.rounds < 1 or not 0 < options.seconds <= 600:
        parser.error("--rounds is at least 1, --seconds more than 0 and at most 600")
    return options


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def bench(options: argparse.Namespace) -> int:
    scenarios = [BY_NAME[name] for name in options.scenario] or SCENARIOS
    commits = [options.against, None] if options.against else [None]
    servers = list(dict.fromkeys(scenario.server for scenario in scenarios))
    say("Starting MariaDB and the servers ...")
    with worlds(commits, servers) as made:
        for world in made:
            for server in servers:
                # This fills the server's pools and caches.
                measure(world, Scenario("", "warming up", hot_event, server=server), WARM_UP_SECONDS)
        results = []
        for number, scenario in product(range(options.rounds), scenarios):
            # The two take turns at going first.
            for world in made[:: -1 if number % 2 else 1]:
                results.append(run(world, scenario, options.seconds))
                say(f"round {number + 1}  {results[-1]}")
        for world in made:
            world.verify()
    print(f"\nMedians of {options.rounds} interleaved rounds of {options.seconds:g} seconds.\n")
    print(report.tables(results, [world.name for world in made]))
    wrong = [f"{result.world}, {result.scenario.name}: {finding}" for result in results for finding in result.findings]
    print("".join(f"WRONG: {finding}\n" for finding in wrong), end="")
    return 1 if wrong else 0


def main() -> int:
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(INTERRUPTED))
    try:
        return bench(options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MariaDBFailed, ServiceFailed, OSError, subprocess.CalledProcessError) as failure:
        say(str(failure))
        return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
