"""Django's MySQL backend. It waits neither for a database that is away nor to check an idle connection."""

import select
import time
from collections.abc import Sequence

from django.db import utils as errors
from django.db.backends.mysql import base
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from MySQLdb import OperationalError, connections

from ticks.db.mysql.schema import DatabaseSchemaEditor
from ticks.db.outage import LOST, READ_ONLY, outage

CANNOT_CONNECT = 2002
# The statements of `call_for_each` in bookings/services/idempotency.py and of `migrate` begin with these words.
NAMED_LOCK_STATEMENTS = (b"SELECT GET_LOCK(", b"SELECT RELEASE_LOCK(")


class ErrorWrapper(DatabaseErrorWrapper):
    """Notices a lost connection before Django does. At the end of a transaction Django would connect anew, and wait."""

    def __exit__(self, kind, error, traceback):
        if error and error.args and error.args[0] in LOST:
            outage.begin(is_read_only=error.args[0] in READ_ONLY)
        super().__exit__(kind, error, traceback)


class Connection(connections.Connection):
    """The driver's connection, without two costs that every booking would have.

    Django turns autocommit off to begin a transaction, and on again after it. Each takes a round trip. Here the change
    is sent with the next statement, and only if it is still needed: of several transactions in a row only the first
    sends it. A named lock is no part of a transaction, so a statement that only takes or releases one is sent without
    the change.

    The driver's own `literal` finds out slowly what type a value has: for a booking's two dozen values it took longer
    than everything else that Python does while the event is locked.
    """

    wants_autocommit = False

    def autocommit(self, on):
        self.wants_autocommit = on

    def query(self, query):
        if self.get_autocommit() != self.wants_autocommit and not query.startswith(NAMED_LOCK_STATEMENTS):
            super().autocommit(self.wants_autocommit)
        super().query(query)

    def literal(self, o):
        if isinstance(o, str):
            return self.string_literal(o)
        if o is None:
            return b"NULL"
        if type(o) is int:
            return b"%d" % o
        return super().literal(o)


class DatabaseWrapper(base.DatabaseWrapper):
    SchemaEditorClass = DatabaseSchemaEditor
    # This is `auto_increment_increment`, once it was read.
    id_step: int | None = None
    # This is when the connection was opened, by the monotonic clock.
    opened_at = float("-inf")

    @cached_property
    def wrap_database_errors(self):
        return ErrorWrapper(self)

    def get_new_connection(self, conn_params):
        if not outage.is_over():
            raise OperationalError(CANNOT_CONNECT, "The database was lost and is not back yet.")
        self.opened_at = time.monotonic()
        return Connection(**conn_params)

    def run_all(self, statements: Sequence[tuple[str, Sequence]]) -> list[Sequence[tuple]]:
        """Runs statements, each with its values, in one round trip. Returns the rows of each query among them.

        Several statements are one packet, so a transaction must have been begun as Django begins it, with autocommit
        off. A Galera node that aborts the transaction within the packet reports that only then. After a BEGIN under
        autocommit it takes the aborted statement for one of autocommit and retries it (`wsrep_retry_autocommit`). It
        reports no error, and commits the statements that remain in the packet one by one.

        It uses no cursor, since the wrappers take longer than a small statement. If execute wrappers or a query log are
        on, it uses one.
        """
        text = "; ".join(statement for statement, _ in statements)
        values = [value for _, some in statements for value in some]
        try:
            if self.queries_logged or self.execute_wrappers:
                return self.run_by_cursor(text, values)
            self.validate_no_broken_transaction()
            self.close_if_health_check_failed()
            self.ensure_connection()
            driver = self.connection
            found = []
            with self.wrap_database_errors:
                driver.query(text.encode(driver.encoding) % tuple(map(driver.literal, values)))
                is_more = True
                while is_more:
                    result = driver.store_result()
                    found += [] if result is None else [result.fetch_row(0)]
                    # This reads the answer to the next statement; the error of that statement is raised here.
                    is_more = driver.next_result() == 0
            return found
        except errors.OperationalError as error:
            # Django's cursor does the same, but only for the first statement.
            if error.args[0] in base.CursorWrapper.codes_for_integrityerror:
                raise errors.IntegrityError(*error.args) from error.__cause__
            raise

    def run_by_cursor(self, text: str, values: Sequence) -> list[Sequence[tuple]]:
        found = []
        with self.cursor() as cursor:
            cursor.execute(text, values)
            is_more = True
            while is_more:
                found += [cursor.fetchall()] if cursor.description else []
                is_more = cursor.nextset()
        return found

    def is_usable(self):
        if self.opened_at < outage.stale_before:
            # Its server may have been demoted since, and would then return old rows and refuse every write.
            return False
        if self.errors_occurred:
            # After some errors the driver has closed its socket, whose number may belong to another socket by now.
            return super().is_usable()
        # A healthy idle connection has nothing to read, but one that the server has closed can be read from. A ping
        # before each request would cost a round trip, and hang if the server hangs.
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLPRI)
        return not poll.poll(0) or super().is_usable()
