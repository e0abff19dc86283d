"""When work ends early: the server is about to stop, or the client of a long request has left.

The stage is a byte that the main process writes and its workers read."""

import mmap

SERVING, DRAINING, ENDING = range(3)
# Workers are forked from the main process, so all of them have this memory in common.
stage = mmap.mmap(-1, 1)
# The environ of an export has a task under this name. It ends when the client leaves.
CLIENT_LEFT = "ticks.client_left"


class GivenUp(Exception):
    """Nobody waits for the answer any more, or the server is about to stop."""


def has_begun() -> bool:
    return stage[0] != SERVING


def check_wanted(request) -> None:
    """Raises `GivenUp` if a request must end. Long work calls this every few tenths of a second."""
    left = request.META.get(CLIENT_LEFT)
    if has_begun() or (left and left.done()):
        raise GivenUp
