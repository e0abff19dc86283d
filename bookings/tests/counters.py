"""Orders of nothing, and a desk that serves them when the test lets it."""

import threading
import time
from concurrent.futures import Future

from bookings.services.counter import Counter, Group, Order

# Of what takes milliseconds, on a machine that does much else.
PATIENCE_SECONDS = 10


class Named(Order):
    """`told` is what became of one that no thread waits for."""

    def __init__(self, event_id=1, name="", *, touches=(), brushes=()):
        super().__init__(event_id)
        self.name, self.touches, self.brushes = name, touches, brushes
        self.told = []

    def finish(self):
        self.told.append(self.result)

    def __repr__(self):
        return f"{self.event_id}{self.name}"


class Desk:
    """Serves groups by name. One of an event that is shut is begun, and waits until it is opened."""

    def __init__(self, *, limit=100, length=100, seconds=5):
        self.groups = []
        self.doors = {}
        self.has_begun = threading.Semaphore(0)
        self.before = lambda group: None
        self.counter = Counter(self.serve, limit=limit, length=length, seconds=seconds)

    def serve(self, group: Group):
        self.groups.append(names(group.orders))
        self.has_begun.release()
        for event_id in group.event_ids():
            if event_id in self.doors:
                assert self.doors[event_id].wait(PATIENCE_SECONDS)
        self.before(group)
        for order in group.orders:
            order.result = f"served {order}"

    def ask(self, order):
        """In a thread of its own; it has arrived when this returns."""
        said = Future()

        def run():
            try:
                said.set_result(self.counter.ask(order))
            except BaseException as error:
                said.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        until(lambda: order.taken_at is not None or order.is_done or order in self.line(order.event_id))
        return said

    def ask_while_one_is_served(self, *orders):
        """Event 1 is shut, and stays so."""
        first = self.keep_busy()
        return [first, *(self.ask(order) for order in orders)]

    def keep_busy(self, event_id=1):
        self.doors[event_id] = threading.Event()
        said = self.ask(Named(event_id, "first"))
        assert self.has_begun.acquire(timeout=PATIENCE_SECONDS)
        return said

    def open(self):
        for door in self.doors.values():
            door.set()

    def line(self, event_id):
        with self.counter.mutex:
            return list(self.counter.lines.get(event_id, ()))

    def is_empty(self):
        counter = self.counter
        with counter.mutex:
            return not (counter.waiting or counter.lines or counter.ready or counter.served or counter.leaders)


def names(orders):
    return [repr(order) for order in orders]


def until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def told(futures):
    """What each was told, or the class of its error."""
    errors = [future.exception(PATIENCE_SECONDS) for future in futures]
    return [type(error) if error else said.result() for error, said in zip(errors, futures, strict=True)]
