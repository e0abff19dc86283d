"""A load generator: many callers, each with a connection that it keeps, in one loop of one thread.

It shares the machine with what it measures, so it must be cheap: requests are bytes made beforehand, an
answer is looked at no closer than its status and length, and asyncio, which costs three times as much, is
left out.
"""

import errno
import heapq
import math
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from time import perf_counter

from ticks.wire import read_answer

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# Also the pause after a request that was lost, so that a server that is away is not hammered.
LOOK_SECONDS = 0.1
CONNECT_SECONDS = 5


class Caller:
    """Whoever has one connection: says what to send, one request at a time, and hears the answers."""

    def next(self) -> bytes | float | None:
        """The request to send now; or in how many seconds to be asked again; or None, when it is done."""
        raise NotImplementedError

    def took(self, status: int, body: bytes, seconds: float, head: bytes) -> None:
        """Hears the answer; `ticks.wire.header(head, "Retry-After")` reads what else came."""

    def lost(self) -> None:
        """Hears that the request got no answer, so that what it asked for may be done or not."""


@dataclass
class Tally:
    """What came of it. Latencies are in seconds; what is `unanswered` is in neither statuses nor latencies."""

    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    unanswered: int = 0
    reopened: int = 0

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second, over the time until the last of them."""
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """The latency that so many per cent of the answers did not exceed; 0 without answers."""
        if not self.latencies:
            return 0.0
        ordered = sorted(self.latencies)
        return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def drive(
    address: tuple[str, int],
    callers: Iterable[Caller],
    *,
    seconds: float,
    patience: float = 10.0,
    watch: Callable[[float, Tally], None] | None = None,
) -> Tally:
    """Lets the callers ask for so many seconds, or until all are done, then waits for what is under way.

    No request is waited for longer than `patience` seconds, so this ends after the sum of both. `watch` hears
    the seconds that have passed and the tally so far, ten times a second. Raises OSError when nobody listens
    at the address.
    """
    loop = _Loop(address, callers, patience=patience, watch=watch)
    try:
        return loop.run(seconds)
    finally:
        loop.close()


def _find(address: tuple[str, int]) -> tuple[int, tuple]:
    # A name may stand for an IPv6 and an IPv4 address, of which the server listens on one.
    with socket.create_connection(address, CONNECT_SECONDS) as trial:
        return trial.family, trial.getpeername()


class _Line:
    """A caller's connection: closed, idle, or with exactly one request under way since `asked_at`."""

    __slots__ = ("asked_at", "buffer", "caller", "number", "outgoing", "socket", "was_open", "writes")

    def __init__(self, number: int, caller: Caller):
        self.number, self.caller = number, caller
        self.socket: socket.socket | None = None
        self.asked_at: float | None = None
        self.buffer = self.outgoing = b""
        self.was_open = self.writes = False


class _Loop:
    def __init__(self, address, callers, *, patience, watch):
        self.family, self.target = _find(address)
        self.lines = [_Line(number, caller) for number, caller in enumerate(callers)]
        self.patience, self.watch = patience, watch
        self.selector = selectors.DefaultSelector()
        self.pauses: list[tuple[float, int, _Line]] = []
        self.tally = Tally()
        self.under_way = 0

    def run(self, seconds: float) -> Tally:
        self.began = self.looked_at = perf_counter()
        self.end = self.began + seconds
        for line in self.lines:
            self._go_on(line)

        while self.under_way or (self.pauses and perf_counter() < self.end):
            for key, mask in self.selector.select(self._idle_seconds()):
                line = key.data
                if mask & WRITE and line.outgoing:
                    self._send(line)
                # The connection may have gone in between.
                if mask & READ and line.socket is key.fileobj:
                    self._receive(line)
            self._wake()
            self._look_round()
        self.tally.seconds = self.tally.seconds or perf_counter() - self.began
        return self.tally

    def close(self) -> None:
        for line in self.lines:
            self._drop(line)
        self.selector.close()

    def _go_on(self, line: _Line) -> None:
        now = perf_counter()
        if now >= self.end:
            return
        wish = line.caller.next()
        if wish is None:
            return
        if not isinstance(wish, bytes):
            heapq.heappush(self.pauses, (now + wish, line.number, line))
            return
        line.asked_at, line.outgoing = now, wish
        self.under_way += 1
        if line.socket is None:
            self._connect(line)
        else:
            self._send(line)

    def _connect(self, line: _Line) -> None:
        self.tally.reopened += line.was_open
        line.was_open = line.writes = True
        line.socket = socket.socket(self.family, socket.SOCK_STREAM)
        line.socket.setblocking(False)
        line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        error = line.socket.connect_ex(self.target)
        self.selector.register(line.socket, READ | WRITE, line)
        if error not in (0, errno.EINPROGRESS):
            self._lose(line)

    def _send(self, line: _Line) -> None:
        try:
            sent = line.socket.send(line.outgoing)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(line)
            return
        line.outgoing = line.outgoing[sent:]
        writes = line.outgoing != b""
        if writes != line.writes:
            line.writes = writes
            self.selector.modify(line.socket, READ | WRITE if writes else READ, line)

    def _receive(self, line: _Line) -> None:
        try:
            chunk = line.socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if line.asked_at is None:
            # An idle connection that the server has closed. Bytes that nobody asked for end it too.
            self._drop(line)
            return
        line.buffer = line.buffer + chunk if line.buffer else chunk
        try:
            answer = read_answer(line.buffer, ended=not chunk)
        except ValueError:
            answer, chunk = None, b""
        if answer is not None:
            self._hear(line, *answer)
        elif not chunk:
            self._lose(line)

    def _hear(self, line: _Line, status: int, head: bytes, body: bytes, stays: bool) -> None:
        now = perf_counter()
        took = now - line.asked_at
        self.under_way -= 1
        line.asked_at, line.buffer = None, b""
        # What is answered before it was sent to its end leaves a connection that nobody can use.
        if not stays or line.outgoing:
            self._drop(line)
        tally = self.tally
        tally.statuses[status] += 1
        tally.latencies.append(took)
        tally.seconds = now - self.began
        line.caller.took(status, body, took, head)
        self._go_on(line)

    def _lose(self, line: _Line) -> None:
        self.under_way -= 1
        self.tally.unanswered += 1
        self._drop(line)
        line.caller.lost()
        heapq.heappush(self.pauses, (perf_counter() + LOOK_SECONDS, line.number, line))

    def _drop(self, line: _Line) -> None:
        if line.socket is not None:
            self.selector.unregister(line.socket)
            line.socket.close()
        line.socket = line.asked_at = None
        line.buffer = line.outgoing = b""

    def _wake(self) -> None:
        now = perf_counter()
        while self.pauses and self.pauses[0][0] <= now:
            _, _, line = heapq.heappop(self.pauses)
            self._go_on(line)

    def _idle_seconds(self) -> float:
        until = self.looked_at + LOOK_SECONDS
        if self.pauses:
            until = min(until, self.pauses[0][0])
        return max(until - perf_counter(), 0)

    def _look_round(self) -> None:
        now = perf_counter()
        if now < self.looked_at + LOOK_SECONDS:
            return
        self.looked_at = now
        for line in self.lines:
            if line.asked_at is not None and now - line.asked_at > self.patience:
                self._lose(line)
        if self.watch is not None:
            self.watch(now - self.began, self.tally)
