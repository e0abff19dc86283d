"""The fast path in a real event loop: what waits together, and what is cancelled meanwhile."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import pytest

from accounts.exceptions import SessionEnded
from accounts.tokens import Caller
from bookings.api.fast_path import FastJob, FastPath, Poll
from bookings.services.batches import queue
from bookings.services.booking import BookingRequest
from bookings.tests.factories import EventFactory
from events.exceptions import EventNotFound

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_SECONDS = 10


class Threads(ThreadPoolExecutor):
    """One thread, which is busy until the test opens the gate. It counts what it is given to do."""

    def __init__(self):
        super().__init__(1)
        self.gate, self.given = threading.Event(), 0
        super().submit(self.gate.wait, PATIENCE_SECONDS)

    def submit(self, *call):
        self.given += 1
        return super().submit(*call)


@asynccontextmanager
async def fast_path():
    """A fast path, and a list of what the event loop complains of."""
    loop, complaints = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: complaints.append(context))
    path = FastPath(loop, Threads())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield path
    finally:
        path.threads.gate.set()
        path.threads.shutdown()
    assert complaints == []


async def begun(*waits) -> list[asyncio.Task]:
    """These coroutines as tasks, each of which waits by now."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_polls_that_come_meanwhile_are_read_together():
    events = [EventFactory(total_tickets=number) for number in (3, 4)]

    async def poll_all():
        async with fast_path() as path:
            first = await begun(path.poll(Poll(events[0].pk, None)))
            others = await begun(*(path.poll(Poll(event.pk, None)) for event in events * 10))
            path.threads.gate.set()
            return await asyncio.gather(*first, *others), path.threads.given

    counts, rounds = asyncio.run(poll_all())

    assert [tuple(count) for count in counts] == [(3, 0)] + [(3, 0), (4, 0)] * 10
    assert rounds == 2


def test_each_poll_of_a_round_gets_its_own_refusal():
    event = EventFactory(total_tickets=3)
    polls = [Poll(event.pk, None), Poll(event.pk + 1, None), Poll(event.pk, Caller(1, 1)), Poll(event.pk, None)]

    async def poll_all():
        async with fast_path() as path:
            waiting = await begun(*map(path.poll, polls))
            path.threads.gate.set()
            return await asyncio.gather(*waiting, return_exceptions=True)

    first, missing, ended, last = asyncio.run(poll_all())

    assert tuple(first) == tuple(last) == (3, 0)
    assert isinstance(missing, EventNotFound)
    assert isinstance(ended, SessionEnded)


@pytest.mark.parametrize("place", [0, 1])
def test_poll_that_is_cancelled_does_not_end_the_others(place):
    event = EventFactory(total_tickets=3)

    async def poll_all():
        async with fast_path() as path:
            waiting = await begun(*(path.poll(Poll(event.pk, None)) for _ in range(3)))
            waiting.pop(place).cancel()
            path.threads.gate.set()
            together = await asyncio.gather(*waiting)
            return [*together, await path.poll(Poll(event.pk, None))]

    assert [tuple(counts) for counts in asyncio.run(poll_all())] == [(3, 0)] * 3


def test_polls_without_a_thread_fail_and_do_not_wait():
    async def poll_all():
        async with fast_path() as path:
            path.threads.gate.set()
            path.threads.shutdown()
            return await asyncio.gather(*(path.poll(Poll(1, None)) for _ in range(3)), return_exceptions=True)

    assert [type(error) for error in asyncio.run(poll_all())] == [RuntimeError] * 3


def test_polls_without_their_database_fail_and_the_next_are_read(unreachable_database):
    unreachable_database()

    async def poll_all():
        async with fast_path() as path:
            path.threads.gate.set()
            return await asyncio.gather(*(path.poll(Poll(1, None)) for _ in range(3)), return_exceptions=True)

    errors = asyncio.run(poll_all())

    assert len(errors) == 3
    assert all(isinstance(error, Exception) for error in errors)


def test_booking_whose_request_was_cancelled_is_finished_quietly():
    job = FastJob(BookingRequest(1, 1, "Ada"))

    async def cancel():
        async with fast_path() as path:
            [waiting] = await begun(path.book(job))
            waiting.cancel()
            await asyncio.wait([waiting])
            await asyncio.to_thread(job.finish)
            await asyncio.sleep(0)

    asyncio.run(cancel())
    queue.cache_clear()
