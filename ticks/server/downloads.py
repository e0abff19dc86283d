"""Large answers: made into a file, one at a time in each worker, and sent from that file.

They are not sent in parts while they are made: granian would keep in memory what a slow client has not read, and
parts that have left cannot be taken back when the rest fails. A file costs no memory and, once it is made, no thread.

A view makes its file while it holds `making`, in one of the THREADS of its worker. It takes that lock last, when it
knows who asks, that they may, and what for.
"""

import threading

from django.http import FileResponse

from ticks.server import stopping

# The name in a request's environ of its `Permit`.
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
        """Raises `GivenUp`. Whoever makes the file asks it every few tenths of a second."""
        if self.is_given_up or stopping.has_begun():
            raise GivenUp


def permit_of(request) -> Permit:
    """The server's; one of its own where there is none, as in tests."""
    return request.META.get(PERMIT) or Permit()


class Download(FileResponse):
    """A file that the server sends by itself (`ticks.server.app.respond`); it needs no name on the disk."""
