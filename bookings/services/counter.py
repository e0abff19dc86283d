"""Where a process's orders queue up, and one of those who wait serves a whole group of them.

Knows threads, and nothing of tickets or databases: what serves a group, it is told.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Any

from ticks.transactions import Busy, OutcomeUnknown

log = logging.getLogger("ticks.counter")
# A leader that takes longer, because somebody holds an event's lock, keeps only its own events waiting:
# the others get a further leader, each on a connection of its own.
SLOW_SECONDS = 0.1
LEADERS = 4
# A group that was begun ends sooner, whatever the database does (ticks.transactions).
SERVING_SECONDS = 15


class Contended(Exception):
    """A group of several events met a lock that somebody holds. Nothing was done; each event by itself, then."""


class Order:
    """What somebody wants of one event's tickets.

    `result` is what to tell: a value, or an exception. It starts as `Busy`, nothing changed: whatever becomes
    of who serves it, nobody is told of what was not committed.
    """

    # Two orders of a group may not touch the same thing, nor may one touch what another brushes: the second
    # would have to see what the first did.
    touches: tuple[Hashable, ...] = ()
    brushes: tuple[Hashable, ...] = ()

    def __init__(self, event_id: int):
        self.event_id = event_id
        self.result: Any = Busy()
        self.arrived = time.monotonic()
        self.waiter: Waiter | None = None
        self.taken_at: float | None = None
        self.is_done = False

    def finish(self) -> None:
        """Called once the result stands, by the thread that served it, where no thread waits for it."""


class Group:
    """Orders that are served together. Once their events are locked, `more` are those that came meanwhile."""

    def __init__(self, orders: Sequence[Order] = (), counter: "Counter | None" = None):
        self.orders = list(orders)
        self.counter = counter
        self.touched: set[Hashable] = set()
        self.brushed: set[Hashable] = set()

    def take(self, line: deque[Order], *, limit: int, now: float) -> int:
        """Takes from the line's head what may be in one group; how many that were."""
        before = len(self.orders)
        while line and len(self.orders) < limit and self.may_take(line[0]):
            order = line.popleft()
            self.touched.update(order.touches)
            self.brushed.update(order.brushes)
            order.taken_at = now
            self.orders.append(order)
        return len(self.orders) - before

    def may_take(self, order: Order) -> bool:
        return (
            self.touched.isdisjoint(order.touches)
            and self.brushed.isdisjoint(order.touches)
            and self.touched.isdisjoint(order.brushes)
        )

    def more(self) -> list[Order]:
        return self.counter.take_more(self) if self.counter else []

    def event_ids(self) -> list[int]:
        return sorted({order.event_id for order in self.orders})


class Waiter:
    """A thread that waits for its order, and may be called to lead."""

    def __init__(self):
        self.is_to_lead = False
        self._called = threading.Lock()
        self._called.acquire()

    def call(self) -> None:
        # Who is called to lead may be told of its order before it has woken: it looks for both.
        with suppress(RuntimeError):
            self._called.release()

    def wait(self, seconds: float) -> bool:
        return self._called.acquire(timeout=max(0, seconds))


class Counter:
    """Serves orders in groups: an event's in the order of arrival, one group at a time.

    `serve(group)` sets each order's result and returns when what they say is committed; it may raise
    `Contended` having done nothing. At most `limit` orders make a group; at most `length` wait, half of them for
    one event, none longer than `seconds`: beyond that they get `Busy`.
    """

    def __init__(self, serve: Callable[[Group], None], *, limit: int, length: int, seconds: float):
        self.serve, self.limit, self.length, self.seconds = serve, limit, length, seconds
        # Finds a thread that calls `lead`, for orders that no thread waits for.
        self.summon: Callable[[], None] = lambda: None
        self.summoned_at = float("-inf")
        self.mutex = threading.Lock()
        self.waiting = 0
        self.lines: dict[int, deque[Order]] = {}
        # Events with a line that nobody is serving, longest first.
        self.ready: deque[int] = deque()
        self.served: set[int] = set()
        self.alone: set[int] = set()
        # Since when each is at its present group.
        self.leaders: dict[object, float] = {}

    def ask(self, order: Order) -> Any:
        """The order's result, waited for. The calling thread may serve others' orders with its own."""
        waiter = order.waiter = Waiter()
        with self.mutex:
            self._admit(order)
            if self._may_lead():
                self._appoint(waiter)
        try:
            while not order.is_done:
                if waiter.is_to_lead or self._wait(order, waiter):
                    waiter.is_to_lead = False
                    self._lead(waiter, own=order)
        finally:
            with self.mutex:
                self._withdraw(order)
                has_not_led = waiter in self.leaders
            if has_not_led:
                self._step_down(waiter)
        return order.result

    def put(self, order: Order) -> None:
        """Leaves an order, whose `finish` is called in time. Raises `Busy` where too many wait."""
        with self.mutex:
            self._admit(order)
            must_summon = self._must_summon()
        if must_summon:
            self.summon()

    def lead(self) -> None:
        """Serves while somebody waits, if nobody else does."""
        me = object()
        with self.mutex:
            self.summoned_at = float("-inf")
            if not self._may_lead():
                return
            self.leaders[me] = time.monotonic()
        self._lead(me)

    def look(self) -> None:
        """For orders without a thread, now and then: ends those that have waited too long, and finds a leader."""
        late: list[Order] = []
        now = time.monotonic()
        with self.mutex:
            for event_id, line in list(self.lines.items()):
                while line and line[0].waiter is None and now - line[0].arrived > self.seconds:
                    late.append(line.popleft())
                    self.waiting -= 1
                self._tidy(event_id)
            must_summon = self._must_summon()
        for order in late:
            order.finish()
        if must_summon:
            self.summon()

    def _admit(self, order: Order) -> None:
        line = self.lines.get(order.event_id)
        # One event, whose lock somebody may hold, must leave room for the others.
        if self.waiting >= self.length or (line and len(line) >= max(1, self.length // 2)):
            raise Busy
        self.waiting += 1
        if line is None:
            line = self.lines[order.event_id] = deque()
            if order.event_id not in self.served:
                self.ready.append(order.event_id)
        line.append(order)

    def _may_lead(self) -> bool:
        if not self.ready or len(self.leaders) >= LEADERS:
            return False
        slow_since = time.monotonic() - SLOW_SECONDS
        return all(began < slow_since for began in self.leaders.values())

    def _appoint(self, waiter: Waiter) -> None:
        waiter.is_to_lead = True
        self.leaders[waiter] = time.monotonic()

    def _must_summon(self) -> bool:
        now = time.monotonic()
        if not self._may_lead() or now - self.summoned_at < SLOW_SECONDS:
            return False
        self.summoned_at = now
        return True

    def _wait(self, order: Order, waiter: Waiter) -> bool:
        """Whether the waiter is to lead; else the order is done. Raises `Busy` and `OutcomeUnknown`."""
        while not waiter.wait(SLOW_SECONDS):
            now = time.monotonic()
            with self.mutex:
                if waiter.is_to_lead:
                    # Its call is on the way, if it was not lost with the caller.
                    return True
                if order.taken_at is not None:
                    if now - order.taken_at > SERVING_SECONDS:
                        raise OutcomeUnknown
                    continue
                self._refuse_if_late(order)
                if order.event_id in self.ready and self._may_lead():
                    self._appoint(waiter)
                    return True
        return waiter.is_to_lead

    def _refuse_if_late(self, order: Order) -> None:
        """Raises `Busy`. In one go: who is told that nothing was done is neither served nor called to lead later."""
        if order.taken_at is None and time.monotonic() - order.arrived > self.seconds:
            self._withdraw(order)
            raise Busy

    def _withdraw(self, order: Order) -> None:
        # As nobody waits for it any more.
        order.is_done = True
        if order.taken_at is None and order in self.lines.get(order.event_id, ()):
            self.lines[order.event_id].remove(order)
            self.waiting -= 1
            self._tidy(order.event_id)

    def _lead(self, leader: object, own: Order | None = None) -> None:
        try:
            while own is None or own.taken_at is None:
                with self.mutex:
                    group = self._take()
                    self.leaders[leader] = time.monotonic()
                if not group.orders:
                    break
                self._serve(group)
                if own is not None:
                    # It may have led others, of events that somebody holds.
                    with self.mutex:
                        self._refuse_if_late(own)
        finally:
            self._step_down(leader)

    def _step_down(self, leader: object) -> None:
        with self.mutex:
            self.leaders.pop(leader, None)
            successor = self._successor()
            must_summon = successor is None and self._must_summon()
        if successor:
            successor.call()
        elif must_summon:
            self.summon()

    def _successor(self) -> Waiter | None:
        """Somebody who waits at the head of a line, called to lead in the place of one who is done."""
        if not self._may_lead():
            return None
        for event_id in self.ready:
            waiter = self.lines[event_id][0].waiter
            if waiter and waiter not in self.leaders:
                self._appoint(waiter)
                return waiter
        return None

    def _take(self) -> Group:
        group = Group(counter=self)
        now = time.monotonic()
        for _ in range(len(self.ready)):
            event_id = self.ready[0]
            if len(group.orders) >= self.limit or (group.orders and event_id in self.alone):
                break
            self.ready.popleft()
            if not group.take(self.lines[event_id], limit=self.limit, now=now):
                # Its first order touches what the group does.
                self.ready.append(event_id)
                continue
            self.served.add(event_id)
            if event_id in self.alone:
                break
        self.waiting -= len(group.orders)
        return group

    def take_more(self, group: Group) -> list[Order]:
        """For a group whose events are locked: who came while another process had the lock need not wait again."""
        before = len(group.orders)
        with self.mutex:
            for event_id in group.event_ids():
                # An empty line may have been tidied away.
                group.take(self.lines.get(event_id, deque()), limit=self.limit, now=time.monotonic())
            self.waiting -= len(group.orders) - before
        return group.orders[before:]

    def _serve(self, group: Group) -> None:
        began = time.monotonic()
        try:
            self.serve(group)
        except Contended:
            with self.mutex:
                self._put_back(group)
            return
        except BaseException:
            self._done(group)
            raise
        self._done(group, was_quick=time.monotonic() - began < SLOW_SECONDS)

    def _put_back(self, group: Group) -> None:
        # But those that nobody waits for any more.
        orders = [order for order in group.orders if not order.is_done]
        for order in reversed(orders):
            order.taken_at = None
            self.lines.setdefault(order.event_id, deque()).appendleft(order)
        self.waiting += len(orders)
        self.alone.update(group.event_ids())
        self._release(group)

    def _done(self, group: Group, *, was_quick: bool = False) -> None:
        with self.mutex:
            self._release(group)
            if was_quick:
                self.alone.difference_update(group.event_ids())
        for order in group.orders:
            order.is_done = True
            if order.waiter:
                order.waiter.call()
            else:
                try:
                    order.finish()
                except Exception:
                    # The others of the group are to be told all the same.
                    log.exception("Somebody could not be told of an order.")

    def _release(self, group: Group) -> None:
        for event_id in group.event_ids():
            self.served.discard(event_id)
            if self.lines.get(event_id):
                self.ready.append(event_id)
            self._tidy(event_id)

    def _tidy(self, event_id: int) -> None:
        """Forgets a line in which nobody is left."""
        if not self.lines.get(event_id, True):
            del self.lines[event_id]
            if event_id in self.ready:
                self.ready.remove(event_id)
