"""Whether the server is about to stop: a byte that the main process writes and its workers read."""

import mmap

SERVING, DRAINING, ENDING = range(3)
# Workers are forked from the main process, so all of them have this memory in common.
stage = mmap.mmap(-1, 1)


def has_begun() -> bool:
    return stage[0] != SERVING
