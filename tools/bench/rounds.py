"""Runs scenarios in rounds, with ceiling A right before and right after each, so that both meet the same noise."""

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ticks.load import drive
from tools.bench.callers import Told
from tools.bench.ceiling import ceiling
from tools.bench.progress import Progress
from tools.bench.scenarios import Run, Scenario
from tools.bench.server import cpu_seconds
from tools.bench.stage import World
from tools.bench.verdict import findings, mark, stored_since

PATIENCE_SECONDS = 30
MICRO, MILLI = 1_000_000, 1000
# A round must end before they expire, ten minutes later.
TOKENS_LAST_SECONDS = 20 * 60
# Of each of A's numbers of connections.
CEILING_SHARE = 1 / 4
SHORTEST_CEILING = 0.4


@dataclass
class Result:
    """One run of one scenario."""

    scenario: str
    round: int
    rate: float
    ceilings: list[float]
    p50: float
    p99: float
    longest: float
    errors: int
    statuses: dict[str, int]
    reopened: int
    answered: int
    seconds: float
    server_us: float
    database_us: float
    memory_mb: float
    promoted: int
    findings: list[str]

    @property
    def ratio(self) -> float:
        return self.rate / (sum(self.ceilings) / len(self.ceilings))


class Bench:
    def __init__(self, world: World, *, seconds: float, progress: Progress):
        self.world, self.seconds, self.progress = world, seconds, progress
        self.ceiling_seconds = max(seconds * CEILING_SHARE, SHORTEST_CEILING)
        self.paces: dict[str, float] = {}
        self.last_ceiling: tuple[int, float] | None = None
        self.tokens_made = time.monotonic()

    def warm_up(self, scenario: Scenario, *, seconds: float) -> None:
        """Fills pools and caches, and finds how fast the server is."""
        self.paces[scenario.server] = 1000
        result = self.measure(scenario, number=0, seconds=seconds)
        self.paces[scenario.server] = result.rate

    def run(self, scenario: Scenario, *, number: int) -> Result:
        before = self.ceiling(scenario.ceiling, may_be_last=True)
        result = self.measure(scenario, number=number, seconds=self.seconds)
        result.ceilings = [before, self.ceiling(scenario.ceiling)]
        return result

    def keep_logged_in(self) -> None:
        """Access tokens last for half an hour; between rounds, since new ones must first be met by the server."""
        if time.monotonic() - self.tokens_made > TOKENS_LAST_SECONDS:
            self.world.renew_tokens()
            self.tokens_made = time.monotonic()

    def ceiling(self, events: int, *, may_be_last: bool = False) -> float:
        """Bookings a second by hand-written SQL, now; or those after the scenario that has just ended."""
        if may_be_last and self.last_ceiling and self.last_ceiling[0] == events:
            return self.last_ceiling[1]
        socket = self.world.stage.mariadb.socket
        with self.progress.step(f"A on {events} row{'s' if events > 1 else ''}", 2 * self.ceiling_seconds):
            rate = ceiling(socket, events=events, seconds=self.ceiling_seconds)
        self.last_ceiling = (events, rate)
        return rate

    def measure(self, scenario: Scenario, *, number: int, seconds: float) -> Result:
        world, told = self.world, Told()
        server, database = world.servers[scenario.server], world.stage.mariadb.pid
        host = "{}:{}".format(*server.address)
        pace = self.paces[scenario.server]
        callers = scenario.callers(Run(world, told, host, scenario.connections, seconds, pace))
        before = mark(world)
        # Nothing that lives longer than a run needs to be looked through while it lasts.
        gc.collect()
        gc.freeze()

        cpu = server.cpu_seconds(), cpu_seconds(database)
        with self.progress.step(scenario.title, seconds) as watch:
            tally = drive(server.address, callers, seconds=seconds, patience=PATIENCE_SECONDS, watch=watch)
        cpu = server.cpu_seconds() - cpu[0], cpu_seconds(database) - cpu[1]

        self.last_ceiling = None
        stored = stored_since(world, before)
        good = tally.answered + tally.unanswered - told.errors
        return Result(
            scenario=scenario.name,
            round=number,
            rate=good / tally.seconds,
            ceilings=[],
            p50=tally.percentile(50) * MILLI,
            p99=tally.percentile(99) * MILLI,
            longest=tally.percentile(100) * MILLI,
            errors=told.errors,
            statuses={str(status): count for status, count in sorted(tally.statuses.items())},
            reopened=tally.reopened,
            answered=tally.answered,
            seconds=tally.seconds,
            server_us=cpu[0] / max(tally.answered, 1) * MICRO,
            database_us=cpu[1] / max(tally.answered, 1) * MICRO,
            memory_mb=max(server.memory_mb(), default=0.0),
            promoted=stored.promoted,
            findings=findings(told, stored, unanswered=tally.unanswered),
        )


def expected_seconds(scenarios: Sequence[Scenario], *, rounds: int, seconds: float) -> float:
    """How long the measuring takes, without what happens in between."""
    one_ceiling = 2 * max(seconds * CEILING_SHARE, SHORTEST_CEILING)
    changes = 1 + sum(one.ceiling != other.ceiling for one, other in pairwise(scenarios))
    return rounds * (len(scenarios) * (seconds + one_ceiling) + changes * one_ceiling)
