"""While its database is away, this process refuses requests at once instead of waiting for each of them.

A database that takes no writes counts as away: it may be a primary that was demoted, whose place another has taken."""

import threading
import time
from contextlib import suppress

from django.db import DatabaseError, InterfaceError, ProgrammingError, connection

# These errors mean that the connection is lost or cannot be made: network, restart, KILL, cluster node not ready, or no
# connection left.
UNREACHABLE = {1040, 1047, 1053, 1927, 2002, 2003, 2006, 2013, 2055, 4031}
# These errors mean that the server takes no writes: `read_only` is on (1290), or InnoDB was started read-only (1836).
READ_ONLY = {1290, 1836}
LOST = UNREACHABLE | READ_ONLY
# This statement changes no row, and still fails if nothing may be written. It reads a table, since a node that has lost
# its cluster still answers statements that need none (1047). `/readyz` asks the same.
WRITE_PROBE = "UPDATE django_migrations SET app = app WHERE id = 0"
# If only one connection was lost, the first probe gets through in a few milliseconds.
FIRST_PROBE_SECONDS = 0.1
PAUSE_SECONDS = 0.2


class Outage:
    """An outage begins with the first lost connection, and ends when a probe gets through. The probe has its own
    thread.

    Without this class each request would wait for a time-out of its own. In a crowd, a server with few threads would
    answer the last request after a minute.
    """

    def __init__(self):
        self._is_over = threading.Event()
        self._is_over.set()
        # This is when connections were last found to lead to a database that is away or takes no writes, by the
        # monotonic clock. Connections that were opened before are not used again.
        self.stale_before = float("-inf")
        self._began = float("-inf")
        self._beginning = threading.Lock()
        self._prober: threading.Thread | None = None

    def is_over(self) -> bool:
        """Whether the database may be asked. If a probe has just begun, waits for it for a moment."""
        if self._is_over.is_set() or threading.current_thread() is self._prober:
            return True
        return self._is_over.wait(max(0, self._began + FIRST_PROBE_SECONDS - time.monotonic()))

    def begin(self, *, is_read_only: bool = False) -> None:
        with self._beginning:
            if is_read_only:
                self.stale_before = time.monotonic()
            if not self._is_over.is_set():
                return
            self._began = time.monotonic()
            self._is_over.clear()
            self._prober = threading.Thread(target=self._probe, name="outage-probe", daemon=True)
            try:
                self._prober.start()
            except RuntimeError:
                # No thread is available, so no probe would ever see the end of the outage.
                self._is_over.set()

    def _probe(self) -> None:
        while not database_answers():
            self.stale_before = time.monotonic()
            time.sleep(PAUSE_SECONDS)
        self._is_over.set()


outage = Outage()


def database_answers() -> bool:
    """Whether the database can be reached and takes writes."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(WRITE_PROBE)
    except Exception as error:
        # A database without tables is there. Whatever another error is, no request could be served.
        return isinstance(error, ProgrammingError)
    else:
        return True
    finally:
        with suppress(Exception):
            connection.close()


def drop_if_lost(error: Exception) -> bool:
    """Closes a lost connection, which would fail once more in the next request. Returns whether it was lost.

    This does not tell whether the last statement was carried out.
    """
    is_lost = isinstance(error, InterfaceError) or code_of(error) in LOST
    if is_lost:
        connection.close()
    return is_lost


def code_of(error: Exception) -> int | str | None:
    """The driver's number for a database error. SQLite has a text in its place."""
    return error.args[0] if isinstance(error, DatabaseError) and error.args else None
