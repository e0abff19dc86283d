"""Tools for migrations and upgrades: an operation that locks tables, and the migrations that a database has."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.core.management import CommandError
from django.db import connection, models
from django.db.migrations import Migration
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation

from ticks.db.charset import refuse_other_charset
from ticks.db.transactions import in_one_transaction
from ticks.formatting import plural
from ticks.search import search_text

# Applications that earlier versions had: their tables are gone, but django_migrations still names their migrations.
FORMER_APPS = {"sessions"}
# So many rows are locked for a few hundredths of a second.
ROWS_A_FILL = 500


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
    # The order is that of MySQL's manual. This is not in `atomic()`, where Django refuses to change the schema.
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


def fill_search_text(model: type[models.Model], columns: Sequence[str]) -> None:
    """Fills `search_text` of all rows from these columns, wherever it differs, and locks a few rows at a time."""
    # On SQLite the whole of `migrate` is one transaction.
    fill = fill_some if connection.in_atomic_block else in_one_transaction(fill_some)
    last: int | None = 0
    while last is not None:
        last = fill(model, columns, after=last)


def fill_some(model: type[models.Model], columns: Sequence[str], *, after: int) -> int | None:
    """Fills the rows after an id, and returns the last one's id; None if there are no more."""
    rows = list(model.objects.select_for_update().filter(pk__gt=after).order_by("pk")[:ROWS_A_FILL])
    different = []
    for row in rows:
        text = search_text(*(getattr(row, column) for column in columns))
        if row.search_text != text:
            row.search_text = text
            different.append(row)
    model.objects.bulk_update(different, ["search_text"])
    return rows[-1].pk if rows else None


def missing_migrations(loader: MigrationLoader) -> list[Migration]:
    """The migrations that the database lacks, in the order of `migrate`. Before or within an upgrade it lacks some."""
    graph = loader.graph
    nodes = dict.fromkeys(node for leaf in graph.leaf_nodes() for node in graph.forwards_plan(leaf))
    return [graph.nodes[node] for node in nodes if node not in loader.applied_migrations]


def unknown_migrations(loader: MigrationLoader) -> list[str]:
    """The migrations in the database that this version does not know, since a newer version has made them."""
    unknown = set(loader.applied_migrations) - set(loader.disk_migrations)
    return sorted(f"{app}.{name}" for app, name in unknown if app not in FORMER_APPS)


def refuse_newer_schema() -> None:
    """Raises `CommandError` if a newer version has migrated the database, since this one would not keep its additions
    up to date."""
    unknown = unknown_migrations(MigrationLoader(connection))
    if unknown:
        raise CommandError(
            f"The database is newer than this version of Ticks, which does not know {describe_migrations(unknown)}; "
            "use the version that migrated it, or restore the backup from before."
        )


def refuse_other_schema() -> None:
    """Raises `CommandError` if migrations are missing, since bookings would then be missing from the counts, and if the
    character set is another."""
    refuse_other_charset()
    refuse_newer_schema()
    missing = missing_migrations(MigrationLoader(connection))
    if missing:
        raise CommandError(
            f"The database is older than this version of Ticks, it lacks {describe_migrations(missing)}; "
            "stop every server, back the database up, and run `manage.py migrate`."
        )


def describe_migrations(migrations: Sequence[Migration | str]) -> str:
    first, *others = map(str, migrations)
    return f"{first} and {len(others)} more {plural(len(others), 'migration')}" if others else first
