"""How large the workers are while very many bookings are made."""

import argparse
import itertools
import json

from ticks.load import drive
from tools.bench.callers import Buyer, Told, booking
from tools.bench.progress import Progress
from tools.bench.report import columns
from tools.bench.stage import World, staged
from tools.bench.verdict import findings, mark, stored_since

STEP = 50_000
CONNECTIONS = 64
# A server that makes fewer than a hundred bookings a second will not get there.
STEP_SECONDS = 500
PATIENCE_SECONDS = 30


def measure(options: argparse.Namespace) -> int:
    lines, wrong = [("bookings", "bookings/s", "worker MB, each")], []
    with staged(port=options.port) as stage:
        world = World(stage)
        world.start("fast lane")
        progress = Progress(0)
        server = world.servers["fast lane"]
        progress.say(f"{0:>9}            {megabytes(server)} MB")
        lines.append(("0", "", megabytes(server)))
        for start in range(0, options.memory, STEP):
            step = min(STEP, options.memory - start)
            world.renew_tokens()
            rate, found = book(world, server.address, step)
            wrong += found
            lines.append((str(start + step), f"{rate:.0f}", megabytes(server)))
            progress.say(f"{start + step:>9}  {rate:7.0f}/s  {megabytes(server)} MB")
    print("\n" + columns(lines))
    if options.json:
        options.json.write_text(
            json.dumps([dict(zip(lines[0], line, strict=True)) for line in lines[1:]], indent=2) + "\n"
        )
    for finding in wrong:
        print(f"WRONG: {finding}")
    return 1 if wrong else 0


def book(world: World, address: tuple[str, int], count: int) -> tuple[float, list[str]]:
    told, event = Told(), world.open_event()
    prebuilt = [booking(event, token, host="{}:{}".format(*address)) for token in world.tokens]
    before = mark(world)
    requests = itertools.islice(itertools.cycle(prebuilt), count)
    callers = [Buyer(requests, told) for _ in range(CONNECTIONS)]
    tally = drive(address, callers, seconds=STEP_SECONDS, patience=PATIENCE_SECONDS)
    found = findings(told, stored_since(world, before), unanswered=tally.unanswered)
    if told.booked != count:
        found.append(f"{told.booked} of {count} bookings were made: {dict(tally.statuses)}")
    return tally.rate, found


def megabytes(server) -> str:
    return " ".join(f"{size:.0f}" for size in server.memory_mb())
