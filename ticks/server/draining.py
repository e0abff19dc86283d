"""Stopping without breaking a connection: what main process and workers tell each other, and the last answers."""

import ctypes
import json
import mmap
import os
import selectors
import socket
import struct
import sys
import threading
import time
from enum import IntEnum

# So long a client that was refused may take to read why.
LINGER_SECONDS = 1
# For handshakes on their way.
LAST_CALL_SECONDS = 0.1
SO_ATTACH_FILTER = 26
ALL = 0xFFFFFFFF
REFUSAL_BODY = json.dumps(
    {"message": "The server is stopping; nothing was changed. Try again in a second.", "error": True, "code": "busy"}
).encode()
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n"
    b"cache-control: no-store\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(REFUSAL_BODY), REFUSAL_BODY)
)


class Stage(IntEnum):
    SERVING = 0
    # Each answer is the last of its connection.
    DRAINING = 1
    # Workers take no new connection either.
    CLOSING = 2
    # Workers answer what is in flight and end, at SIGTERM.
    ENDING = 3


class Board:
    """Memory that the main process shares with its workers: each cell has one writer."""

    def __init__(self, workers: int):
        # The server's stage; then each worker's requests in flight.
        self.cells = memoryview(mmap.mmap(-1, 4 * (1 + workers))).cast("I")

    @property
    def stage(self) -> "Stage":
        return Stage(self.cells[0])

    @stage.setter
    def stage(self, stage: "Stage") -> None:
        self.cells[0] = stage

    def wipe(self, worker: int) -> None:
        self.cells[1 + worker] = 0

    def enter(self, worker: int) -> None:
        self.cells[1 + worker] += 1

    def leave(self, worker: int) -> None:
        self.cells[1 + worker] -= 1

    def in_flight(self, worker: int) -> int:
        return self.cells[1 + worker]


board = Board(1)


def join(shared: Board) -> None:
    """This process is a worker of the server with that board."""
    global board
    board = shared


def has_begun() -> bool:
    """Whether the server that this process belongs to is about to stop."""
    return board.cells[0] != Stage.SERVING


def accept_no_more(listener: int) -> None:
    """In a worker: nobody comes through this file descriptor any more, while the others' keep its queue."""
    nobodys = socket.create_server(("127.0.0.1", 0))
    nobodys.setblocking(False)
    os.dup2(nobodys.fileno(), listener)


class Refusals(threading.Thread):
    """Takes the connections that workers take no more, and answers 503 instead of breaking them.

    A connection in the queue of a listening socket is reset when the socket is closed, whatever was sent over it.
    """

    def __init__(self, listener: socket.socket):
        super().__init__(daemon=True)
        self.listener = listener
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.deadlines: dict[socket.socket, float] = {}
        self.is_last_call = threading.Event()

    def finish(self) -> None:
        """Nobody queues from now on. The thread ends once who was in the queue has an answer."""
        self.is_last_call.set()

    def run(self) -> None:
        while not self.is_last_call.is_set():
            self.accept_all()
            self.attend()
        let_nobody_queue(self.listener)
        time.sleep(LAST_CALL_SECONDS)
        self.accept_all()
        self.listener.close()
        while self.deadlines:
            self.attend()

    def attend(self) -> None:
        for key, _ in self.selector.select(0.01):
            self.answer(key.fileobj)
        now = time.monotonic()
        for connection in [one for one, deadline in self.deadlines.items() if deadline < now]:
            self.drop(connection)

    def accept_all(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            self.deadlines[connection] = time.monotonic() + LINGER_SECONDS
            self.selector.register(connection, selectors.EVENT_READ)

    def answer(self, connection: socket.socket) -> None:
        """Once there is a request; what comes after it is read away, or closing would take the answer with it."""
        try:
            if not connection.recv(65536):
                self.drop(connection)
                return
            if not self.selector.get_key(connection).data:
                self.selector.modify(connection, selectors.EVENT_READ, "answered")
                connection.sendall(REFUSAL)
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            self.drop(connection)

    def drop(self, connection: socket.socket) -> None:
        del self.deadlines[connection]
        self.selector.unregister(connection)
        connection.close()


def let_nobody_queue(listener: socket.socket) -> None:
    """Drops who would begin a connection: it begins again after a second, and finds the port closed."""
    if sys.platform != "linux":
        return
    # A socket filter on the TCP header: a packet with SYN and without ACK is dropped, others pass.
    filters = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in [
            (0x30, 0, 0, 13),
            (0x54, 0, 0, 0x12),
            (0x15, 0, 1, 0x02),
            (0x06, 0, 0, 0),
            (0x06, 0, 0, ALL),
        ]
    )
    buffer = ctypes.create_string_buffer(filters)
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 5, ctypes.addressof(buffer)))
