"""The outermost transaction of a service, and what happens when the database does not carry it out."""

import random
import time
from collections.abc import Callable
from functools import wraps
from hashlib import sha256

from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    connection,
    transaction,
)
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy

from ticks.db.outage import code_of, drop_if_lost, outage
from ticks.exceptions import Refusal

# These errors are a deadlock or a cluster's failed certification, a lock wait timeout, and a record changed since the
# last read. The server has rolled back the transaction (1205: one statement of it), so the transaction may run again.
ROLLED_BACK = {1213, 1205, 1020}
SQLITE_LOCKED = "database is locked"
# These errors are values that the database cannot store, which the driver reports as if the database had failed: wrong
# characters for a column (1300, 1366, 3988), wrong numbers and times (1292, 1367, 1411), a statement that is too long
# (1153).
VALUE_REFUSED = {1153, 1292, 1300, 1366, 1367, 1411, 3988}
ATTEMPTS = 5
# No attempt begins later than this. It includes lock waits: a few of them must not hold a thread for half a minute.
RETRY_SECONDS = 6
# If an attempt was lost by a time-out, the next one would be too.
RETRY_SECONDS_WHEN_LOST = 0.8
FIRST_PAUSE_SECONDS = 0.01
ROWS_A_DELETION = 1000


class Busy(Refusal):
    """The database rolled the transaction back each time; nothing was changed."""

    status = 503
    code = "busy"
    message = gettext_lazy("Too many people are at this at once; nothing was changed. Try again in a second.")
    retry_after = 1


class Unavailable(Refusal):
    """The database is away and the transaction was not committed; nothing was changed."""

    status = 503
    code = "database_unavailable"
    message = gettext_lazy("The database does not answer; nothing was changed. Try again shortly.")
    retry_after = 2


class ValueRefused(Refusal):
    """The database cannot store a value that passed every check of ours; nothing was changed."""

    status = 400
    code = "invalid"
    message = (
        "The database cannot store a text or number of this request; nothing was changed. "
        "Leave out unusual characters, and shorten what is long."
    )


class OutcomeUnknown(Refusal):
    """The database was lost while it committed: perhaps all of it was done, perhaps nothing."""

    status = 503
    code = "outcome_unknown"
    message = (
        "The database was lost while it saved this: it may be done or not. Look before you repeat it; "
        "a request with an Idempotency-Key can simply be sent again."
    )
    retry_after = 2


def in_one_transaction(service: Callable, *, attempts: int = ATTEMPTS) -> Callable:
    """Runs a service in its own transaction, COMMIT included, and again if it certainly was not committed.

    Raises `Busy` after this many attempts or six seconds, `Unavailable` where the database is away or has kept it
    waiting, `OutcomeUnknown` where the COMMIT was not answered (only a unique key in the same transaction could make a
    repetition safe, and that is the caller's), `RuntimeError` inside another atomic block: a retry there would build on
    what the server has already thrown away. Errors are caught outside the block only: caught inside, Django would go on
    and commit the statements that follow.
    """

    @wraps(service)
    def run(*args, **kwargs):
        began = time.monotonic()
        for attempt in range(attempts):
            if attempt:
                if time.monotonic() - began > RETRY_SECONDS:
                    break
                time.sleep(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 (jitter)
            is_committing = False
            try:
                with transaction.atomic(durable=True):
                    answer = service(*args, **kwargs)
                    is_committing = True
                return answer
            except (DatabaseError, InterfaceError) as error:
                refusal = refusal_of(error, is_committing=is_committing)
                # The log has the reason.
                refusal.__cause__ = error
                has_waited = time.monotonic() - began > RETRY_SECONDS_WHEN_LOST
                if isinstance(refusal, Unavailable) and (has_waited or not outage.is_over()):
                    break
        raise refusal

    return run


def lock_name(database: str, what: str) -> str:
    """The name of a lock of the database server (GET_LOCK).

    All databases of a server share these names, so it includes the database's name. It may have 64 characters at most.
    """
    return sha256(f"{database} {what}".encode()).hexdigest()


def refuse_to_nest() -> None:
    """Raises `RuntimeError` inside an atomic block, for a service that another thread may carry out."""
    # A test may run inside an atomic block.
    if any(not block._from_testcase for block in connection.atomic_blocks):
        raise RuntimeError("A service that moves tickets is a transaction of its own; call it outside of others.")


def refusal_of(error: Exception, *, is_committing: bool) -> Refusal:
    """The refusal to raise if no further attempt succeeds. Raises errors that another attempt cannot mend."""
    if is_rolled_back(error):
        return Busy()
    was_lost = drop_if_lost(error)
    # SQLite checks a constraint at COMMIT. If it fails there, it is certain that nothing was committed.
    if is_committing and not isinstance(error, IntegrityError):
        raise OutcomeUnknown from error
    if was_lost:
        # The server rolls back a transaction that got no COMMIT.
        return Unavailable()
    raise error


def refusal_of_database(error: Exception) -> Refusal | None:
    """The refusal for a database error outside of `in_one_transaction`; None if the error is a fault of ours."""
    if is_rolled_back(error):
        refusal = Busy()
    elif is_value_refused(error):
        refusal = ValueRefused()
    # An `InternalError` is what the driver calls errors of the server's system, such as a full disk.
    elif isinstance(error, OperationalError | InterfaceError | InternalError):
        refusal = Unavailable("The database does not answer; try again shortly.")
    else:
        return None
    refusal.__cause__ = error
    return refusal


def is_value_refused(error: Exception) -> bool:
    return isinstance(error, DataError) or (isinstance(error, OperationalError) and code_of(error) in VALUE_REFUSED)


def is_rolled_back(error: Exception) -> bool:
    return isinstance(error, OperationalError) and (code_of(error) in ROLLED_BACK or SQLITE_LOCKED in str(error))


def delete_in_batches(queryset: QuerySet) -> int:
    """Deletes all rows in short transactions. Deleted rows stay deleted if a later one fails. Returns how many."""
    deleted = 0
    while ids := list(queryset.order_by("pk").values_list("pk", flat=True)[:ROWS_A_DELETION]):
        count, _ = queryset.model.objects.filter(pk__in=ids).delete()
        deleted += count
    return deleted
