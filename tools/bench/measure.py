"""Runs a scenario between two measurements of ceiling A, so that both have the same noise, and checks the result."""

import gc
from dataclasses import dataclass

from ticks.load import drive
from tools.bench.ceiling import ceiling
from tools.bench.scenarios import Answered, Run, Scenario
from tools.bench.world import World
from tools.service import cpu_seconds

ANSWER_SECONDS = 30
# This is the part of a run's seconds for each number of connections of ceiling A.
CEILING_SHARE = 1 / 6
SHORTEST_CEILING = 0.4
BOOKINGS = """
SELECT COUNT(*), SUM(IF(status = 'completed', tickets_reserved, 0)), SUM(status = 'waitlisted'),
SUM(status = 'cancelled') FROM bookings_booking WHERE event_id > %d
"""
COUNTERS = "SELECT SUM(total_tickets - available_tickets), SUM(waitlisted_count) FROM events_event WHERE id > %d"


@dataclass
class Result:
    """The result of one run of one scenario."""

    world: str
    scenario: Scenario
    rate: float
    p99: float
    errors: int
    server_us: float
    database_us: float
    memory_mb: float
    findings: list[str]
    # Bookings a second of ceiling A, right before and right after the run.
    ceilings: tuple[float, float] = (0.0, 0.0)

    @property
    def ratio(self) -> float:
        return 2 * self.rate / sum(self.ceilings)

    def __str__(self):
        return (
            f"{self.world:<10.10}  {self.scenario.title:<40} {self.rate:6.0f}/s  ratio {self.ratio:5.2f}"
            f"  p99 {self.p99:6.1f} ms  {self.memory_mb:4.0f} MB  errors {self.errors}"
        )


def run(world: World, scenario: Scenario, seconds: float) -> Result:
    share = max(seconds * CEILING_SHARE, SHORTEST_CEILING)
    before = ceiling(world.mariadb, events=scenario.ceiling, seconds=share)
    result = measure(world, scenario, seconds)
    result.ceilings = before, ceiling(world.mariadb, events=scenario.ceiling, seconds=share)
    return result


def measure(world: World, scenario: Scenario, seconds: float) -> Result:
    server, database, answered = world.servers[scenario.server], world.mariadb.pid, Answered()
    [[last_event]] = world.mariadb.ask("SELECT COALESCE(MAX(id), 0) FROM events_event", db=world.schema)
    clients = scenario.clients(Run(world, answered, scenario.connections, seconds))
    # Objects that live longer than a run need not be searched for garbage during the run.
    gc.collect()
    gc.freeze()
    cpu = server.cpu_seconds(), cpu_seconds(database)
    tally = drive(server.address, clients, seconds=seconds, answer_seconds=ANSWER_SECONDS)
    cpu = server.cpu_seconds() - cpu[0], cpu_seconds(database) - cpu[1]
    number = max(len(tally.latencies), 1)
    return Result(
        world=world.name,
        scenario=scenario,
        rate=(len(tally.latencies) + tally.unanswered - answered.errors) / max(tally.seconds, 0.001),
        p99=tally.percentile(99) * 1000,
        errors=answered.errors,
        server_us=cpu[0] / number * 1_000_000,
        database_us=cpu[1] / number * 1_000_000,
        memory_mb=max(server.memory_mb(), default=0.0),
        findings=findings(answered, stored_since(world, last_event), unanswered=tally.unanswered),
    )


@dataclass(frozen=True)
class Stored:
    """The contents of the tables: rows and tickets from the bookings, the last two from the events' counters."""

    rows: int = 0
    held: int = 0
    waitlisted: int = 0
    cancelled: int = 0
    gone: int = 0
    waiting: int = 0


def stored_since(world: World, last_event: int) -> Stored:
    """What is stored for the events of a run, which are all after this one."""
    [bookings], [counters] = (world.mariadb.ask(query % last_event, db=world.schema) for query in (BOOKINGS, COUNTERS))
    return Stored(*(int(value or 0) for value in (*bookings, *counters)))


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
