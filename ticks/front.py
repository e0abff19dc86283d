"""What granian calls for each request, in a worker: takes it in whole, has Django answer it in one of few threads.

A thread of Django holds a database connection and, while it books, an event's lock. So none may wait for a
client: bodies are read in the worker's event loop, and answers leave whole.
"""

import asyncio
import threading
from queue import SimpleQueue

from django.conf import settings
from django.db import connections

from ticks import draining
from ticks.bodies import Bodies
from ticks.draining import Board, Stage
from ticks.wsgi import environ_of, respond

LOOK_SECONDS = 0.05


class Front:
    def __init__(self, *, threads: int, board: Board, worker: int, listener: int):
        self.board, self.worker, self.listener = board, worker, listener
        connections.settings["default"]["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
        self.bodies = Bodies(limit=settings.BODY_LIMIT, seconds=settings.BODY_SECONDS)
        self.taken_in = SimpleQueue()
        for _ in range(threads):
            threading.Thread(target=self.work, name="django", daemon=True).start()

    def __rsgi_init__(self, loop) -> None:
        loop.call_soon(self.look_out, loop)

    def look_out(self, loop) -> None:
        """For the end of the server, when bodies that have still not come are not waited for."""
        if self.board.stage is Stage.CLOSING:
            draining.accept_no_more(self.listener)
            self.bodies.give_all_up()
        else:
            loop.call_later(LOOK_SECONDS, self.look_out, loop)

    async def __rsgi__(self, scope, protocol) -> None:
        self.board.enter(self.worker)
        try:
            environ = environ_of(scope)
            is_whole = await self.bodies.read_into(environ, protocol)
            answered = asyncio.get_running_loop().create_future()
            self.taken_in.put((environ, is_whole, protocol, answered))
            await answered
        finally:
            self.board.leave(self.worker)

    def work(self) -> None:
        while True:
            environ, is_whole, protocol, answered = self.taken_in.get()
            failure = None
            try:
                status, headers, body = respond(environ)
                if draining.has_begun() or not is_whole:
                    headers = [*headers, ("Connection", "close")]
                protocol.response_bytes(status, headers, body)
            except BaseException as error:
                # For granian to log and to answer with 500.
                failure = error
            answered.get_loop().call_soon_threadsafe(settle, answered, failure)


def settle(answered: asyncio.Future, failure: BaseException | None) -> None:
    if answered.cancelled():
        return
    if failure is None:
        answered.set_result(None)
    else:
        # A StopIteration is nothing that a future takes.
        answered.set_exception(RuntimeError(repr(failure)).with_traceback(failure.__traceback__))
