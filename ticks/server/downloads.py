"""Large answers: made into a file, one at a time in each worker, and sent from that file.

Not in parts while they are made. The server takes in all that its streams are given, read or not, so that a slow
client would cost as much memory as the answer has bytes; and parts that have left cannot be taken back when the rest
fails. A file costs no memory and, once it is made, no thread and no database connection, whatever the client does.
The answer says how long it is, so that nobody takes the beginning of it for all.

A view makes its file while it holds `making`, in the thread of its request. It takes that lock last, when it knows
who asks, that they may, and what for. A worker has one thread more than THREADS, so that all of those are left to
other requests while a file is made.
"""

import os
import threading

from django.http import FileResponse

from ticks.server import draining

# In the environ of a request that may be answered by a file.
PERMIT = "ticks.permit"
# Held while a file is made.
making = threading.Lock()


class GivenUp(Exception):
    """Nobody waits for the file any more, or the server is about to stop."""


class Permit:
    """How long a request may go on to make its file: until its client leaves, or the server begins to stop."""

    def __init__(self):
        self.is_given_up = False

    def give_up(self) -> None:
        self.is_given_up = True

    def check(self) -> None:
        """Raises `GivenUp`. To be asked every few tenths of a second by who makes the file."""
        if self.is_given_up or draining.has_begun():
            raise GivenUp


def makes_file(path: str) -> bool:
    """Whether a request for this address may be answered by a file."""
    return "/export/" in path and path.startswith("/admin/")


def permit_of(request) -> Permit:
    """The server's; where there is none, in tests say, one of its own."""
    return request.META.get(PERMIT) or Permit()


class Download(FileResponse):
    """A file that is sent as something to keep. Django's, but that the server may read it by itself."""

    def handed_over(self) -> "OpenFile":
        """The file, open once more: it outlives this response, which ends the request when it is closed."""
        self.file_to_stream.flush()
        return OpenFile(os.dup(self.file_to_stream.fileno()))


class OpenFile:
    """A file that may have no name any more: its path is good until it is closed."""

    def __init__(self, number: int):
        self.number, self.path = number, f"/dev/fd/{number}"

    def close(self) -> None:
        os.close(self.number)
