"""Large answers: made into a file, one at a time in each worker, and sent from that file.

The server sends every `FileResponse` by itself (`ticks.server.app.respond`); the file needs no name on the disk. It is
not sent in parts while it is made: granian would keep in memory what a slow client has not read, and parts
that were sent cannot be taken back if the rest fails. A file costs no memory and, once it is made, no thread.

A view makes its file while it holds `making`, in one of the THREADS of its worker. It takes that lock last, after it
has checked the caller, the permission and the input."""

import threading

from ticks.server import stopping

# A request's `Permit` has this name in the request's environ.
PERMIT = "ticks.permit"
# This lock is held while a file is made.
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
        """The code that makes the file calls this every few tenths of a second. Raises `GivenUp` if it must stop."""
        if self.is_given_up or stopping.has_begun():
            raise GivenUp


def permit_of(request) -> Permit:
    """The permit from the server; a new one where there is no server, as in tests."""
    return request.META.get(PERMIT) or Permit()
