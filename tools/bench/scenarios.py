"""The measured scenarios: the clients, their requests, their number of connections, and the server's configuration."""

import itertools
import json
import random
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from ticks.load import Ask, Client, request
from tools.bench.ceiling import EVENTS
from tools.bench.world import World
from tools.service import HOST

MIX_TICKETS = 500
# At the usual speed about half of the buyers get a ticket.
SELL_OUT_TICKETS_A_SECOND = 1500
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
    connections: int
    seconds: float


@dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    clients: Callable[[Run], list[Client]]
    connections: int = 64
    server: str = "fast path"
    # How many rows ceiling A works on.
    ceiling: int = 1


def booking(event: int, token: str, *, tickets: int = 1, headers: dict[str, str] | None = None) -> bytes:
    body = json.dumps({"eventId": event, "ticketsReserved": tickets, **NAMES}).encode()
    headers = {**USUAL, "Authorization": f"Bearer {token}", **(headers or {})}
    return request("POST", "/api/v1/booking", host=HOST, headers=headers, body=body)


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
    return buyers(run, itertools.cycle([booking(event, token) for event, token in pairs]))


def hot_event(run: Run) -> list[Client]:
    return buyers_of(run, run.world.open_event())


def many_events(run: Run) -> list[Client]:
    return buyers_of(run, *(run.world.open_event() for _ in range(EVENTS)))


def sell_out(run: Run) -> list[Client]:
    return buyers_of(run, run.world.open_event(max(int(SELL_OUT_TICKETS_A_SECOND * run.seconds), 1)))


def with_keys(run: Run) -> list[Client]:
    event, headers = run.world.open_event(), {"Idempotency-Key": KEY_MARK}
    marked = [booking(event, token, headers=headers) for token in run.world.tokens]
    first, requests = secrets.token_hex(8), enumerate(itertools.cycle(marked))
    # Each mark becomes a key that nobody has used.
    return buyers(run, (each.replace(KEY_MARK.encode(), f"{first}-{n:08}".encode()) for n, each in requests))


def with_api_keys(run: Run) -> list[Client]:
    event = run.world.open_event()
    keys = [{"Authorization": f"Api-Key {key}"} for key in run.world.api_keys]
    return buyers(run, itertools.cycle([booking(event, "", headers=headers) for headers in keys]))


def mix(run: Run) -> list[Client]:
    event, tokens = run.world.open_event(MIX_TICKETS), run.world.tokens
    return [
        partial(book_and_cancel, run.answered, event, tokens[number :: run.connections], number)
        for number in range(run.connections)
    ]


async def book_and_cancel(answered: Answered, event: int, tokens: list[str], seed: int, ask: Ask) -> None:
    """Books one to four tickets, and cancels bookings of its own, three to two."""
    # Each round uses the same random numbers.
    dice, made = random.Random(seed), []  # noqa: S311
    requests = {token: [booking(event, token, tickets=n) for n in (1, 2, 3, 4)] for token in tokens}
    while True:
        if made and dice.random() < 0.4:
            number, token = made.pop(dice.randrange(len(made)))
            headers = {**USUAL, "Authorization": f"Bearer {token}"}
            answer = await ask(request("DELETE", f"/api/v1/booking/{number}", host=HOST, headers=headers))
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


def status_reads(run: Run) -> list[Client]:
    path = f"/api/v1/booking/status/{run.world.open_event()}"
    accounts = [{**USUAL, "Authorization": f"Bearer {token}"} for token in run.world.tokens]
    requests = itertools.cycle([request("GET", path, host=HOST, headers=headers) for headers in accounts])
    return [partial(poll, requests, run.answered)] * run.connections


async def poll(requests: Iterator[bytes], answered: Answered, ask: Ask) -> None:
    """Reads an event's status. Every second request sends the `ETag` that the client has."""
    condition = b""
    for number in itertools.count():
        answer = await ask(next(requests).removesuffix(b"\r\n") + (condition if number % 2 else b"") + b"\r\n")
        if answer is not None and answer.status == 200:
            condition = b"If-None-Match: %s\r\n" % (answer.header("ETag") or "").encode()
        answered.errors += answer is None or answer.status not in (200, 304)


SCENARIOS = [
    Scenario("hot-1", "hot event, 1 connection", hot_event, 1),
    Scenario("hot-64", "hot event, 64 connections", hot_event),
    Scenario("hot-256", "hot event, 256 connections", hot_event, 256),
    Scenario("keys", "hot event, 64, with idempotency keys", with_keys),
    Scenario("api-keys", "hot event, 64, with API keys", with_api_keys),
    Scenario("viewset-64", "viewset, 64 connections", hot_event, server="viewset"),
    Scenario("ungrouped-64", "viewset without batches, 64 connections", hot_event, server="ungrouped"),
    Scenario("events-64", "64 events, 64 connections", many_events, ceiling=EVENTS),
    Scenario("sell-out", "sell-out with a waitlist, 64", sell_out),
    Scenario("mix", "book and cancel 60/40, sold out, 64", mix),
    Scenario("status", "status reads, 64", status_reads),
]
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
