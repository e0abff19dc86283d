"""What granian calls for each request, in a worker: takes it in whole, has the lane or Django answer it.

A thread of Django holds a database connection and, while it books, an event's lock. So none may wait for a
client: bodies are read in the worker's event loop, and answers leave whole. What the lane takes
(ticks.server.fast_path) is read and answered in the event loop itself; only the database is asked elsewhere. What
takes long to make, and is too large to leave whole, is made into a file (ticks.server.downloads).
"""

import asyncio
import faulthandler
import signal
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from queue import SimpleQueue

from django.conf import settings
from django.db import connections
from django.utils.module_loading import import_string

from ticks.logging import write_in_batches
from ticks.server import draining
from ticks.server.app import environ_of, respond
from ticks.server.bodies import Bodies, Failing, put_body
from ticks.server.downloads import PERMIT, OpenFile, Permit, makes_file
from ticks.server.draining import Board, Stage
from ticks.server.fast_path import Answer, head_of_scope

LOOK_SECONDS = 0.05
# A worker whose event loop has stood still for this long writes to stderr where its threads are, and ends. The main
# process replaces it: this is longer than `process.START_SECONDS`, so it does not count as unable to start.
HANG_SECONDS = 30
BEAT_SECONDS = 1
# In which the server opens a file that it was told to send: it does so at once, and does not say when.
OPENING_SECONDS = 10


class Front:
    def __init__(self, *, threads: int, board: Board, worker: int, listener: int):
        self.board, self.worker, self.listener = board, worker, listener
        connections.settings["default"]["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
        self.bodies = Bodies(limit=settings.BODY_LIMIT, seconds=settings.BODY_SECONDS)
        self.lane = import_string(settings.LANE)()
        self.jobs = SimpleQueue()
        # One more, as one of them may be making a file (`ticks.server.downloads`).
        for _ in range(threads + 1):
            threading.Thread(target=self.work, name="django", daemon=True).start()

    def __rsgi_init__(self, loop) -> None:
        self.loop, self.returns = loop, Returns(loop)
        self.is_closed = False
        self.lane.open()
        write_in_batches(loop)
        loop.call_soon(self.look_out)
        loop.call_soon(self.beat)

    def __rsgi_del__(self, loop) -> None:
        faulthandler.cancel_dump_traceback_later()

    def beat(self) -> None:
        """Sets the alarm anew. It needs no GIL, so it also goes off where a call into C keeps the GIL."""
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        self.loop.call_later(BEAT_SECONDS, self.beat)

    def look_out(self) -> None:
        """For what has waited too long; and for the end of the server, when slow bodies are not waited for."""
        self.loop.call_later(LOOK_SECONDS, self.look_out)
        self.lane.look()
        self.bodies.look()
        stage = self.board.stage
        if stage >= Stage.CLOSING:
            if not self.is_closed:
                draining.accept_no_more(self.listener)
                self.is_closed = True
            self.bodies.give_all_slow_up()
        if stage is Stage.ENDING:
            # Blocked until now (`ticks.server.process.stop_on_signal`); granian ends this worker at it.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    async def __rsgi__(self, scope, protocol) -> None:
        self.board.enter(self.worker)
        try:
            body = None
            head = head_of_scope(scope) if settings.FAST_LANE else None
            visit = head and self.lane.visit(head)
            if visit:
                body = await self.bodies.read_plain(protocol) if visit.has_body else b""
                answer = None if isinstance(body, Failing) else await self.by_lane(visit, body)
                if answer:
                    leave(protocol, answer)
                    return
            await self.by_django(scope, protocol, body)
        finally:
            self.board.leave(self.worker)

    async def by_lane(self, visit, body: bytes) -> Answer | None:
        order = visit.order(body)
        if order is None:
            return None
        order.returned = self.loop.create_future()
        order.done = self.returns.put_order
        visit.put(order)
        await order.returned
        if visit.is_unsettled(order):
            await self.in_thread(partial(visit.settle, order))
        return visit.answer(order)

    async def by_django(self, scope, protocol, body: bytes | Failing | None) -> None:
        environ = environ_of(scope)
        if body is None:
            is_whole = await self.bodies.read_into(environ, protocol)
        else:
            is_whole = put_body(environ, body)
        watch = None
        if makes_file(scope.path):
            environ[PERMIT] = permit = Permit()
            watch = self.loop.create_task(give_up_if_left(permit, protocol))
        try:
            await self.in_thread(partial(self.answer_by_django, environ, is_whole, protocol))
        finally:
            if watch:
                watch.cancel()

    def answer_by_django(self, environ: dict, is_whole: bool, protocol) -> None:
        status, headers, body = respond(environ)
        if isinstance(body, OpenFile):
            # First, so that it is closed whatever becomes of the answer: until then it takes its room on the disk.
            self.loop.call_soon_threadsafe(self.loop.call_later, OPENING_SECONDS, body.close)
        leave(protocol, (status, headers, body), is_last=not is_whole)

    def in_thread(self, job: Callable[[], None]) -> asyncio.Future:
        done = self.loop.create_future()
        self.jobs.put((job, done))
        return done

    def work(self) -> None:
        while True:
            job, done = self.jobs.get()
            failure = None
            try:
                job()
            except BaseException as error:
                # For granian to log and to answer with 500.
                failure = error
            self.returns.put(done, failure)


class Returns:
    """What threads have done, on its way back to the event loop, which is woken once for many."""

    def __init__(self, loop):
        self.loop = loop
        self.done: deque[tuple[asyncio.Future, BaseException | None]] = deque()
        self.is_called = False

    def put(self, future: asyncio.Future, failure: BaseException | None = None) -> None:
        self.done.append((future, failure))
        if not self.is_called:
            self.is_called = True
            self.loop.call_soon_threadsafe(self.hand_out)

    def put_order(self, order) -> None:
        self.put(order.returned)

    def hand_out(self) -> None:
        # First, so that whoever puts one after the last look calls again.
        self.is_called = False
        while self.done:
            settle(*self.done.popleft())


def leave(protocol, answer: Answer, *, is_last: bool = False) -> None:
    status, headers, body = answer
    if is_last or draining.has_begun():
        headers = [*headers, ("Connection", "close")]
    if isinstance(body, OpenFile):
        protocol.response_file(status, headers, body.path)
    elif isinstance(body, Path):
        protocol.response_file(status, headers, str(body))
    else:
        protocol.response_bytes(status, headers, body)


async def give_up_if_left(permit: Permit, protocol) -> None:
    await protocol.client_disconnect()
    permit.give_up()


def settle(future: asyncio.Future, failure: BaseException | None) -> None:
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        # A StopIteration is nothing that a future takes.
        future.set_exception(RuntimeError(repr(failure)).with_traceback(failure.__traceback__))
