"""The measured scenarios: the clients, their requests, their number of connections, and the server's configuration."""

import itertools
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ticks.load import Answer, Ask, Client, request
from tools.bench.ceiling import EVENTS
from tools.bench.world import PASSWORD, World

# This is more than any server answers in a second, so that no client runs out of requests.
COLD_A_SECOND = 12_000
MIX_TICKETS = 500
# Clients send some headers, and each takes time to read.
USUAL = {"Accept": "*/*", "User-Agent": "ticks-bench/1"}
NAMES = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org"}
KEY_MARK = "{idempotency-key}"
BOOKING_ID = re.compile(rb'"id":\s*(\d+)')
WAITLISTED = re.compile(rb'"bookingStatus":\s*"waitlisted"')


@dataclass
class Answered:
    """What the server has done according to its answers."""

    booked: int = 0
    tickets: int = 0
    waitlisted: int = 0
    cancelled: int = 0
    errors: int = 0


@dataclass(frozen=True)
class Run:
    """One run of a scenario, with everything that its clients need."""

    world: World
    answered: Answered
    host: str
    connections: int
    seconds: float
    # This is how many bookings a second the server has made before.
    pace: float


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    clients: Callable[[Run], list[Client]]
    connections: int = 64
    server: str = "fast path"
    # How many rows ceiling A works on.
    ceiling: int = 1


def booking(event: int, token: str, *, host: str, tickets: int = 1, headers: dict[str, str] | None = None) -> bytes:
    body = json.dumps({"eventId": event, "ticketsReserved": tickets, **NAMES}).encode()
    headers = {**USUAL, "Authorization": f"Bearer {token}", **(headers or {})}
    return request("POST", "/api/v1/booking", host=host, headers=headers, body=body)


async def buy(requests: Iterable[bytes], answered: Answered, ask: Ask) -> None:
    for each in requests:
        answer = await ask(each)
        if answer is None or answer.status != 201:
            answered.errors += 1
            continue
        answered.booked += 1
        if WAITLISTED.search(answer.body):
            answered.waitlisted += 1
        else:
            answered.tickets += 1


def buyers(run: Run, requests: Iterator[bytes]) -> list[Client]:
    """The clients share the requests. Each request comes from the next account."""
    return [partial(buy, requests, run.answered)] * run.connections


def buyers_of(run: Run, *events: int) -> list[Client]:
    pairs = zip(itertools.cycle(events), run.world.tokens * len(events), strict=False)
    return buyers(run, itertools.cycle([booking(event, token, host=run.host) for event, token in pairs]))


def hot_event(run: Run) -> list[Client]:
    return buyers_of(run, run.world.open_event())


def many_events(run: Run) -> list[Client]:
    return buyers_of(run, *(run.world.open_event() for _ in range(EVENTS)))


def sell_out(run: Run) -> list[Client]:
    """For half of the time there are tickets; after that, buyers are waitlisted."""
    return buyers_of(run, run.world.open_event(max(int(run.pace * run.seconds / 2), 1)))


def with_keys(run: Run) -> list[Client]:
    event, headers = run.world.open_event(), {"Idempotency-Key": KEY_MARK}
    marked = [booking(event, token, host=run.host, headers=headers) for token in run.world.tokens]
    return buyers(run, with_fresh_keys(itertools.cycle(marked)))


def with_fresh_keys(requests: Iterable[bytes]) -> Iterator[bytes]:
    """Replaces each mark by a key that nobody has used."""
    first = random.SystemRandom().getrandbits(64)
    for number, each in enumerate(requests):
        yield each.replace(KEY_MARK.encode(), b"%016x-%08d" % (first, number))


def cold_tokens(run: Run) -> list[Client]:
    event, world = run.world.open_event(), run.world
    tokens = itertools.islice(itertools.cycle(world.tokens), int(COLD_A_SECOND * run.seconds))
    return buyers(run, iter([booking(event, world.another_token(token), host=run.host) for token in tokens]))


def mix(run: Run) -> list[Client]:
    event, tokens = run.world.open_event(MIX_TICKETS), run.world.tokens
    return [
        partial(book_and_cancel, run, event, tokens[number :: run.connections], number)
        for number in range(run.connections)
    ]


async def book_and_cancel(run: Run, event: int, tokens: list[str], seed: int, ask: Ask) -> None:
    """Books one to four tickets, and cancels bookings of its own, three to two."""
    # Each round uses the same random numbers.
    dice, answered, made = random.Random(seed), run.answered, []  # noqa: S311
    requests = {token: [booking(event, token, host=run.host, tickets=n) for n in (1, 2, 3, 4)] for token in tokens}
    while True:
        if made and dice.random() < 0.4:
            number, token = made.pop(dice.randrange(len(made)))
            headers = {**USUAL, "Authorization": f"Bearer {token}"}
            answer = await ask(request("DELETE", f"/api/v1/booking/{number}", host=run.host, headers=headers))
            is_good = answer is not None and answer.status == 200
            answered.cancelled += is_good
        else:
            token = dice.choice(tokens)
            answer = await ask(dice.choice(requests[token]))
            is_good = answer is not None and answer.status == 201
            if is_good:
                answered.booked += 1
                made.append((int(BOOKING_ID.search(answer.body)[1]), token))
        answered.errors += not is_good


def status_reads(run: Run, senders: Iterator[bytes]) -> list[Client]:
    first = request("GET", f"/api/v1/booking/status/{run.world.open_event()}", host=run.host, headers=USUAL)
    return [partial(poll, first.removesuffix(b"\r\n"), senders, run.answered)] * run.connections


async def poll(first: bytes, senders: Iterator[bytes], answered: Answered, ask: Ask) -> None:
    """Reads an event's status. Every second request sends the `ETag` that the client has."""
    condition = b""
    for number in itertools.count():
        answer = await ask(b"%s%s%s\r\n" % (first, next(senders), condition if number % 2 else b""))
        if answer is not None and answer.status == 200:
            condition = b"If-None-Match: %s\r\n" % (answer.header("ETag") or "").encode()
        answered.errors += answer is None or answer.status not in (200, 304)


def polls_of_guests(run: Run) -> list[Client]:
    # The addresses come as a proxy reports them: each request has another of 60,000 addresses.
    return status_reads(run, (b"X-Forwarded-For: 10.0.%d.%d\r\n" % divmod(n % 60_000, 250) for n in itertools.count()))


def polls_of_users(run: Run) -> list[Client]:
    return status_reads(run, itertools.cycle([f"Authorization: Bearer {t}\r\n".encode() for t in run.world.tokens]))


def logins(run: Run) -> list[Client]:
    requests = []
    for number, name in enumerate(run.world.names):
        # The addresses come as a proxy reports them: each account has an address of its own.
        headers = {**USUAL, "X-Forwarded-For": f"10.0.{number // 250}.{number % 250}"}
        body = json.dumps({"username": name, "password": PASSWORD}).encode()
        requests.append(request("POST", "/api/v1/auth/login", host=run.host, headers=headers, body=body))
    return [partial(log_in, itertools.cycle(requests), run.answered)] * run.connections


async def log_in(requests: Iterable[bytes], answered: Answered, ask: Ask) -> None:
    for each in requests:
        answer: Answer | None = await ask(each)
        answered.errors += answer is None or answer.status != 200


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
    # This is fewer than the number that may wait for their turn to hash.
    Scenario("login", "logins, 8 connections", logins, 8, server="logins"),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
