"""The outermost transaction of a service, retried whole when the database rolled it back."""

import random
import time
from collections.abc import Callable
from functools import wraps

from django.db import OperationalError, transaction

# Deadlock, lock wait timeout, record changed since last read. The server has rolled back the
# transaction (1205: one statement of it), so nothing of it is committed and it may run again.
ROLLED_BACK = {1213, 1205, 1020}
SQLITE_LOCKED = "database is locked"
ATTEMPTS = 5
# Lock waits count in: a few of them must not hold a thread of the server for half a minute.
PATIENCE_SECONDS = 6
FIRST_PAUSE_SECONDS = 0.01


class Busy(Exception):
    """The database rolled the transaction back each time; nothing was changed, try again."""

    def __init__(self):
        super().__init__("Too many people are at this at once; nothing was changed. Try again in a second.")


def in_one_transaction(service: Callable) -> Callable:
    """Runs a service in its own transaction, COMMIT included, and again if that was rolled back.

    Raises `Busy` after five attempts or six seconds, `RuntimeError` inside another atomic block: a retry there
    would build on what the server has already thrown away. Errors are caught outside the block
    only: caught inside, Django would go on and commit the statements that follow.
    """

    @wraps(service)
    def run(*args, **kwargs):
        began = time.monotonic()
        for attempt in range(ATTEMPTS):
            if time.monotonic() - began > PATIENCE_SECONDS:
                break
            if attempt:
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
            try:
                with transaction.atomic(durable=True):
                    return service(*args, **kwargs)
            except OperationalError as error:
                if not is_rolled_back(error):
                    raise
        raise Busy

    return run


def is_rolled_back(error: OperationalError) -> bool:
    return bool(error.args) and (error.args[0] in ROLLED_BACK or SQLITE_LOCKED in str(error))
