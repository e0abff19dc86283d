"""A worker hands the upkeep to a thread, again and again, and never twice at the same time."""

import asyncio
import threading

import pytest
from django.db import OperationalError

from ticks.server import stopping, worker
from ticks.server.worker import Worker

pytestmark = pytest.mark.django_db(transaction=True)


class Upkeep:
    """Counts its runs. A run lasts until the test lets it end."""

    def __init__(self):
        self.runs, self.may_end = 0, threading.Event()

    def __call__(self):
        self.runs += 1
        self.may_end.wait(30)


@pytest.fixture
def upkeep():
    return Upkeep()


@pytest.fixture
def minute(monkeypatch):
    """A minute is a hundredth of a second here."""
    monkeypatch.setattr(worker, "UPKEEP_SECONDS", 0.01)


def run_for(seconds, upkeep, then=lambda: None):
    """Keeps up for this long, and once more as long after `then`. Returns how often it had run each time."""

    async def wait():
        made = Worker(None, None, upkeep)
        made.loop = asyncio.get_running_loop()
        task = made.loop.create_task(made.keep_up_each_minute())
        await asyncio.sleep(seconds)
        first = upkeep.runs
        then()
        await asyncio.sleep(seconds)
        second = upkeep.runs
        task.cancel()
        upkeep.may_end.set()
        made.threads.shutdown()
        return first, second

    return asyncio.run(wait())


def test_workers_begin_at_different_times_within_a_minute(upkeep, monkeypatch):
    drawn = []
    monkeypatch.setattr(worker.random, "uniform", lambda *limits: drawn.append(limits) or 30)

    assert run_for(0.1, upkeep) == (0, 0)
    assert drawn == [(0, 60)]


def test_upkeep_is_run_every_minute(upkeep, minute):
    upkeep.may_end.set()

    first, second = run_for(0.5, upkeep)

    assert 1 < first < second <= 100


def test_upkeep_that_takes_longer_is_not_run_twice_at_once(upkeep, minute):
    first, second = run_for(0.3, upkeep, then=upkeep.may_end.set)

    assert first == 1
    assert second > 1


def test_upkeep_goes_on_after_a_connection_that_cannot_be_closed(upkeep, minute, monkeypatch):
    def fail():
        raise OperationalError(2006, "gone")

    monkeypatch.setattr(worker, "close_old_connections", fail)
    upkeep.may_end.set()

    first, _ = run_for(0.3, upkeep)

    assert first > 1


def test_upkeep_does_not_begin_while_the_server_stops(upkeep, minute):
    stopping.stage[0] = stopping.DRAINING
    try:
        runs = run_for(0.2, upkeep)
    finally:
        stopping.stage[0] = stopping.SERVING

    assert runs == (0, 0)
