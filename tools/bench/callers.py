"""Who asks: buyers, buyers who cancel, a crowd that polls, people who log in. They share prebuilt requests."""

import itertools
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ticks.load import Caller
from ticks.wire import header, request

NAMES = {"firstName": "Ada", "lastName": "Lovelace", "email": "ada@example.org"}
# Clients send some headers, and each takes time to read.
USUAL = {"Accept": "*/*", "User-Agent": "ticks-bench/1"}
BOOKING_ID = re.compile(rb'"id":\s*(\d+)')
WAITLISTED = re.compile(rb'"bookingStatus":\s*"waitlisted"')
CREATED, DONE, NOT_MODIFIED = 201, 200, 304


@dataclass
class Told:
    """What the server has said that it did."""

    booked: int = 0
    tickets: int = 0
    waitlisted: int = 0
    cancelled: int = 0
    errors: int = 0


def bearing(token: str) -> dict[str, str]:
    return {**USUAL, "Authorization": f"Bearer {token}"}


def booking(event: int, token: str, *, host: str, tickets: int = 1, headers: dict[str, str] | None = None) -> bytes:
    body = json.dumps({"eventId": event, "ticketsReserved": tickets, **NAMES}).encode()
    return request("POST", "/api/v1/booking", host=host, headers={**bearing(token), **(headers or {})}, body=body)


class Buyer(Caller):
    """Books one ticket after the other, each for the next account."""

    def __init__(self, requests: Iterator[bytes], told: Told):
        self.requests, self.told = requests, told

    def next(self):
        return next(self.requests, None)

    def took(self, status, body, seconds, head):
        if status != CREATED:
            self.told.errors += 1
            return
        self.told.booked += 1
        if WAITLISTED.search(body):
            self.told.waitlisted += 1
        else:
            self.told.tickets += 1

    def lost(self):
        self.told.errors += 1


KEY_MARK = b"{idempotency-key}"


def with_fresh_keys(requests: Iterator[bytes]) -> Iterator[bytes]:
    """Fills the mark that stands in each with a key that nobody has used."""
    run = random.SystemRandom().getrandbits(64)
    for number, each in enumerate(requests):
        yield each.replace(KEY_MARK, b"%016x-%08d" % (run, number))


class Mixer(Caller):
    """Books one to four tickets, and cancels bookings of its own, three to two."""

    def __init__(self, event: int, tokens: list[str], told: Told, *, host: str, seed: int):
        # The same dice in each round.
        self.dice = random.Random(seed)  # noqa: S311
        self.event, self.tokens, self.told, self.host = event, tokens, told, host
        self.mine: list[tuple[int, str]] = []
        self.prebuilt = [
            (token, [booking(event, token, host=host, tickets=tickets) for tickets in (1, 2, 3, 4)]) for token in tokens
        ]

    def next(self):
        self.cancels = bool(self.mine) and self.dice.random() < 0.4
        if self.cancels:
            number, token = self.mine.pop(self.dice.randrange(len(self.mine)))
            return request("DELETE", f"/api/v1/booking/{number}", host=self.host, headers=bearing(token))
        self.token, bodies = self.dice.choice(self.prebuilt)
        return self.dice.choice(bodies)

    def took(self, status, body, seconds, head):
        if self.cancels and status == DONE:
            self.told.cancelled += 1
        elif not self.cancels and status == CREATED:
            self.told.booked += 1
            self.mine.append((int(BOOKING_ID.search(body)[1]), self.token))
        else:
            self.told.errors += 1

    def lost(self):
        self.told.errors += 1


class Poller(Caller):
    """Reads an event's status; every other time with the `ETag` that it has."""

    def __init__(self, event: int, senders: Iterator[bytes], told: Told, *, host: str):
        asked = request("GET", f"/api/v1/booking/status/{event}", host=host, headers=USUAL)
        self.asked = asked.removesuffix(b"\r\n")
        self.senders, self.told = senders, told
        self.condition = b""
        self.is_conditional = False

    def next(self):
        self.is_conditional = not self.is_conditional
        condition = self.condition if self.is_conditional else b""
        return b"%s%s%s\r\n" % (self.asked, next(self.senders), condition)

    def took(self, status, body, seconds, head):
        if status == DONE:
            self.condition = b"If-None-Match: %s\r\n" % (header(head, "ETag") or "").encode()
        elif status != NOT_MODIFIED:
            self.told.errors += 1

    def lost(self):
        self.told.errors += 1


class Visitor(Caller):
    """Logs in, each time as the next account."""

    def __init__(self, requests: Iterator[bytes], told: Told):
        self.requests, self.told = requests, told

    def next(self):
        return next(self.requests)

    def took(self, status, body, seconds, head):
        self.told.errors += status != DONE

    def lost(self):
        self.told.errors += 1


def logins(names: list[str], password: str, *, host: str) -> Iterator[bytes]:
    """As a proxy reports them: each account from an address of its own."""
    logins = []
    for number, name in enumerate(names):
        body = json.dumps({"username": name, "password": password}).encode()
        headers = {**USUAL, "X-Forwarded-For": f"10.0.{number // 250}.{number % 250}"}
        logins.append(request("POST", "/api/v1/auth/login", host=host, headers=headers, body=body))
    return itertools.cycle(logins)


def users(tokens: list[str]) -> Iterator[bytes]:
    return itertools.cycle([b"Authorization: Bearer %s\r\n" % token.encode() for token in tokens])


def guests() -> Iterator[bytes]:
    """As a proxy reports them: each request from another of 60,000 addresses."""
    for number in itertools.cycle(range(60_000)):
        yield b"X-Forwarded-For: 10.0.%d.%d\r\n" % (number // 250, number % 250)
