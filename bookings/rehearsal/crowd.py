"""The buyers: when each comes, looks, books and tries again, their answers, and the server that they load."""

import asyncio
import json
import math
import random
import re
import uuid
from collections import Counter
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from django.conf import settings
from django.core.management import CommandError
from django.http.request import validate_host

from events.models import Event
from ticks.load import Ask, ServerAnswer, Tally, drive, request

CONNECTIONS = 64
# When the time is over, buyers who have come may finish: that is as long as a throttled one is asked to wait.
DRAIN_SECONDS = 60
# How steep the rush is.
RUSH = 5
THINK_SECONDS = (0.2, 1.5)
# A buyer tries again this long after the connection was lost, or when `Retry-After` allows it, and a little later.
LOST_SECONDS = 0.5
JITTER_SECONDS = 0.5
URL = re.compile(r"http://(?:\[([\da-fA-F:.]+)\]|([\w.-]+))(?::(\d{1,5}))?/?", re.ASCII)


class Server:
    """The server at a URL, by default at this deployment's HOST and PORT. Raises `CommandError` for another URL."""

    def __init__(self, url: str | None):
        self.url = url or f"http://{bracketed(settings.HOST)}:{settings.PORT}"
        match = URL.fullmatch(self.url)
        if match is None:
            raise CommandError(
                f"--url is {url!r}; give plain http, a host and a port and no more, such as http://127.0.0.1:8000 "
                "(behind a proxy that ends TLS: the port that it passes requests on to)."
            )
        self.address = match[1] or match[2], int(match[3] or 80)
        host = bracketed(self.address[0])
        self.host = host if validate_host(host, settings.ALLOWED_HOSTS) else settings.ALLOWED_HOSTS[0].removeprefix(".")

    def request(self, method: str, path: str, *, token: str = "", key: str = "", fields: dict | None = None) -> bytes:
        # A proxy would add this header.
        headers = {"X-Forwarded-Proto": "https"} if settings.HTTPS else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key else {}
        return request(method, path, host=self.host, headers=headers, body=fields and json.dumps(fields).encode())

    def refuse_another_database(self, copy: Event, *, token: str) -> None:
        """The copy must be there, and a buyer known: in another database its id may be that of a real event."""
        answers = []

        async def client(ask: Ask) -> None:
            answers.append(await ask(self.request("GET", f"/api/v1/event/{copy.pk}", token=token)))

        drive(self.address, [client], seconds=10)
        if not any(answers):
            raise CommandError(
                f"Nothing answers at {self.url}; start the server (manage.py serve), or say where it is with --url."
            )
        [answer] = answers
        if answer.status != 200 or copy.description.encode() not in answer.body:
            raise CommandError(
                f"The server at {self.url} does not know the copy (it answers {answer.status}): it is not ready, or "
                "runs with another database, other secrets, or HTTPS=on without TRUSTED_PROXIES; nothing was booked."
            )


@dataclass(slots=True)
class Order:
    """One buyer looks at the event, thinks, and books once."""

    user_id: int
    token: str
    tickets: int
    # The value is a booking's status, "refused", or "trying".
    outcome: str = "trying"
    booking_id: int | None = None

    def settle(self, answer: ServerAnswer | None) -> float | None:
        """The seconds until the buyer tries again; None when the answer settles the order."""
        if answer is not None and answer.status == 201:
            self.booking_id, self.outcome = answer.json["data"]["id"], answer.json["data"]["bookingStatus"]
            return None
        wait = LOST_SECONDS if answer is None else retry_after(answer)
        if wait is None:
            self.outcome = "refused"
            return None
        return wait + random.random() * JITTER_SECONDS  # noqa: S311


class Crowd:
    def __init__(
        self, buyers: list[tuple[int, str]], server: Server, copy: Event, *, seconds: int, tickets: tuple[int, int]
    ):
        self.server, self.copy, self.seconds, self.tickets = server, copy, seconds, tickets
        self.orders = [Order(*buyer, random.randint(*tickets)) for buyer in buyers]  # noqa: S311 (no secret)
        # Latencies count from the moment the buyer wanted it: waiting for a free connection is part of them.
        self.looks, self.bookings, self.total = Tally(), Tally(), Tally()
        # How often each status and code came, and its message.
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.messages: dict[tuple[int, str], str] = {}

    def come(self) -> None:
        """Sends all buyers to the server, over connections that they share."""
        clients = [partial(self.visit, order) for order in self.orders]
        connections = min(CONNECTIONS, len(clients))
        seconds = self.seconds + DRAIN_SECONDS
        self.total = drive(self.server.address, clients, seconds=seconds, connections=connections)

    async def visit(self, order: Order, ask: Ask) -> None:
        await asyncio.sleep(arrival(self.seconds))
        look = self.server.request("GET", f"/api/v1/booking/status/{self.copy.pk}", token=order.token)
        wait = retry_after(await self.send(look, ask, self.looks)) or 0
        await asyncio.sleep(max(random.uniform(*THINK_SECONDS), wait))  # noqa: S311
        fields = {
            "eventId": self.copy.pk,
            "firstName": "Rehearsal",
            "lastName": f"Buyer {order.user_id}",
            # No mail ever reaches this domain.
            "email": f"buyer{order.user_id}@rehearsal.invalid",
            "ticketsReserved": order.tickets,
        }
        book = self.server.request("POST", "/api/v1/booking", token=order.token, key=str(uuid.uuid4()), fields=fields)
        while (wait := order.settle(await self.send(book, ask, self.bookings))) is not None:
            await asyncio.sleep(wait)

    async def send(self, request: bytes, ask: Ask, tally: Tally) -> ServerAnswer | None:
        began = perf_counter()
        answer = await ask(request)
        if answer is None:
            return None
        tally.latencies.append(perf_counter() - began)
        if answer.status not in (200, 201):
            refusal = answer.status, str(answer.json.get("code", ""))
            self.refusals[refusal] += 1
            self.messages.setdefault(refusal, str(answer.json.get("message", "this is no answer of Ticks")))
        return answer


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def arrival(seconds: float) -> float:
    """When a buyer comes: most of them at once, the last just before the end."""
    return -math.log(1 - random.random() * (1 - math.exp(-RUSH))) / RUSH * seconds  # noqa: S311


def retry_after(answer: ServerAnswer | None) -> int | None:
    text = answer.header("Retry-After") if answer else None
    return int(text) if text and text.isascii() and text.isdigit() else None
