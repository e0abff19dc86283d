"""Measures how far `manage.py deliver` falls behind while a hot event sells, and what it costs the sale.

    .venv/bin/python -m tools.bench.lag --seconds 10 --rounds 5

Rounds with a `deliver` beside the server and rounds without one take turns, and both are watched. All run on this
machine: a MariaDB of its own, the server, the buyers, the mail server and `deliver`."""

import argparse
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tools.bench.deliveries import start_mail_server
from tools.bench.measure import Result, measure
from tools.bench.scenarios import SCENARIOS, Scenario
from tools.bench.world import World, worlds
from tools.private_mariadb import end_process

POLL_SECONDS = 0.2
CATCH_UP_SECONDS = 120
# The number of unread entries, and the age of the oldest in seconds. It reads one entry for each event.
BEHIND = """
SELECT COALESCE(SUM(event.ledger_sequence - COALESCE(position.sequence, 0)), 0),
    COALESCE(MAX(TIMESTAMPDIFF(MICROSECOND, entry.created_at, UTC_TIMESTAMP(6))), 0) / 1e6
FROM events_event AS event
LEFT JOIN bookings_deliveryposition AS position ON position.event_id = event.id
LEFT JOIN bookings_ledgerentry AS entry
    ON entry.event_id = event.id AND entry.sequence = COALESCE(position.sequence, 0) + 1
"""


@dataclass
class Lag:
    """The largest number of unread entries that was seen, and the largest age of one."""

    entries: int = 0
    seconds: float = 0.0

    def look(self, world: World) -> int:
        [[entries, seconds]] = world.mariadb.ask(BEHIND, db=world.schema)
        self.entries, self.seconds = max(self.entries, int(entries)), max(self.seconds, float(seconds))
        return int(entries)


def measure_and_watch(world: World, scenario: Scenario, seconds: float) -> tuple[Result, Lag]:
    lag, is_over = Lag(), threading.Event()

    def watch() -> None:
        while not is_over.wait(POLL_SECONDS):
            lag.look(world)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            result = measure(world, scenario, seconds)
        finally:
            is_over.set()
        watching.result()
    return result, lag


def run_with_deliver(
    world: World, scenario: Scenario, seconds: float, settings: dict[str, str]
) -> tuple[Result, Lag, float]:
    """The result of a sale, how far `deliver` was behind meanwhile, and how many seconds it took to catch up."""
    command = [*world.first.manage_py, "deliver"]
    environment = world.first.environment | settings
    deliver = subprocess.Popen(command, cwd=world.first.root, env=environment, stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        wait_until_read(world, Lag())
        result, lag = measure_and_watch(world, scenario, seconds)
        return result, lag, wait_until_read(world, lag)
    finally:
        end_process(deliver, seconds=20)


def wait_until_read(world: World, lag: Lag) -> float:
    began = time.monotonic()
    while lag.look(world):
        if time.monotonic() - began > CATCH_UP_SECONDS:
            raise SystemExit(f"The ledger was not read within {CATCH_UP_SECONDS} seconds.")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="lag", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    [scenario] = [one for one in SCENARIOS if one.name == "hot-64"]
    mail_server, port = start_mail_server()
    settings = {
        "EMAIL_URL": f"smtp://127.0.0.1:{port}",
        "DEFAULT_FROM_EMAIL": "ticks@example.org",
        "SITE_URL": "http://127.0.0.1:8000",
    }
    ratios, rates, lags = [], [], []
    with worlds([None], ["fast path"]) as [world]:
        measure(world, scenario, 2)
        for number in range(options.rounds):
            if number % 2:
                alone, _ = measure_and_watch(world, scenario, options.seconds)
            result, lag, caught_up = run_with_deliver(world, scenario, options.seconds, settings)
            if not number % 2:
                alone, _ = measure_and_watch(world, scenario, options.seconds)
            ratios.append(result.rate / alone.rate)
            rates.append(result.rate)
            lags.append(lag)
            print(
                f"{result.rate:6.0f}/s with deliver, {alone.rate:6.0f}/s without: {ratios[-1]:.2f};"
                f" at most {lag.entries:,} entries and {lag.seconds:.1f} s behind, caught up {caught_up:.1f} s later"
            )
    mail_server.terminate()
    print(
        f"medians: {statistics.median(rates):.0f}/s, x{statistics.median(ratios):.2f} of a sale without deliver,"
        f" {statistics.median(lag.seconds for lag in lags):.1f} s behind"
    )


if __name__ == "__main__":
    main()
