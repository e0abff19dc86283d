"""Django's `migrate`. Only one runs at a time on a database, and it says when servers must be stopped."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256

from django.core.management import CommandError
from django.core.management.base import OutputWrapper
from django.core.management.commands import migrate
from django.db import Error, OperationalError, connections, transaction
from django.db.migrations.loader import MigrationLoader

from ticks.db.migrations import missing_migrations, shortened

# A large upgrade takes minutes; the hosts of a deployment that migrates on each of them wait for the first.
WAIT_SECONDS = 600
PAUSE_SECONDS = 0.2


class Command(migrate.Command):
    def execute(self, *args, **options):
        # The lock is around `execute` and not only `handle`, since some checks run between the two and query the
        # database. On SQLite, a locked database would look to them like an old one.
        if options.get("stdout"):
            self.stdout = OutputWrapper(options["stdout"])
        connection = connections[options["database"]]
        if options["plan"] or options["check_unapplied"]:
            return super().execute(*args, **options)
        one_at_a_time = in_one_transaction if connection.vendor == "sqlite" else under_a_name
        with one_at_a_time(connection, on_wait=self.say_waiting):
            return super().execute(*args, **options)

    def handle(self, *args, **options):
        if options["verbosity"]:
            self.say_what_must_stop(connections[options["database"]])
        super().handle(*args, **options)

    def say_waiting(self):
        self.stdout.write("The database is held by another migrate, or a transaction on SQLite; waiting for its end.")
        self.stdout.flush()

    def say_what_must_stop(self, connection):
        loader = MigrationLoader(connection)
        if not loader.applied_migrations:
            # The database is new, so no server runs on it.
            return
        stopping = [one for one in missing_migrations(loader) if not getattr(one, "runs_beside_server", False)]
        if stopping:
            self.stdout.write(f"No server may run during this upgrade, because of {shortened(stopping)}.")
            self.stdout.flush()


@contextmanager
def in_one_transaction(connection, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """SQLite rolls back changes of the schema too: an interrupted migrate has done nothing, and a second one waits."""
    with ExitStack() as stack:
        # The schema editor needs foreign keys off, and cannot turn them off within a transaction.
        stack.enter_context(connection.constraint_checks_disabled())
        deadline = time.monotonic() + WAIT_SECONDS
        is_waiting = False
        while True:
            try:
                stack.enter_context(transaction.atomic(using=connection.alias))
            except OperationalError as error:
                if "locked" not in str(error):
                    raise
                if time.monotonic() > deadline:
                    raise waited_too_long() from error
            else:
                break
            if not is_waiting:
                on_wait()
            is_waiting = True
            time.sleep(PAUSE_SECONDS)
        yield


@contextmanager
def under_a_name(connection, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """Holds a named lock of the database server (GET_LOCK), which ends with the connection that migrates.

    The other nodes of a cluster do not see it, so only one node of a cluster may migrate.
    """
    # Lock names are shared by all databases of the server, so they include the database's name. They have at most 64
    # characters.
    name = sha256(f"{connection.settings_dict['NAME']} migrate".encode()).hexdigest()

    def ask(statement: str, *values) -> int | None:
        with connection.cursor() as cursor:
            cursor.execute(statement, [name, *values])
            return cursor.fetchone()[0]

    if not ask("SELECT GET_LOCK(%s, 0)"):
        on_wait()
        if not ask("SELECT GET_LOCK(%s, %s)", WAIT_SECONDS):
            raise waited_too_long()
    try:
        yield
    finally:
        if connection.connection is not None:
            with suppress(Error):
                ask("SELECT RELEASE_LOCK(%s)")


def waited_too_long() -> CommandError:
    return CommandError(
        f"The database was held for {WAIT_SECONDS} s, and nothing was migrated; run `manage.py migrate` again when "
        "the other one has ended."
    )
