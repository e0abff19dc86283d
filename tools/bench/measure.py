"""Runs a scenario between two measurements of ceiling A, so that both have the same noise, and checks the result."""

import gc
from collections.abc import Iterable
from dataclasses import dataclass

from ticks.load import drive
from tools.bench.ceiling import ceiling
from tools.bench.scenarios import Answered, Run, Scenario, hot_event
from tools.bench.world import World
from tools.service import cpu_seconds

ANSWER_SECONDS = 30
MICRO, MILLI = 1_000_000, 1000
# This is the part of a run's seconds for each number of connections of ceiling A.
CEILING_SHARE = 1 / 4
SHORTEST_CEILING = 0.4
WARM_UP_SECONDS = 1.5
COUNTERS = (
    "SELECT COALESCE(SUM(total_tickets - available_tickets), 0), COALESCE(SUM(waitlisted_count), 0) FROM events_event"
)
BY_STATUS = "SELECT status, COUNT(*), SUM(tickets_reserved) FROM bookings_booking WHERE id > %s GROUP BY status"


@dataclass
class Result:
    """The result of one run of one scenario."""

    world: str
    scenario: str
    title: str
    rate: float
    ceilings: list[float]
    p50: float
    p99: float
    errors: int
    server_us: float
    database_us: float
    memory_mb: float
    findings: list[str]

    @property
    def ratio(self) -> float:
        return self.rate / (sum(self.ceilings) / len(self.ceilings))

    def __str__(self):
        return (
            f"{self.world:<10.10}  {self.title:<40} {self.rate:6.0f}/s  ratio {self.ratio:5.2f}"
            f"  p99 {self.p99:6.1f} ms  {self.memory_mb:4.0f} MB  errors {self.errors}"
        )


class Bench:
    """Measures one world."""

    # This is ceiling A after the last run of any world, with the number of rows.
    last_ceiling: tuple[int, float] | None = None

    def __init__(self, world: World, *, seconds: float):
        self.world, self.seconds = world, seconds
        # The speed of each server.
        self.paces: dict[str, float] = {}

    def start(self, servers: Iterable[str]) -> None:
        """Starts the servers, fills their pools and caches, and finds how fast they are."""
        self.world.start(servers)
        for name in servers:
            scenario = Scenario("warm-up", "warming up", hot_event, server=name)
            self.paces[name] = self.measure(scenario, seconds=WARM_UP_SECONDS).rate

    def run(self, scenario: Scenario) -> Result:
        self.world.renew_tokens()
        rows, before = Bench.last_ceiling or (0, 0.0)
        if rows != scenario.ceiling:
            before = self.ceiling(scenario.ceiling)
        result = self.measure(scenario, seconds=self.seconds)
        result.ceilings = [before, self.ceiling(scenario.ceiling)]
        return result

    def ceiling(self, rows: int) -> float:
        seconds = max(self.seconds * CEILING_SHARE, SHORTEST_CEILING)
        rate = ceiling(self.world.mariadb.socket, events=rows, seconds=seconds)
        Bench.last_ceiling = rows, rate
        return rate

    def measure(self, scenario: Scenario, *, seconds: float) -> Result:
        world, answered = self.world, Answered()
        server, database = world.servers[scenario.server], world.mariadb.pid
        host, pace = "{}:{}".format(*server.address), self.paces.get(scenario.server, 0)
        clients = scenario.clients(Run(world, answered, host, scenario.connections, seconds, pace))
        before = counts(world)
        # Objects that live longer than a run need not be searched for garbage during the run.
        gc.collect()
        gc.freeze()
        cpu = server.cpu_seconds(), cpu_seconds(database)
        tally = drive(server.address, clients, seconds=seconds, answer_seconds=ANSWER_SECONDS)
        cpu = server.cpu_seconds() - cpu[0], cpu_seconds(database) - cpu[1]
        Bench.last_ceiling = None
        number = max(len(tally.latencies), 1)
        return Result(
            world=world.name,
            scenario=scenario.name,
            title=scenario.title,
            rate=(len(tally.latencies) + tally.unanswered - answered.errors) / max(tally.seconds, 0.001),
            ceilings=[],
            p50=tally.percentile(50) * MILLI,
            p99=tally.percentile(99) * MILLI,
            errors=answered.errors,
            server_us=cpu[0] / number * MICRO,
            database_us=cpu[1] / number * MICRO,
            memory_mb=max(server.memory_mb(), default=0.0),
            findings=findings(answered, stored_since(world, before), unanswered=tally.unanswered),
        )


@dataclass(frozen=True)
class Stored:
    """The contents of the tables: rows and tickets from the bookings, the rest from the events' counters."""

    rows: int = 0
    held: int = 0
    waitlisted: int = 0
    cancelled: int = 0
    gone: int = 0
    waiting: int = 0


def counts(world: World) -> tuple[int, int, int]:
    """The last booking's id, and the tickets gone and bookings waiting by the events' counters."""
    [[last]] = world.rows("SELECT COALESCE(MAX(id), 0) FROM bookings_booking")
    [[gone, waiting]] = world.rows(COUNTERS)
    return int(last), int(gone), int(waiting)


def stored_since(world: World, before: tuple[int, int, int]) -> Stored:
    """The changes that a run has made. It must only have touched its own bookings."""
    last, gone, waiting = before
    by_status = {status: (int(rows), int(tickets)) for status, rows, tickets in world.rows(BY_STATUS, last)}
    now = counts(world)
    return Stored(
        rows=sum(rows for rows, _ in by_status.values()),
        held=by_status.get("completed", (0, 0))[1],
        waitlisted=by_status.get("waitlisted", (0, 0))[0],
        cancelled=by_status.get("cancelled", (0, 0))[0],
        gone=now[1] - gone,
        waiting=now[2] - waiting,
    )


def findings(answered: Answered, stored: Stored, *, unanswered: int) -> list[str]:
    """Checks that 2xx = rows = tickets gone, and returns what differs. After a request without an answer it cannot
    compare."""
    if unanswered:
        return [f"{unanswered} requests got no answer"]
    compared = [
        (answered.booked, "bookings were answered 201", stored.rows, "are stored"),
        (answered.cancelled, "bookings were cancelled with 200", stored.cancelled, "are stored as cancelled"),
        (stored.held, "tickets are held by bookings", stored.gone, "are gone by the events' counters"),
        (stored.waitlisted, "bookings wait", stored.waiting, "do by the events' counters"),
    ]
    # Cancellations give tickets back and promote waiting bookings, so only the tables can tell who holds what.
    if not answered.cancelled:
        compared += [
            (answered.tickets, "tickets were sold with 201", stored.gone, "are gone"),
            (answered.waitlisted, "bookings were answered as waiting", stored.waitlisted, "wait"),
        ]
    return [f"{one} {what}, but {other} {where}" for one, what, other, where in compared if one != other]
