import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

from ticks.db.transactions import Busy

# A hash takes a core for some 20 ms, and bookings want the cores. Beside 32 callers who logged in all the time, a
# booking took 646 ms at the median without a limit, 119 ms with one hash at a time in each worker, and 48 ms with one
# login at a time, its queries included (73 ms with two).
hashing = threading.RLock()
# A request that waits for its turn occupies a thread, so no more than half of a worker's threads may wait.
waiting = threading.BoundedSemaphore(max(1, settings.THREADS // 2))
WAIT_SECONDS = 2


@contextmanager
def turn_to_hash() -> Iterator[None]:
    """Lets one thread of this process in at a time; that thread may enter again.

    Raises `Busy` after `WAIT_SECONDS`, and at once where enough threads wait already.
    """
    if not hashing.acquire(blocking=False):
        if not waiting.acquire(blocking=False):
            raise Busy
        try:
            if not hashing.acquire(timeout=WAIT_SECONDS):
                raise Busy
        finally:
            waiting.release()
    try:
        yield
    finally:
        hashing.release()


class OwaspArgon2(Argon2PasswordHasher):
    """argon2id with 19 MiB, two passes, one lane: the minimum of OWASP's Password Storage Cheat Sheet.

    Every password is hashed and checked here, so the limit to how many are hashed at once is here too.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, *args, **kwargs):
        with turn_to_hash():
            return super().encode(*args, **kwargs)

    def verify(self, *args, **kwargs):
        with turn_to_hash():
            return super().verify(*args, **kwargs)
