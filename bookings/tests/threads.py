"""Functions that run in many threads at once, each on a database connection of its own, and the wait for a lock."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from bookings.services.idempotency import digest_of, lock_keys
from ticks.tests.served import wait_until

TIMEOUT_SECONDS = 60


def run_together(threads: int, work: Callable[[int], object]) -> list:
    """Starts `work(0) ... work(threads - 1)` at one moment. Returns what each returned or raised."""
    start = threading.Barrier(threads)

    def run(number: int):
        try:
            connection.ensure_connection()
            start.wait(TIMEOUT_SECONDS)
            return work(number)
        except Exception as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(run, range(threads)))


def await_unlocked(key, caller):
    """Waits until the key is free. The server ends a lost connection's lock when it notices the loss."""
    digest = digest_of(key, caller)

    def is_unlocked():
        with lock_keys([digest]) as free:
            return digest in free

    wait_until(is_unlocked)
