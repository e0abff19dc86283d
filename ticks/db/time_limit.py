"""A limit to what one statement may take, where the database can set one."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.db import DatabaseError, connection

# MariaDB's and MySQL's "interrupted, it took too long".
INTERRUPTED = {1969, 3024}


class TookTooLong(Exception):
    pass


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends a SELECT that takes longer in the database itself. Raises `TookTooLong`.

    Without, the driver's time-out ends only the waiting, and takes a slow statement for a lost database.
    SQLite has no such limit.
    """
    if connection.vendor != "mysql":
        yield
        return
    limit, value = "max_statement_time", f"{seconds:.6f}"
    if not connection.mysql_is_mariadb:
        limit, value = "max_execution_time", f"{seconds * 1000:.0f}"
    with connection.cursor() as cursor:
        cursor.execute(f"SET SESSION {limit} = {value}")
    try:
        yield
    except DatabaseError as error:
        if error.args[0] in INTERRUPTED:
            raise TookTooLong from error
        raise
    finally:
        # A connection that cannot be told is lost, and goes.
        with suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute(f"SET SESSION {limit} = DEFAULT")
