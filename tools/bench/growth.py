"""What a booking costs as the tables grow: each size has tables and a server of its own, all in the same rounds."""

import argparse
from collections.abc import Callable
from functools import partial

from tools.bench import report
from tools.bench.progress import Progress
from tools.bench.rounds import Bench, Result, expected_seconds
from tools.bench.scenarios import Run, Scenario, buyers_of
from tools.bench.stage import MAX_TICKETS, Stage, World, staged

SIZES = (0, 100_000, 1_000_000)
QUICK_SIZES = (0, 20_000, 100_000)
# In the hot event itself; the rest are in others before it.
MOST_IN_ONE = 500_000
WARM_UP_SECONDS = 1.5
COLUMNS = (
    "bookings before",
    "bookings/s",
    "(min-max)",
    "ratio to A",
    "(min-max)",
    "CPU us: server",
    "database",
    "p50 ms",
    "p99 ms",
    "errors",
)


def measure(options: argparse.Namespace) -> int:
    sizes = QUICK_SIZES if options.quick else SIZES
    results: list[Result] = []
    with staged(port=options.port) as stage:
        progress = Progress(0)
        benches = {size: prepared(stage, size, options.seconds, progress.say) for size in sizes}
        scenarios = [scenario for _, scenario in benches.values()]
        progress = Progress(expected_seconds(scenarios, rounds=options.rounds, seconds=options.seconds))
        for number in range(1, options.rounds + 1):
            for bench, scenario in benches.values():
                bench.progress = progress
                bench.keep_logged_in()
                results.append(bench.run(scenario, number=number))
                progress.say(f"round {number}  {scenario.title:<28} {results[-1].rate:7.0f}/s")
        progress.end()
        version = benches[0][0].world.database_version()
    entries = report.summary(results)
    print(f"\nThe hot event at 64 connections: medians of {options.rounds} rounds of {options.seconds:g} seconds.\n")
    print(report.columns([COLUMNS, *(cells(size, entry) for size, entry in zip(sizes, entries, strict=True))]))
    if options.json:
        options.json.write_text(report.record(options, version, results))
    return report.complain(results)


def prepared(stage: Stage, size: int, seconds: float, say: Callable[[str], None]) -> tuple[Bench, Scenario]:
    world = World(stage, f"ticks_{size}")
    say(f"filling in {size} bookings ...")
    before, last = (size - MOST_IN_ONE, MOST_IN_ONE) if size > MOST_IN_ONE else (0, size)
    if before:
        world.fill(bookings=before)
    event = world.fill(bookings=last, left=MAX_TICKETS - last)
    world.start("fast lane")
    scenario = Scenario(f"growth-{size}", f"{size} bookings before", partial(one_event, event))
    bench = Bench(world, seconds=seconds, progress=Progress(0))
    bench.warm_up(scenario, seconds=WARM_UP_SECONDS)
    return bench, scenario


def one_event(event: int, run: Run):
    return buyers_of(run, [event])


def cells(size: int, entry: dict) -> tuple[str, ...]:
    rate, ratio = entry["rate"], entry["ratio"]
    return (
        f"{size:,}",
        f"{rate['median']:.0f}",
        f"({rate['min']:.0f}-{rate['max']:.0f})",
        f"{ratio['median']:.2f}",
        f"({ratio['min']:.2f}-{ratio['max']:.2f})",
        f"{entry['server_us']:.0f}",
        f"{entry['database_us']:.0f}",
        f"{entry['p50']['median']:.1f}",
        f"{entry['p99']['median']:.1f}",
        str(entry["errors"]),
    )
