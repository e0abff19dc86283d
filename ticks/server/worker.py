"""The application that granian calls in a worker. It reads each request whole, and the fast path or Django answers it.
The main process loads it once, before it forks the workers (`load_application`).

A thread of Django holds a database connection and, while it books, an event's lock. So none may wait for a client:
bodies are read in the event loop, and answers leave whole or as a file. Plain bookings and reads of an event's status
are read and answered in the event loop itself (`FastPath`); only the database is asked elsewhere. A request that waits
for a change of an event waits there too (`LongPolls`)."""

import asyncio
import faulthandler
import gc
import multiprocessing
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import Error, close_old_connections, connections
from django.urls import get_resolver

from ticks.logging import write_in_batches
from ticks.server import stopping
from ticks.server.app import environ_of, respond
from ticks.server.bodies import Bodies, MissingBody

TICK_SECONDS = 0.05
# A worker whose event loop has stood still for this long writes to stderr the stacks of its threads, and ends. The main
# process replaces it.
HANG_SECONDS = 30
BEAT_SECONDS = 1
UPKEEP_SECONDS = 60
# At a stop, a worker that has had no request for this long does not wait for silent connections, which browsers like to
# keep.
LINGER_SECONDS = 1
# granian opens a file that it has to send within this time. It does so at once, but does not report it.
OPENING_SECONDS = 10
# Python looks for cycles after it has made this many objects. With its default of 700, this search takes a twentieth of
# a worker's computing time, and finds next to nothing.
GARBAGE_LOOK_EVERY = 20_000


def load_application() -> None:
    """Loads the code of the workers in the main process, before they are forked."""
    from bookings.api import fast_path  # noqa: F401
    from bookings.services import upkeep  # noqa: F401

    # The views are imported with the URLs, which Django would read at the first request.
    _ = get_resolver().url_patterns
    # These objects stay. If they were not frozen, Python would search all of them for garbage again and again, for 40
    # ms each time, and answer nobody meanwhile. Each search would also write to all of them, so that every worker would
    # get a copy of its own.
    gc.collect()
    gc.freeze()


def make_worker() -> "Worker":
    """Makes the application of a new worker process."""
    # These need Django's applications, which `ticks.server.app` has loaded by now.
    from bookings.api.fast_path import FastPath
    from bookings.services.batches import queue
    from bookings.services.upkeep import keep_up

    gc.set_threshold(GARBAGE_LOOK_EVERY)
    return Worker(FastPath, queue(), keep_up)


class Worker:
    def __init__(self, make_fast_path, queue, keep_up):
        connections.settings["default"]["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
        self.make_fast_path, self.queue, self.keep_up = make_fast_path, queue, keep_up
        self.threads = ThreadPoolExecutor(settings.THREADS, thread_name_prefix="django")
        self.bodies = Bodies(limit=settings.BODY_LIMIT, seconds=settings.BODY_SECONDS)
        self.in_flight, self.busy_at, self.beat_at = 0, 0.0, 0.0
        self.is_ending = False
        self.port_closed = asyncio.Event()

    def __rsgi_init__(self, loop) -> None:
        self.loop = loop
        self.fast_path = self.make_fast_path(loop, self.threads)
        self.queue.start()
        self.log = write_in_batches()
        self.upkeep = loop.create_task(self.keep_up_each_minute())
        loop.call_soon(self.tick)

    def __rsgi_del__(self, loop) -> None:
        faulthandler.cancel_dump_traceback_later()
        # Lines that threads log after this are written at once.
        self.log.most_lines = 1
        self.log.flush()

    def tick(self) -> None:
        """Gives up what has waited too long, writes the log, and handles the end of the server."""
        self.loop.call_later(TICK_SECONDS, self.tick)
        now = time.monotonic()
        if now - self.beat_at >= BEAT_SECONDS:
            # faulthandler's timer needs no GIL, so it also works while a call into C keeps the GIL.
            faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            self.beat_at = now
        if os.getppid() != multiprocessing.parent_process().pid:
            # The main process was killed. A worker that continues would share the port with the next server.
            os._exit(1)
        self.queue.refuse_late()
        self.bodies.give_up_late()
        self.log.flush()
        if stopping.has_begun():
            self.fast_path.long_polls.end()
        if self.in_flight or not self.is_ending:
            self.busy_at = now
        if self.is_ending:
            # SIGTERM was blocked until now (`ticks.server.process.stop_on_signal`). With it, granian closes the port
            # and ends this worker.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            self.loop.call_later(TICK_SECONDS, self.port_closed.set)
            if now - self.busy_at > LINGER_SECONDS:
                sys.exit(0)
        # From one tick before the port closes, requests wait until it has closed (`__rsgi__`).
        self.is_ending = stopping.stage[0] == stopping.ENDING

    async def keep_up_each_minute(self) -> None:
        # The workers begin at different times, so that they do not do the same at once.
        await asyncio.sleep(random.uniform(0, UPKEEP_SECONDS))  # noqa: S311 (no secret)
        while not stopping.has_begun():
            await self.loop.run_in_executor(self.threads, self.run_upkeep)
            await asyncio.sleep(UPKEEP_SECONDS)

    def run_upkeep(self) -> None:
        """Runs in a thread that otherwise answers requests. As before a request, it drops a stale connection."""
        with suppress(Error):
            close_old_connections()
        self.keep_up()

    async def __rsgi__(self, scope, protocol) -> None:
        self.in_flight += 1
        try:
            if self.is_ending:
                # Its client would connect again at once, and the connections that a port has not accepted yet when it
                # closes are reset.
                await self.port_closed.wait()
            body = None
            head = self.fast_path.find(scope)
            if head:
                body = await self.bodies.read(protocol, head.length)
                answer = None if isinstance(body, MissingBody) else await self.fast_path.answer(head, body)
                if answer:
                    self.send(protocol, *answer)
                    return
            elif scope.path.endswith("/changes"):
                await self.fast_path.long_polls.wait_for_change(scope, protocol)
            await self.answer_by_django(scope, protocol, body)
        finally:
            self.in_flight -= 1

    async def answer_by_django(self, scope, protocol, body: bytes | MissingBody | None) -> None:
        if body is None:
            length = int(scope.headers.get("content-length") or 0)
            body = await self.bodies.read(protocol, length, is_chunked="transfer-encoding" in scope.headers)
        environ = environ_of(scope, body)
        left = None
        if "/export/" in scope.path:
            environ[stopping.CLIENT_LEFT] = left = asyncio.ensure_future(protocol.client_disconnect())
        try:
            answer = await self.loop.run_in_executor(self.threads, respond, environ)
        finally:
            if left:
                left.cancel()
        self.send(protocol, *answer, is_last=isinstance(body, MissingBody))

    def send(self, protocol, status: int, headers: list, body: bytes | Path | int, *, is_last: bool = False) -> None:
        if is_last or stopping.has_begun():
            headers = [*headers, ("Connection", "close")]
        if isinstance(body, bytes):
            protocol.response_bytes(status, headers, body)
        elif isinstance(body, Path):
            protocol.response_file(status, headers, str(body))
        else:
            # The descriptor must be closed in every case, since until then the file takes room on the disk.
            self.loop.call_later(OPENING_SECONDS, os.close, body)
            protocol.response_file(status, headers, f"/dev/fd/{body}")
