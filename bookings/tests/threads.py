"""Runs a function in many threads at once, each on a database connection of its own."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from django.db import connection

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
