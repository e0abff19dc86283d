"""A worker hands the upkeep to a thread, once a minute, and never twice at the same time."""

import threading
import time

import pytest

from ticks.server import stopping
from ticks.server.worker import UPKEEP_SECONDS, Worker

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
def worker(upkeep, settings):
    settings.THREADS = 1
    worker = Worker(None, None, upkeep)
    yield worker
    upkeep.may_end.set()
    worker.threads.shutdown()


def test_workers_begin_within_a_minute(upkeep):
    starts = {Worker(None, None, upkeep).upkeep_at - time.monotonic() for _ in range(20)}

    assert len(starts) == 20
    assert -1 <= min(starts) < max(starts) <= UPKEEP_SECONDS


def test_upkeep_is_run_once_a_minute(worker, upkeep):
    upkeep.may_end.set()
    first = worker.upkeep_at

    for moment in (first - 1, first, first + UPKEEP_SECONDS - 1, first + UPKEEP_SECONDS):
        worker.start_upkeep(moment)
        if worker.upkeep:
            worker.upkeep.result(30)

    assert upkeep.runs == 2


def test_upkeep_that_takes_longer_is_not_run_twice_at_once(worker, upkeep):
    first = worker.upkeep_at
    worker.start_upkeep(first)

    worker.start_upkeep(first + UPKEEP_SECONDS)

    upkeep.may_end.set()
    worker.upkeep.result(30)
    assert upkeep.runs == 1
    worker.start_upkeep(first + UPKEEP_SECONDS)
    worker.upkeep.result(30)
    assert upkeep.runs == 2


def test_upkeep_does_not_begin_while_the_server_stops(worker):
    stopping.stage[0] = stopping.DRAINING
    try:
        worker.start_upkeep(worker.upkeep_at)
    finally:
        stopping.stage[0] = stopping.SERVING

    assert worker.upkeep is None
