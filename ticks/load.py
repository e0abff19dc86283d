"""Load on a server: many clients in one event loop, on connections that are kept.

The load shares the machine with the server that it measures, so it must be cheap. Requests are bytes that are made
beforehand, and in an answer it looks for little more than the end. A request costs about 20 us of one core on uvloop,
and 117 us with threads of http.client."""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

import uvloop

NO_BODY = (204, 304)


class ServerAnswer(NamedTuple):
    status: int
    head: bytes
    body: bytes
    # This is true if the connection can be used again.
    is_kept: bool

    def header(self, name: str) -> str | None:
        _, found, rest = self.head.lower().partition(b"\r\n%s:" % name.lower().encode())
        return self.head[-len(rest) :].partition(b"\r\n")[0].strip().decode("latin-1") if found else None

    @property
    def json(self) -> dict:
        """The JSON object in the body; empty if there is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


# This sends a request and waits for its answer. It returns None if no answer came, so that the request may have been
# carried out or not.
Ask = Callable[[bytes], Awaitable[ServerAnswer | None]]
Client = Callable[[Ask], Awaitable[None]]


@dataclass
class Tally:
    """Latencies are in seconds. A request without an answer has none."""

    latencies: list[float] = field(default_factory=list)
    unanswered: int = 0
    # The duration ends with the last answer.
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """The number of answers in a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """The latency that the given percentage of answers did not exceed; 0 if there are no answers."""
        place = max(math.ceil(len(self.latencies) * percent / 100) - 1, 0)
        return sorted(self.latencies)[place] if self.latencies else 0.0


def drive(
    address: tuple[str, int],
    clients: Sequence[Client],
    *,
    seconds: float,
    connections: int | None = None,
    answer_seconds: float = 10.0,
) -> Tally:
    """Runs the clients for some seconds, or until all are done, and then waits for the answers that are still due.

    Without a number of connections each client has one. No answer is waited for longer than `answer_seconds`. If one
    client raises an exception, all of them end, and it is raised.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_drive(address, clients, seconds, connections or len(clients), answer_seconds))


async def _drive(address, clients, seconds, connections, answer_seconds) -> Tally:
    tally, began = Tally(), perf_counter()
    pool = [Connection(address, answer_seconds=answer_seconds) for _ in range(connections)]
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for connection in pool:
        free.put_nowait(connection)

    async def ask(request: bytes) -> ServerAnswer | None:
        connection = await free.get()
        try:
            sent = perf_counter()
            if sent >= began + seconds:
                # The time is over, and the client ends here.
                raise asyncio.CancelledError
            answer = await connection.ask(request)
            if answer is None:
                tally.unanswered += 1
            else:
                now = perf_counter()
                tally.latencies.append(now - sent)
                tally.seconds = now - began
            return answer
        finally:
            free.put_nowait(connection)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client(ask)) for client in clients]
            await asyncio.wait(tasks, timeout=seconds)
            # Each request holds a connection until it is answered. Once all connections are free, none is left.
            for _ in pool:
                await free.get()
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for connection in pool:
            connection.close()
    return tally


class Connection(asyncio.Protocol):
    """One connection, which is opened when it is needed, and kept. It carries one request at a time."""

    def __init__(self, address: tuple[str, int], *, answer_seconds: float):
        self.address, self.answer_seconds = address, answer_seconds
        self.transport: asyncio.Transport | None = None
        self.answer: asyncio.Future[ServerAnswer | None] | None = None
        self.received = b""

    async def ask(self, request: bytes) -> ServerAnswer | None:
        """The answer; None when the connection fails or the time ends, so that it may have been carried out or not."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.answer_seconds):
                if self.transport is None:
                    await loop.create_connection(lambda: self, *self.address)
                self.answer = loop.create_future()
                self.transport.write(request)
                return await self.answer
        except OSError:
            return None
        finally:
            # The request got no answer, or was cancelled. A late answer must not be taken for the answer to the next
            # request.
            if self.answer is not None:
                self.close()

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.received = transport, b""

    def data_received(self, chunk: bytes) -> None:
        self.received += chunk
        try:
            answer = read_answer(self.received)
        except ValueError:
            self.close()
            return
        if answer is None:
            return
        self.received = b""
        waiter, self.answer = self.answer, None
        if waiter is None or not answer.is_kept:
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        transport, self.transport = self.transport, None
        waiter, self.answer = self.answer, None
        if transport is not None:
            transport.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def request(
    method: str, path: str, *, host: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A request as bytes. `host` is the Host header; a body is JSON unless the headers differ."""
    lines = {"Host": host, **({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
    if body is not None:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


def read_answer(received: bytes) -> ServerAnswer | None:
    """Reads an answer; None while part of it is missing. Raises ValueError if it is no HTTP, or gives no length."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, rest = received[:end], received[end + 4 :]
    lowered = head.lower()
    status, is_kept = int(head[9:12]), b"\r\nconnection: close" not in lowered
    if status in NO_BODY:
        return ServerAnswer(status, head, b"", is_kept)
    length = int(lowered[lowered.index(b"\r\ncontent-length:") + 17 :].split(b"\r\n", 1)[0])
    return ServerAnswer(status, head, rest[:length], is_kept) if len(rest) >= length else None
