"""Measures the real server on a private durable MariaDB, against hand-written SQL on the same machine.

    .venv/bin/python -m tools.bench [--quick] [--rounds 5] [--seconds 6] [--scenario NAME ...]
    .venv/bin/python -m tools.bench --growth          the hot event with 0, 100,000 and 1,000,000 bookings before it
    .venv/bin/python -m tools.bench --memory 500000   the workers' memory while so many bookings are made

Exits non-zero when in any run 2xx = rows = tickets gone did not hold.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from tools.bench import growth, memory, plotting, report
from tools.bench.progress import Progress
from tools.bench.rounds import Bench, Result, expected_seconds
from tools.bench.scenarios import BY_NAME, SCENARIOS, Scenario, hot_event
from tools.bench.server import ROOT, ServerFailed
from tools.bench.stage import MAX_TICKETS, World, staged
from tools.private_mariadb import MariaDBFailed

INTERRUPTED = 130
WARM_UP_SECONDS = 1.5


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two minutes altogether: 2 rounds of 1.5 seconds")
    parser.add_argument("--rounds", type=whole, help="how often each scenario is run (5)")
    parser.add_argument("--seconds", type=positive, help="how long each run takes (6)")
    parser.add_argument(
        "--scenario", action="append", nargs="+", choices=list(BY_NAME), metavar="NAME", help=", ".join(BY_NAME)
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep everything there, each run of each round too")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the ratios; installs matplotlib for itself")
    parser.add_argument("--port", type=whole, default=8199, help="the first server's; the others have the next ones")
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--growth", action="store_true", help="instead: cost per booking as the tables grow")
    others.add_argument(
        "--memory", type=whole, nargs="?", const=500_000, metavar="N", help="instead: N bookings (500000)"
    )
    options = parser.parse_args(given)
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.5 if options.quick else 6)
    options.scenario = list(dict.fromkeys(name for names in options.scenario or [] for name in names))
    if (options.scenario or options.plot) and (options.growth or options.memory):
        parser.error("--scenario and --plot go with neither --growth nor --memory")
    for file in (options.json, options.plot):
        # Known now, and not after a quarter of an hour.
        if file and not file.absolute().parent.is_dir():
            parser.error(f"there is no directory for {file}")
    return options


def whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def measure(options: argparse.Namespace) -> tuple[list[Result], str]:
    scenarios = [BY_NAME[name] for name in options.scenario] or SCENARIOS
    servers = list(dict.fromkeys(scenario.server for scenario in scenarios))
    Progress(0).say(f"Starting MariaDB and {len(servers)} servers ...")
    with staged(port=options.port) as stage:
        world = World(stage)
        world.start(*servers)
        expected = expected_seconds(scenarios, rounds=options.rounds, seconds=options.seconds)
        progress = Progress(expected + len(servers) * WARM_UP_SECONDS)
        bench = Bench(world, seconds=options.seconds, progress=progress)
        for server in servers:
            bench.warm_up(Scenario(server, f"warming up: {server}", hot_event, server=server), seconds=WARM_UP_SECONDS)
        results = run_rounds(bench, scenarios, options.rounds, progress)
        progress.end()
        verify_small_events(world)
        return results, world.database_version()


def run_rounds(bench: Bench, scenarios: list[Scenario], rounds: int, progress: Progress) -> list[Result]:
    results = []
    for number in range(1, rounds + 1):
        bench.keep_logged_in()
        for scenario in scenarios:
            result = bench.run(scenario, number=number)
            results.append(result)
            progress.say(
                f"round {number}  {scenario.title:<40} {result.rate:7.0f}/s  A {sum(result.ceilings) / 2:6.0f}/s"
                f"  ratio {result.ratio:5.2f}  p99 {result.p99:6.1f} ms  errors {result.errors}"
            )
    return results


def verify_small_events(world: World) -> None:
    """The last mix and the last sell-out, where waiting bookings were served. Raises CalledProcessError."""
    small = world.rows("SELECT id FROM events_event WHERE total_tickets < %s ORDER BY id DESC LIMIT 2", MAX_TICKETS)
    for [event] in small:
        world.verify(event)


def show(results: list[Result], options: argparse.Namespace) -> int:
    entries = report.summary(results)
    print(f"\nMedians of {options.rounds} interleaved rounds of {options.seconds:g} seconds.\n")
    print(report.table(entries))
    print(f"\n{report.LEGEND}")
    for entry in entries:
        if entry["promoted"]:
            print(f"{entry['title']}: {entry['promoted']} waiting bookings were promoted.")
    return report.complain(results)


def main() -> int:
    options = arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(INTERRUPTED))
    try:
        if options.plot:
            plotting.prepare()
        if options.memory:
            return memory.measure(options)
        if options.growth:
            return growth.measure(options)
        results, version = measure(options)
        kept = report.record(options, version, results)
        if options.json:
            options.json.write_text(kept)
        if options.plot:
            plotting.draw(kept, options.plot)
        return show(results, options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (MariaDBFailed, ServerFailed, OSError, subprocess.CalledProcessError) as failure:
        sys.stderr.write(f"{failure}\n")
        return 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
