"""A TCP proxy in front of MariaDB that can lose a COMMIT, or the answer to one.

It forwards bytes as they come. While cuts are armed it also reads along: the client's protocol has
packets of a length (3 bytes), a number (1 byte) and a payload, whose first byte is the command.
"""

import asyncio
import socket
import struct
import threading
from collections import Counter
from contextlib import suppress

# The COMMIT reaches the server, its OK reaches the proxy, and the client never hears of it.
AFTER_COMMIT = "after_commit"
# The COMMIT gets no further than the proxy: the server rolls back when the connection is gone.
BEFORE_COMMIT = "before_commit"

QUERY = 0x03
OK = 0x00
HEADER_BYTES = 4
# The value of SO_LINGER with which a closed socket resets its connection.
RESET = struct.pack("ii", 1, 0)
# How soon the door opens again after the server has come back.
KNOCK_SECONDS = 0.02


class Proxy:
    """Runs in a thread of its own. Like the server's own port, it refuses connections while there is no server."""

    def __init__(self, server_socket: str, *, port: int = 0):
        self.server_socket = server_socket
        self.port = port
        self.armed: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.lines: set[Line] = set()
        self.loop = asyncio.new_event_loop()
        self.door: asyncio.Server | None = None
        self.knocking: asyncio.Task | None = None
        self.thread = threading.Thread(target=self.loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> "Proxy":
        self.thread.start()
        asyncio.run_coroutine_threadsafe(self.open(), self.loop).result()
        return self

    def __exit__(self, *_) -> None:
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def arm(self, kind: str, cuts: int = 1) -> None:
        """The next COMMITs of transactions that wrote are cut."""
        self.loop.call_soon_threadsafe(self.armed.update, {kind: cuts})

    def disarm(self) -> None:
        self.loop.call_soon_threadsafe(self.armed.clear)

    async def open(self) -> None:
        self.door = await self.loop.create_server(lambda: Caller(self), "127.0.0.1", self.port)
        self.port = self.door.sockets[0].getsockname()[1]

    def close_until_server_is_back(self) -> None:
        # A caller must meet what it would meet without the proxy: a refused connection.
        if self.knocking is None:
            self.door.close()
            self.knocking = self.loop.create_task(self.knock())

    async def knock(self) -> None:
        while True:
            await asyncio.sleep(KNOCK_SECONDS)
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(self.server_socket)
                writer.close()
                break
        await self.open()
        self.knocking = None

    async def end(self) -> None:
        if self.knocking:
            self.knocking.cancel()
        self.door.close()
        for line in list(self.lines):
            line.cut()
        await asyncio.sleep(0)


class Line:
    """One caller's connection and its way on to the server, and what is known of its transaction."""

    def __init__(self, proxy: Proxy, caller: asyncio.Transport):
        self.proxy, self.caller = proxy, caller
        self.server: asyncio.Transport | None = None
        self.wrote = False
        self.awaits_ok = False
        self.proxy.lines.add(self)

    def cut(self) -> None:
        # With a reset rather than a polite end: what is lost in a network says no goodbye.
        self.caller.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        for transport in (self.caller, self.server):
            if transport is not None:
                transport.abort()
        self.proxy.lines.discard(self)

    def from_caller(self, chunk: bytes) -> None:
        for statement in statements(chunk):
            if statement.startswith((b"INSERT", b"UPDATE")):
                self.wrote = True
            elif statement.startswith((b"ROLLBACK", b"BEGIN")):
                self.wrote = False
            elif statement.startswith(b"COMMIT"):
                wrote, self.wrote = self.wrote, False
                if wrote and self.proxy.armed[BEFORE_COMMIT] > 0:
                    self.count(BEFORE_COMMIT)
                    return
                if wrote and self.proxy.armed[AFTER_COMMIT] > 0:
                    self.proxy.armed[AFTER_COMMIT] -= 1
                    self.awaits_ok = True
        self.server.write(chunk)

    def from_server(self, chunk: bytes) -> None:
        if self.awaits_ok:
            self.awaits_ok = False
            if len(chunk) > HEADER_BYTES and chunk[HEADER_BYTES] == OK:
                self.proxy.armed[AFTER_COMMIT] += 1
                self.count(AFTER_COMMIT)
                return
            # Refused, so there is no commit to hide: the next one is cut.
            self.proxy.armed[AFTER_COMMIT] += 1
        self.caller.write(chunk)

    def count(self, kind: str) -> None:
        self.proxy.armed[kind] -= 1
        self.proxy.cuts[kind] += 1
        self.cut()


def statements(chunk: bytes) -> list[bytes]:
    """The beginnings of the queries in it. Drivers send a short packet whole and wait for its answer."""
    found, start = [], 0
    while start + HEADER_BYTES < len(chunk):
        length = int.from_bytes(chunk[start : start + 3], "little")
        if chunk[start + HEADER_BYTES] == QUERY:
            found.append(chunk[start + HEADER_BYTES + 1 : start + HEADER_BYTES + 17].lstrip().upper())
        start += HEADER_BYTES + length
    return found


class Caller(asyncio.Protocol):
    """The side of Ticks. What it says before the server's side is there waits."""

    def __init__(self, proxy: Proxy):
        self.proxy = proxy
        self.line: Line | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.line = Line(self.proxy, transport)
        self.calling = self.proxy.loop.create_task(self.call_server())

    async def call_server(self) -> None:
        try:
            # The server speaks first, so nothing can come in from the caller before this is done.
            await self.proxy.loop.create_unix_connection(lambda: Answerer(self.line), self.proxy.server_socket)
        except OSError:
            self.line.cut()
            self.proxy.close_until_server_is_back()

    def data_received(self, chunk: bytes) -> None:
        self.line.from_caller(chunk)

    def connection_lost(self, _error) -> None:
        if self.line.server is not None:
            # Flushes first: a last COMMIT on its way when its sender was killed still arrives.
            self.line.server.close()
        self.proxy.lines.discard(self.line)


class Answerer(asyncio.Protocol):
    """The side of MariaDB."""

    def __init__(self, line: Line):
        self.line = line

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.line.server = transport
        if self.line.caller.is_closing():
            transport.abort()

    def data_received(self, chunk: bytes) -> None:
        self.line.from_server(chunk)

    def connection_lost(self, _error) -> None:
        self.line.caller.close()
        self.line.proxy.lines.discard(self.line)
