"""The buyers: when each comes, looks, books, tries again; and what each was told."""

import heapq
import json
import math
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from time import perf_counter

from bookings.rehearsal.desk import Desk
from bookings.rehearsal.scratch import Buyer
from ticks.load import Caller, Tally
from ticks.wire import header

# How steep the rush is, and in which part of the time half of the buyers have come.
RUSH = 5
HALF = math.log(2 / (1 + math.exp(-RUSH))) / RUSH
THINK_SECONDS = (0.2, 1.5)
# Who lost the connection tries again after a moment; who was told when (Retry-After), a little later than that.
PAUSE_SECONDS = (0.3, 1.0)
JITTER_SECONDS = 0.5


class Fate(Enum):
    """How it ended for a buyer."""

    NOT_BEGUN = "not begun"
    TRYING = "trying"
    SOLD = "completed"
    WAITLISTED = "waitlisted"
    REFUSED = "refused"


@dataclass(slots=True)
class Order:
    """What one buyer wants: to look, think, and book once."""

    number: int
    buyer: Buyer
    tickets: int
    # When the next request is due.
    due: float
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    has_looked: bool = False
    wanted_at: float | None = None
    fate: Fate = Fate.NOT_BEGUN
    booking_id: int | None = None
    # The last refusal: status and code; None: no answer.
    refusal: tuple[int, str] | None = None
    attempts: int = 0


class Crowd:
    """All the orders. A connection takes whichever is due first, so that few connections serve many buyers."""

    def __init__(self, buyers: list[Buyer], desk: Desk, *, seconds: float, tickets: tuple[int, int]):
        self.desk, self.seconds = desk, seconds
        self.orders = [
            Order(number, buyer, random.randint(*tickets), arrival(seconds))  # noqa: S311 (no secret)
            for number, buyer in enumerate(buyers, start=1)
        ]
        self.steps = [(order.due, order.number, order) for order in self.orders]
        heapq.heapify(self.steps)
        self.began: float | None = None
        self.looks, self.bookings = Tally(), Tally()
        # Until the answer that settled it, with all retries.
        self.waits = Tally()
        self.refusals: Counter[tuple[int, str]] = Counter()
        self.sayings: dict[tuple[int, str], str] = {}
        self.lost = 0
        self.by_second: Counter[int] = Counter()

    def now(self) -> float:
        """Seconds since the rush began."""
        if self.began is None:
            self.began = perf_counter()
        return perf_counter() - self.began

    def take(self) -> Order | None:
        return heapq.heappop(self.steps)[2] if self.steps else None

    def request_of(self, order: Order) -> bytes:
        order.fate = Fate.TRYING
        if not order.has_looked:
            return self.desk.look(order.buyer)
        order.attempts += 1
        order.wanted_at = order.due if order.wanted_at is None else order.wanted_at
        return self.desk.book(order.buyer, tickets=order.tickets, key=order.key, number=order.number)

    def heard(self, order: Order, status: int, body: bytes, head: bytes) -> None:
        # From when the buyer wanted it: where all connections are busy, waiting for one counts as well.
        now = self.now()
        tally = self.bookings if order.has_looked else self.looks
        tally.statuses[status] += 1
        tally.latencies.append(now - order.due)
        self.by_second[int(now)] += 1
        if status not in (200, 201):
            order.refusal = self.note_refusal(status, body)
        wait = seconds_of(header(head, "Retry-After"))
        if not order.has_looked:
            order.has_looked = True
            self.again(order, max(drawn(THINK_SECONDS), wait or 0))
        elif status == 201:
            booking = json.loads(body)["data"]
            order.booking_id, order.fate = booking["id"], Fate(booking["bookingStatus"])
            self.settle(order)
        elif wait is not None:
            self.again(order, wait + drawn((0, JITTER_SECONDS)))
        else:
            order.fate = Fate.REFUSED
            self.settle(order)

    def unheard(self, order: Order) -> None:
        self.lost += 1
        order.refusal = None
        self.again(order, drawn(PAUSE_SECONDS))

    def settle(self, order: Order) -> None:
        self.waits.latencies.append(self.now() - order.wanted_at)

    def again(self, order: Order, seconds: float) -> None:
        order.due = self.now() + seconds
        heapq.heappush(self.steps, (order.due, order.number, order))

    def note_refusal(self, status: int, body: bytes) -> tuple[int, str]:
        try:
            said = json.loads(body)
            refusal = status, str(said["code"])
            self.sayings.setdefault(refusal, str(said["message"]))
        except (ValueError, KeyError, TypeError):
            refusal = status, ""
        self.refusals[refusal] += 1
        return refusal


class Connection(Caller):
    """One of the connections that the buyers share. What is not due yet is held, and its time waited for."""

    def __init__(self, crowd: Crowd):
        self.crowd = crowd
        self.order: Order | None = None

    def next(self) -> bytes | float | None:
        if self.order is None:
            self.order = self.crowd.take()
        if self.order is None:
            return None
        wait = self.order.due - self.crowd.now()
        return wait if wait > 0 else self.crowd.request_of(self.order)

    def took(self, status: int, body: bytes, seconds: float, head: bytes) -> None:
        order, self.order = self.order, None
        self.crowd.heard(order, status, body, head)

    def lost(self) -> None:
        order, self.order = self.order, None
        self.crowd.unheard(order)


def arrival(seconds: float) -> float:
    """When somebody comes: most of them at once, the last just before the end."""
    return -math.log(1 - random.random() * (1 - math.exp(-RUSH))) / RUSH * seconds  # noqa: S311


def drawn(bounds: tuple[float, float]) -> float:
    return random.uniform(*bounds)  # noqa: S311


def seconds_of(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() else None
