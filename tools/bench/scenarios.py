"""What is measured: who asks what, over how many connections, of a server in which configuration."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ticks.load import Caller
from tools.bench import callers
from tools.bench.callers import Buyer, Mixer, Poller, Told, Visitor, booking
from tools.bench.ceiling import EVENTS
from tools.bench.stage import PASSWORD, World

# More than any server answers in a second, so that none runs out of what was made beforehand.
COLD_A_SECOND = 12_000
MIX_TICKETS = 500


@dataclass(frozen=True)
class Run:
    """One run of a scenario: all that its callers need."""

    world: World
    told: Told
    host: str
    connections: int
    seconds: float
    # Bookings a second that the server has made before.
    pace: float


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    callers: Callable[[Run], list[Caller]]
    connections: int = 64
    server: str = "fast lane"
    # How many rows ceiling A works on.
    ceiling: int = 1


def buyers(run: Run, requests: Iterator[bytes]) -> list[Caller]:
    return [Buyer(requests, run.told) for _ in range(run.connections)]


def hot_event(run: Run) -> list[Caller]:
    return buyers_of(run, [run.world.open_event()])


def buyers_of(run: Run, events: list[int]) -> list[Caller]:
    pairs = zip(itertools.cycle(events), run.world.tokens * len(events), strict=False)
    return buyers(run, itertools.cycle([booking(event, token, host=run.host) for event, token in pairs]))


def with_keys(run: Run) -> list[Caller]:
    event = run.world.open_event()
    headers = {"Idempotency-Key": callers.KEY_MARK.decode()}
    marked = [booking(event, token, host=run.host, headers=headers) for token in run.world.tokens]
    return buyers(run, callers.with_fresh_keys(itertools.cycle(marked)))


def cold_tokens(run: Run) -> list[Caller]:
    event = run.world.open_event()
    tokens = itertools.islice(itertools.cycle(run.world.tokens), int(COLD_A_SECOND * run.seconds))
    fresh = [booking(event, run.world.mint.another(token), host=run.host) for token in tokens]
    return buyers(run, iter(fresh))


def many_events(run: Run) -> list[Caller]:
    return buyers_of(run, [run.world.open_event() for _ in range(EVENTS)])


def sell_out(run: Run) -> list[Caller]:
    """Half of the time there are tickets, then who comes is told to wait."""
    return buyers_of(run, [run.world.open_event(max(int(run.pace * run.seconds / 2), 1))])


def mix(run: Run) -> list[Caller]:
    event, tokens = run.world.open_event(MIX_TICKETS), run.world.tokens
    return [
        Mixer(event, tokens[number :: run.connections], run.told, host=run.host, seed=number)
        for number in range(run.connections)
    ]


def polls_of_guests(run: Run) -> list[Caller]:
    event, senders = run.world.open_event(), callers.guests()
    return [Poller(event, senders, run.told, host=run.host) for _ in range(run.connections)]


def polls_of_users(run: Run) -> list[Caller]:
    event, senders = run.world.open_event(), callers.users(run.world.tokens)
    return [Poller(event, senders, run.told, host=run.host) for _ in range(run.connections)]


def logins(run: Run) -> list[Caller]:
    requests = callers.logins(run.world.names, PASSWORD, host=run.host)
    return [Visitor(requests, run.told) for _ in range(run.connections)]


SCENARIOS = [
    Scenario("hot-1", "hot event, 1 connection", hot_event, 1),
    Scenario("hot-16", "hot event, 16 connections", hot_event, 16),
    Scenario("hot-64", "hot event, 64 connections", hot_event),
    Scenario("hot-256", "hot event, 256 connections", hot_event, 256),
    Scenario("keys", "hot event, 64, with idempotency keys", with_keys),
    Scenario("cold-tokens", "hot event, 64, tokens never seen before", cold_tokens),
    Scenario("viewset-1", "viewset, 1 connection", hot_event, 1, server="viewset"),
    Scenario("viewset-64", "viewset, 64 connections", hot_event, server="viewset"),
    Scenario("ungrouped-1", "viewset without groups, 1 connection", hot_event, 1, server="ungrouped"),
    Scenario("ungrouped-64", "viewset without groups, 64 connections", hot_event, server="ungrouped"),
    Scenario("events-64", "64 events, 64 connections", many_events, ceiling=EVENTS),
    Scenario("sell-out", "sell-out with a waitlist, 64", sell_out),
    Scenario("mix", "book and cancel 60/40, sold out, 64", mix),
    Scenario("status", "status reads, guests, 64", polls_of_guests, server="behind a proxy"),
    Scenario("status-users", "status reads, accounts, 64", polls_of_users),
    # Fewer than may wait for their turn to hash.
    Scenario("login", "logins, 8 connections", logins, 8, server="logins"),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
