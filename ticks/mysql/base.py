"""Django's MySQL backend, which waits neither for a database that is away nor to see if an idle connection lives."""

import select
from collections.abc import Sequence

from django.db import utils as errors
from django.db.backends.mysql import base
from django.db.backends.utils import debug_transaction
from django.db.utils import DatabaseErrorWrapper
from django.utils.functional import cached_property
from MySQLdb import OperationalError, connections

from ticks.outage import LOST, outage

CANNOT_CONNECT = 2002


class ErrorWrapper(DatabaseErrorWrapper):
    """Hears of a lost connection first: at the end of a transaction Django itself would connect anew, and wait."""

    def __exit__(self, kind, error, traceback):
        if error and error.args and error.args[0] in LOST:
            outage.begin()
        super().__exit__(kind, error, traceback)


class Connection(connections.Connection):
    """The driver's, which asks what kind a value is in an order of its own: a booking's two dozen values took longer
    to write into their statements than all else that Python does while the event is locked.
    """

    def literal(self, o):
        kind = type(o)
        if kind is str:
            return self.string_literal(o.encode(self.encoding))
        if o is None:
            return b"NULL"
        if kind is int:
            return b"%d" % o
        if isinstance(o, str):
            # A member of an enumeration, mostly.
            return self.string_literal(o.encode(self.encoding))
        return super().literal(o)


class DatabaseWrapper(base.DatabaseWrapper):
    # `auto_increment_increment`, once somebody asked.
    id_step: int | None = None

    @cached_property
    def wrap_database_errors(self):
        return ErrorWrapper(self)

    def get_new_connection(self, conn_params):
        if not outage.is_over():
            raise OperationalError(CANNOT_CONNECT, "The database was lost and is not back yet.")
        return Connection(**conn_params)

    def _start_transaction_under_autocommit(self):
        """Django's hook for BEGIN. Otherwise it turns autocommit off, and on again: a round trip more each time."""
        with debug_transaction(self, "BEGIN"), self.wrap_database_errors:
            self.connection.query(b"BEGIN")
            self.connection.store_result()

    def run_all(self, statements: Sequence[tuple[str, Sequence]]) -> list[Sequence[tuple]]:
        """Runs statements, each with its values, in one round trip; what each query among them found.

        Without cursors, whose wrappers take longer than a small statement itself; where somebody listens, with one.
        """
        text = "; ".join(statement for statement, _ in statements)
        values = [value for _, some in statements for value in some]
        run = self.run_by_cursor if self.queries_logged or self.execute_wrappers else self.run_by_driver
        try:
            return run(text, values)
        except errors.OperationalError as error:
            # As Django's cursor has it, but for the first statement alone.
            if error.args[0] in base.CursorWrapper.codes_for_integrityerror:
                raise errors.IntegrityError(*error.args) from error.__cause__
            raise

    def run_by_driver(self, text: str, values: Sequence) -> list[Sequence[tuple]]:
        self.validate_no_broken_transaction()
        self.ensure_connection()
        driver = self.connection
        found = []
        with self.wrap_database_errors:
            driver.query(text.encode(driver.encoding) % tuple(map(driver.literal, values)))
            is_more = True
            while is_more:
                result = driver.store_result()
                found += [] if result is None else [result.fetch_row(0)]
                # The next one's answer; its error is raised here.
                is_more = driver.next_result() == 0
        return found

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
        if self.errors_occurred:
            # After some the driver has closed its socket, whose number may be another's by now.
            return super().is_usable()
        # A healthy idle connection has nothing to say. One that the server has closed can be read from; a ping
        # of each connection before each request would cost a round trip, and hang where the server does.
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN | select.POLLPRI)
        return not poll.poll(0) or super().is_usable()
