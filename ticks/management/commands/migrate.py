"""Django's `migrate`. Only one runs at a time on a database, and it says when servers must be stopped."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from django.core.management import CommandError
from django.core.management.base import OutputWrapper
from django.core.management.commands import migrate
from django.db import Error, OperationalError, connections, transaction
from django.db.migrations.loader import MigrationLoader

from ticks.db.charset import refuse_other_charset
from ticks.db.migrations import describe_migrations, missing_migrations
from ticks.db.transactions import lock_name

# A large upgrade takes minutes; the hosts of a deployment that migrates on each of them wait for the first.
WAIT_SECONDS = 600
PAUSE_SECONDS = 0.2
WAITING_MESSAGE = "The database is held by another migrate, or a transaction on SQLite; waiting for its end."


class Command(migrate.Command):
    def execute(self, *args, **options):
        # The lock is around `execute` and not only `handle`, since some checks run between the two and query the
        # database. On SQLite, a locked database would look to them like an old one.
        if options.get("stdout"):
            self.stdout = OutputWrapper(options["stdout"])
        if options["plan"] or options["check_unapplied"]:
            return super().execute(*args, **options)
        with lock_migrations(connections[options["database"]], say=self.say):
            return super().execute(*args, **options)

    def handle(self, *args, **options):
        refuse_other_charset()
        loader = MigrationLoader(connections[options["database"]])
        # On a new database, without applied migrations, no server runs.
        if options["verbosity"] and loader.applied_migrations:
            stopping = [one for one in missing_migrations(loader) if not getattr(one, "runs_beside_server", False)]
            if stopping:
                self.say(f"No server may run during this upgrade, because of {describe_migrations(stopping)}.")
        super().handle(*args, **options)

    def say(self, sentence: str) -> None:
        self.stdout.write(sentence)
        self.stdout.flush()


@contextmanager
def lock_migrations(connection, *, say: Callable[[str], None]) -> Iterator[None]:
    take = take_transaction if connection.vendor == "sqlite" else take_name
    deadline = time.monotonic() + WAIT_SECONDS
    with ExitStack() as held:
        if not take(connection, held):
            say(WAITING_MESSAGE)
            while not take(connection, held):
                if time.monotonic() > deadline:
                    raise CommandError(
                        f"The database was held for {WAIT_SECONDS} s, and nothing was migrated; run `manage.py "
                        "migrate` again when the other one has ended."
                    )
                time.sleep(PAUSE_SECONDS)
        yield


def take_transaction(connection, held: ExitStack) -> bool:
    """SQLite rolls back changes of the schema too: an interrupted migrate has done nothing, and a second one waits."""
    with ExitStack() as taken:
        # The schema editor needs foreign keys off, and cannot turn them off within a transaction.
        taken.enter_context(connection.constraint_checks_disabled())
        try:
            taken.enter_context(transaction.atomic(using=connection.alias))
        except OperationalError as error:
            if "locked" not in str(error):
                raise
            return False
        held.enter_context(taken.pop_all())
        return True


def take_name(connection, held: ExitStack) -> bool:
    """A named lock of the database server (GET_LOCK), which ends with the connection that migrates.

    The other nodes of a cluster do not see it, so only one node of a cluster may migrate.
    """
    name = lock_name(connection.settings_dict["NAME"], "migrate")

    def release():
        if connection.connection is not None:
            with suppress(Error), connection.cursor() as cursor:
                cursor.execute("SELECT RELEASE_LOCK(%s)", [name])

    with connection.cursor() as cursor:
        cursor.execute("SELECT GET_LOCK(%s, 0)", [name])
        is_taken = cursor.fetchone() == (1,)
    if is_taken:
        held.callback(release)
    return is_taken
