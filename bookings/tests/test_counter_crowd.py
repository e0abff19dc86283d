"""Many at the counter at once, whatever becomes of who serves them."""

import random
import sys
import threading
import time
from contextlib import suppress

import pytest

from bookings.services import counter as counters
from bookings.services.counter import Contended, Counter
from bookings.tests.counters import PATIENCE_SECONDS, Named, until
from ticks.transactions import Busy


class Watched(Counter):
    """Remembers who was admitted, in what order."""

    def __init__(self, *args, **bounds):
        super().__init__(*args, **bounds)
        self.admitted = []

    def _admit(self, order):
        super()._admit(order)
        self.admitted.append(order)


class Crowd:
    """Threads that ask and put, and a lane's; groups are quick, slow, contended, or die, as the dice say."""

    THREADS = 12
    ORDERS = 60

    def __init__(self, seed):
        self.dice = random.Random(seed)  # noqa: S311 (the same dice each run)
        self.counter = Watched(self.serve, limit=8, length=10, seconds=0.1)
        self.called = threading.Semaphore(0)
        self.counter.summon = self.called.release
        self.served, self.told, self.put = [], {}, []
        self.is_over = False

    def serve(self, group):
        events = group.event_ids()
        time.sleep(self.dice.choice([0, 0, 0.001, 0.01]))
        if self.dice.random() < 0.5:
            group.more()
        if len(events) > 1 and self.dice.random() < 0.3:
            raise Contended
        if self.dice.random() < 0.02:
            raise ValueError
        for order in group.orders:
            self.served.append(order)
            order.result = f"served {order}"

    def lead(self):
        while not self.is_over:
            if self.called.acquire(timeout=0.01):
                with suppress(ValueError):
                    self.counter.lead()

    def look(self):
        while not self.is_over:
            self.counter.look()
            time.sleep(0.002)

    def come(self, number):
        dice = random.Random(number)  # noqa: S311 (the same dice each run)
        for name in range(self.ORDERS):
            order = Named(dice.randrange(3), f".{number}.{name}", touches=("x", "y")[: dice.randrange(3)])
            try:
                if number % 2:
                    self.counter.put(order)
                    self.put.append(order)
                    time.sleep(0.002)
                else:
                    self.told[order] = self.counter.ask(order)
            except (Busy, ValueError) as error:
                self.told[order] = error

    def run(self):
        workers = [threading.Thread(target=work) for work in (self.lead, self.lead, self.look)]
        guests = [threading.Thread(target=self.come, args=[number]) for number in range(self.THREADS)]
        for thread in [*workers, *guests]:
            thread.start()
        for thread in guests:
            thread.join(PATIENCE_SECONDS)
        until(lambda: all(order.told for order in self.put))
        until(lambda: not self.counter.leaders)
        self.is_over = True
        for thread in workers:
            thread.join(PATIENCE_SECONDS)


@pytest.mark.parametrize("seed", range(3))
def test_crowd_is_told_once_each_what_became_of_it(seed, monkeypatch):
    monkeypatch.setattr(counters, "SLOW_SECONDS", 0.003)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    crowd = Crowd(seed)
    try:
        crowd.run()
    finally:
        sys.setswitchinterval(interval)

    assert {len(order.told) for order in crowd.put} == {1}
    told_by = {**crowd.told, **{order: order.told[0] for order in crowd.put}}
    assert len(told_by) == crowd.THREADS * crowd.ORDERS
    # Served is who was told so, and once; or died leading others.
    assert len(crowd.served) == len(set(crowd.served))
    was_told = {order for order, said in told_by.items() if said == f"served {order}"}
    assert {type(told_by[order]) for order in set(crowd.served) ^ was_told} <= {ValueError}
    assert was_told <= set(crowd.served)
    for event_id in range(3):
        admitted = [order for order in crowd.counter.admitted if order.event_id == event_id]
        served = [order for order in crowd.served if order.event_id == event_id]
        assert served == [order for order in admitted if order in set(served)]
    counter = crowd.counter
    assert (counter.waiting, counter.lines, list(counter.ready)) == (0, {}, [])
    assert (counter.served, counter.leaders) == (set(), {})
