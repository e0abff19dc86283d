"""The buyers: when each comes, looks, books and tries again, their answers, and the server that they load."""

import asyncio
import json
import math
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import CommandError
from django.http.request import validate_host

from events.models import Event
from ticks.load import Answer, Ask, Tally, drive, request

ANSWER_SECONDS = 10
# When the time is over, buyers who have come may finish: that is as long as a throttled one is asked to wait.
DRAIN_SECONDS = 60
REPORT_SECONDS = 5
# How steep the rush is, and in which part of the time half of the buyers have come.
RUSH = 5
HALF = math.log(2 / (1 + math.exp(-RUSH))) / RUSH
THINK_SECONDS = (0.2, 1.5)
# A buyer tries again after a moment where the connection was lost, and a little later than `Retry-After` asks for.
LOST_SECONDS = (0.3, 1.0)
JITTER_SECONDS = (0.0, 0.5)
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 (what HOST may be)


class Server:
    """The server at a URL, by default at this deployment's HOST and PORT. Raises `CommandError` for another URL."""

    def __init__(self, url: str | None):
        here = EVERY_ADDRESS.get(settings.HOST, bracketed(settings.HOST))
        self.url = url or f"http://{here}:{settings.PORT}"
        try:
            parts = urlsplit(self.url)
            self.address = parts.hostname, parts.port or 80
            is_plain = self.url.rstrip("/") == f"http://{parts.netloc}" and parts.hostname and "@" not in parts.netloc
        except ValueError:
            is_plain = False
        if not is_plain:
            raise CommandError(
                f"--url is {url!r}; give plain http, a host and a port and no more, such as http://127.0.0.1:8000 "
                "(behind a proxy that ends TLS: the port that it passes requests on to)."
            )
        host = bracketed(parts.hostname)
        self.host = host if validate_host(host, settings.ALLOWED_HOSTS) else settings.ALLOWED_HOSTS[0].removeprefix(".")

    def request(self, method: str, path: str, *, token: str = "", key: str = "", fields: dict | None = None) -> bytes:
        # A proxy would add this header.
        headers = {"X-Forwarded-Proto": "https"} if settings.HTTPS else {}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"Idempotency-Key": key} if key else {}
        return request(method, path, host=self.host, headers=headers, body=fields and json.dumps(fields).encode())

    def get(self, path: str, *, token: str = "") -> Answer:
        answers = []

        async def client(ask: Ask) -> None:
            answers.append(await ask(self.request("GET", path, token=token)))

        drive(self.address, [client], seconds=ANSWER_SECONDS, answer_seconds=ANSWER_SECONDS)
        if not any(answers):
            raise CommandError(
                f"Nothing answers at {self.url}; start the server (manage.py serve), or say where it is with --url."
            )
        return answers[0]

    def refuse_unready(self) -> None:
        status = self.get("/readyz").status
        if status != 200:
            raise CommandError(f"{self.url}/readyz answers {status} instead of 200; see that Ticks is ready there.")

    def refuse_another_database(self, copy: Event, *, token: str) -> None:
        """The copy must be there, and a buyer known: in another database its id may be that of a real event."""
        answer = self.get(f"/api/v1/event/{copy.pk}", token=token)
        if answer.status != 200 or copy.description.encode() not in answer.body:
            raise CommandError(
                f"The server at {self.url} does not know the copy (it answers {answer.status}): it runs with another "
                "database, other secrets, or HTTPS=on without TRUSTED_PROXIES; nothing was booked."
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
    attempts: int = 0


class Crowd:
    def __init__(
        self, buyers: list[tuple[int, str]], server: Server, copy: Event, *, seconds: int, tickets: tuple[int, int]
    ):
        self.server, self.copy, self.seconds, self.tickets = server, copy, seconds, tickets
        self.orders = [Order(*buyer, random.randint(*tickets)) for buyer in buyers]  # noqa: S311 (no secret)
        # Latencies count from the moment the buyer wanted it: waiting for a free connection is part of them. `waits`
        # last until the answer that settled the order, all retries included.
        self.looks, self.bookings, self.waits, self.total = Tally(), Tally(), Tally(), Tally()
        # How often each status and code came, and its message.
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.messages: dict[tuple[int, str], str] = {}
        self.by_second: Counter[int] = Counter()

    def come(self, *, connections: int, say: Callable[[str], None]) -> None:
        """Sends all buyers to the server, over connections that they share."""
        self.began = perf_counter()
        self.total = drive(
            self.server.address,
            [*(partial(self.visit, order) for order in self.orders), partial(self.report_progress, say)],
            seconds=self.seconds + DRAIN_SECONDS,
            connections=connections,
            answer_seconds=ANSWER_SECONDS,
        )

    async def visit(self, order: Order, ask: Ask) -> None:
        await asyncio.sleep(arrival(self.seconds))
        look = self.server.request("GET", f"/api/v1/booking/status/{self.copy.pk}", token=order.token)
        wait = retry_after(await self.send(look, ask, self.looks)) or 0
        await asyncio.sleep(max(drawn(THINK_SECONDS), wait))
        fields = {
            "eventId": self.copy.pk,
            "firstName": "Rehearsal",
            "lastName": f"Buyer {order.user_id}",
            # No mail ever reaches this domain.
            "email": f"buyer{order.user_id}@rehearsal.invalid",
            "ticketsReserved": order.tickets,
        }
        book = self.server.request("POST", "/api/v1/booking", token=order.token, key=str(uuid.uuid4()), fields=fields)
        began = perf_counter()
        while (wait := self.settle(order, await self.send(book, ask, self.bookings))) is not None:
            await asyncio.sleep(wait)
        self.waits.latencies.append(perf_counter() - began)

    def settle(self, order: Order, answer: Answer | None) -> float | None:
        """The seconds until the buyer tries again; None when the answer settles the order."""
        order.attempts += 1
        wait = retry_after(answer)
        if answer is None:
            return drawn(LOST_SECONDS)
        if answer.status == 201:
            booking = answer.json["data"]
            order.booking_id, order.outcome = booking["id"], booking["bookingStatus"]
        elif wait is not None:
            return wait + drawn(JITTER_SECONDS)
        else:
            order.outcome = "refused"
        return None

    async def send(self, request: bytes, ask: Ask, tally: Tally) -> Answer | None:
        began = perf_counter()
        answer = await ask(request)
        if answer is None:
            return None
        now = perf_counter()
        tally.statuses[answer.status] += 1
        tally.latencies.append(now - began)
        self.by_second[int(now - self.began)] += 1
        if answer.status not in (200, 201):
            refusal = answer.status, str(answer.json.get("code", ""))
            self.refusals[refusal] += 1
            self.messages.setdefault(
                refusal, str(answer.json.get("message", "no answer of Ticks; of a proxy, perhaps"))
            )
        return answer

    async def report_progress(self, say: Callable[[str], None], _ask: Ask) -> None:
        due = REPORT_SECONDS
        while any(order.outcome == "trying" for order in self.orders):
            await asyncio.sleep(0.1)
            if perf_counter() - self.began >= due:
                booked = self.bookings.statuses[201]
                say(f"  {due} s: {self.by_second.total():,} answers, {booked:,} bookings")
                due += REPORT_SECONDS


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def arrival(seconds: float) -> float:
    """When a buyer comes: most of them at once, the last just before the end."""
    return -math.log(1 - random.random() * (1 - math.exp(-RUSH))) / RUSH * seconds  # noqa: S311


def drawn(bounds: tuple[float, float]) -> float:
    return random.uniform(*bounds)  # noqa: S311


def retry_after(answer: Answer | None) -> int | None:
    text = answer.header("Retry-After") if answer else None
    return int(text) if text and text.isascii() and text.isdigit() else None
