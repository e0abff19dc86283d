"""A TCP proxy in front of MariaDB that can lose a COMMIT, or the answer to one.

It forwards bytes as they come. While cuts are armed it also reads along: the client's protocol has
packets of a length (3 bytes), a number (1 byte) and a payload, whose first byte is the command.
"""

import asyncio
import socket
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

# The COMMIT reaches the server and its OK reaches the proxy, but the client does not get the OK.
AFTER_COMMIT = "after_commit"
# The COMMIT gets only as far as the proxy. The server rolls back when the connection is gone.
BEFORE_COMMIT = "before_commit"

QUERY = 0x03
OK = 0x00
HEADER_BYTES = 4
CHUNK_BYTES = 65536
# The value of SO_LINGER with which a closed socket resets its connection.
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Runs in a thread of its own."""

    def __init__(self, server_socket: str, *, port: int = 0):
        self.server_socket, self.port = server_socket, port
        self.armed: Counter[str] = Counter()
        self.cuts: Counter[str] = Counter()
        self.links: set[Link] = set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> "Proxy":
        self.thread.start()
        self.listen()
        return self

    def __exit__(self, *_) -> None:
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def arm(self, kind: str, cuts: int = 1) -> None:
        """Cuts the next COMMITs of transactions that wrote."""
        self.loop.call_soon_threadsafe(self.armed.update, {kind: cuts})

    def disarm(self) -> None:
        self.loop.call_soon_threadsafe(self.armed.clear)

    def listen(self) -> None:
        listening = asyncio.start_server(self.serve, "127.0.0.1", self.port)
        self.listener = asyncio.run_coroutine_threadsafe(listening, self.loop).result()
        self.port = self.listener.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Refuses connections, as the server's own port does while there is no server, until `listen` is called."""
        self.loop.call_soon_threadsafe(self.listener.close)

    async def serve(self, reader: StreamReader, client: StreamWriter) -> None:
        try:
            server_reader, server = await asyncio.open_unix_connection(self.server_socket)
        except OSError:
            reset(client)
            return
        link = Link(self, client, server)
        self.links.add(link)
        await asyncio.gather(link.to_server(reader), link.to_client(server_reader))
        self.links.discard(link)

    async def end(self) -> None:
        self.listener.close()
        for link in list(self.links):
            link.cut()
        while self.links:
            await asyncio.sleep(0.01)


class Link:
    """A connection of Ticks with the connection to the server behind it, and the state of its transaction."""

    def __init__(self, proxy: Proxy, client: StreamWriter, server: StreamWriter):
        self.proxy, self.client, self.server = proxy, client, server
        self.has_written = False
        self.awaits_ok = False

    async def to_server(self, reader: StreamReader) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self.loses_commit(chunk):
                    self.count_cut(BEFORE_COMMIT)
                else:
                    self.server.write(chunk)
        # This flushes first, so that a last COMMIT still arrives that was on its way when its sender was killed.
        self.server.close()

    async def to_client(self, reader: StreamReader) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                awaits_ok, self.awaits_ok = self.awaits_ok, False
                # After a COMMIT that was refused there is nothing to hide.
                if (
                    awaits_ok
                    and chunk[HEADER_BYTES : HEADER_BYTES + 1] == bytes([OK])
                    and self.proxy.armed[AFTER_COMMIT]
                ):
                    self.count_cut(AFTER_COMMIT)
                else:
                    self.client.write(chunk)
        self.client.close()

    def loses_commit(self, chunk: bytes) -> bool:
        for statement in statements(chunk):
            if statement.startswith((b"INSERT", b"UPDATE")):
                self.has_written = True
            elif statement.startswith((b"ROLLBACK", b"BEGIN")):
                self.has_written = False
            elif statement.startswith(b"COMMIT") and self.has_written:
                self.has_written = False
                self.awaits_ok = True
                return self.proxy.armed[BEFORE_COMMIT] > 0
        return False

    def count_cut(self, kind: str) -> None:
        self.proxy.armed[kind] -= 1
        self.proxy.cuts[kind] += 1
        self.cut()

    def cut(self) -> None:
        reset(self.client)
        self.server.transport.abort()


def reset(writer: StreamWriter) -> None:
    """Ends a connection with a reset, since a connection that is lost in a network is not closed either."""
    # The other side may have closed it already.
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def statements(chunk: bytes) -> Iterator[bytes]:
    """The beginnings of the queries in it. Drivers send a short packet whole and wait for its answer."""
    start = 0
    while start + HEADER_BYTES < len(chunk):
        if chunk[start + HEADER_BYTES] == QUERY:
            yield chunk[start + HEADER_BYTES + 1 : start + HEADER_BYTES + 17].lstrip().upper()
        start += HEADER_BYTES + int.from_bytes(chunk[start : start + 3], "little")
