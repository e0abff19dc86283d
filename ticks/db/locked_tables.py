"""The operation of migrations that fill what running servers change."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation


class LockedTables(SeparateDatabaseAndState):
    """Carries out operations while nobody else can read or write these tables.

    MariaDB and MySQL cannot take back half a migration: it can be interrupted between any two statements, and
    a server can book, register or log in between any two. So these are the rules of Ticks' migrations:

    1. Statements that fill what servers change, and the constraints on it, stand together in one `LockedTables`.
       It names every table that they touch. If one of them is a table of bookings, it also names `events_event`,
       whose row each booking locks first. Then nothing is written between fill and constraint.
    2. A fill may run any number of times, and relies on nothing that an earlier run left.
    3. Other changes of the schema stand outside. `ticks.db.mysql.schema` lets them run again, except renames.

    Within the lock MySQL creates no table, and a statement may name each table once, without an alias. SQLite has
    nothing to lock: there the whole of `migrate` is one transaction.
    """

    # If it were true, `sqlmigrate` would carry out the fills instead of printing them.
    reduces_to_sql = False

    def __init__(self, tables: Sequence[str], operations: Sequence[Operation]):
        super().__init__(database_operations=operations, state_operations=operations)
        self.tables = tables

    @property
    def reversible(self):
        return all(operation.reversible for operation in self.database_operations)

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        with locked(schema_editor.connection, self.tables):
            super().database_forwards(app_label, schema_editor, from_state, to_state)

    def describe(self):
        inner = "; ".join(operation.describe() for operation in self.database_operations)
        return f"With {', '.join(self.tables)} locked: {inner}"


@contextmanager
def locked(connection, tables: Sequence[str]) -> Iterator[None]:
    if connection.vendor != "mysql":
        yield
        return
    # In the order that MySQL's manual gives. Not in `atomic()`, within which Django refuses to change the schema.
    connection.set_autocommit(False)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLES {', '.join(f'{table} WRITE' for table in tables)}")
            yield
            connection.commit()
            cursor.execute("UNLOCK TABLES")
    except BaseException:
        # This also releases the locks, and rolls back what is not committed.
        connection.close()
        raise
    connection.set_autocommit(True)
