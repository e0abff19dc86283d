"""`migrate` on databases of earlier versions: interrupted, repeated, and while their servers go on booking."""

import os
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RenameField, RenameIndex, RenameModel
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import isolate_apps

from bookings.models import Booking, LedgerEntry
from bookings.services.verification import verify_events
from bookings.tests.old_server import FULL, ROOMY, VERSIONS, OldServer, database_of
from ticks.upgrades import refuse_other_schema

pytestmark = pytest.mark.django_db(transaction=True)
LAST_FILL = ("events", "0006_waitlisted_tickets_hold")
# Not one of these changes anything; and an interruption within Django's own BEGIN would leave it without its END.
HARMLESS = ("SELECT", "SHOW", "SET", "PRAGMA", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")
BUSINESS = ("accounts_user", "events_event", "bookings_booking", "bookings_ledgerentry")
# Made anew by each run, so their ids say nothing.
DERIVED = ("bookings_linepart", "bookings_saleshour")
# More than any upgrade has statements.
MANY = 400


class Interrupted(Exception):
    pass


@contextmanager
def interruption_after(is_due):
    """Raises `Interrupted` once, after a statement where `is_due(statement)`."""
    is_interrupted = False

    def wrapper(execute, sql, params, many, context):
        nonlocal is_interrupted
        try:
            return execute(sql, params, many, context)
        finally:
            # What follows is Django's clearing up.
            if not (is_interrupted or sql.lstrip().startswith(HARMLESS)) and is_due(sql):
                is_interrupted = True
                raise Interrupted(sql)

    with connection.execute_wrapper(wrapper):
        yield


def migrate_with_interruptions(on_interruption=lambda: None):
    """Runs `migrate` again and again, each time one statement further; how many times it was interrupted."""
    seen = set()

    for times in range(MANY):
        run = Counter()

        def is_new(sql, run=run):
            if sql.startswith("INSERT INTO `django_migrations`"):
                # The next migration may have the same statements.
                seen.clear()
                return True
            run[sql] += 1
            was_seen = (sql, run[sql]) in seen
            seen.add((sql, run[sql]))
            return not was_seen

        try:
            with interruption_after(is_new):
                call_command("migrate", verbosity=0)
        except Interrupted:
            on_interruption()
        else:
            return times
    raise AssertionError("migrate did not come to its end")


def schema():
    """The definition of each table, its lines sorted: a key that was made again stands elsewhere."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master ORDER BY name")
            return cursor.fetchall()
        definitions = {}
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SHOW CREATE TABLE {table}")
            lines = cursor.fetchone()[1].splitlines()
            definitions[table] = sorted(line.partition(" AUTO_INCREMENT=")[0].rstrip(",") for line in lines)
        return definitions


def rows():
    found = {}
    with connection.cursor() as cursor:
        for table in (*BUSINESS, *DERIVED):
            columns = [column.name for column in connection.introspection.get_table_description(cursor, table)]
            kept = ", ".join(sorted(set(columns) - ({"id"} if table in DERIVED else set())))
            cursor.execute(f"SELECT {kept} FROM {table}")
            found[table] = sorted(cursor.fetchall(), key=str)
    return found


def findings():
    return [report.findings for report in verify_events()]


def is_filled():
    return LAST_FILL in MigrationRecorder(connection).applied_migrations()


@pytest.mark.mariadb
def test_migrate_interrupted_after_every_statement_comes_to_the_same_end(tmp_path):
    with database_of("first", tmp_path):
        call_command("migrate", verbosity=0)
        expected = schema(), rows()

    with database_of("first", tmp_path):
        times = migrate_with_interruptions()

        assert times > 50
        assert (schema(), rows()) == expected
        assert findings() == [[], []]


@pytest.mark.mariadb
def test_migrate_interrupted_while_the_old_server_books_counts_all_of_it(tmp_path):
    with database_of("first", tmp_path), OldServer("first") as server:

        def go_on_booking():
            # What is booked after the last fill no migration can see: the servers must be stopped.
            if not is_filled():
                for event in (ROOMY, FULL):
                    with suppress(DatabaseError):
                        server.book(event)

        migrate_with_interruptions(go_on_booking)

        refuse_other_schema()
        assert findings() == [[], []]
        assert Booking.objects.count() == 6 + server.booked
        assert server.booked > 50


@pytest.mark.parametrize("version", VERSIONS)
def test_half_an_upgrade_is_finished_whatever_the_old_server_booked_on_it(version, tmp_path):
    with database_of(version, tmp_path):
        # `events` 0006 is not among what `bookings` needs.
        call_command("migrate", "bookings", verbosity=0)
        with OldServer(version) as server:
            server.book(ROOMY)
            with suppress(DatabaseError):
                server.book(FULL)

        call_command("migrate", verbosity=0)

        refuse_other_schema()
        assert findings() == [[], []]
        assert Booking.objects.count() == 6 + server.booked


def test_what_an_old_server_booked_after_the_upgrade_is_counted_by_going_back_a_step(tmp_path):
    with database_of("second", tmp_path), OldServer("second") as server:
        call_command("migrate", verbosity=0)
        server.book(ROOMY)
        server.book(FULL)
        assert all(findings())

        # As the README has it.
        call_command("migrate", "events", "0005", verbosity=0)
        call_command("migrate", verbosity=0)

        refuse_other_schema()
        assert findings() == [[], []]
        assert Booking.objects.count() == 8


@pytest.mark.mariadb
@pytest.mark.parametrize("version", VERSIONS)
def test_migrate_comes_to_its_end_while_the_old_server_books(version, tmp_path):
    stop = threading.Event()
    servers = []

    def book():
        try:
            with OldServer(version) as server:
                servers.append(server)
                for number in range(5000):
                    if stop.is_set():
                        break
                    with suppress(DatabaseError):
                        server.book((ROOMY, FULL)[number % 2])
        finally:
            connection.close()

    with database_of(version, tmp_path):
        threads = [threading.Thread(target=book) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            call_command("migrate", verbosity=0)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

        refuse_other_schema()
        booked = sum(server.booked for server in servers)
        assert booked > 50
        assert Booking.objects.count() == 6 + booked
        assert LedgerEntry.objects.count() == 8 + booked
        with pytest.raises(DatabaseError, match="event_waiting_want_tickets"), OldServer(version) as server:
            server.run("UPDATE events_event SET waitlisted_tickets = 0 WHERE waitlisted_count > 0")


# Ends `migrate` as kill -9 does, before it notes as done the migration of this number.
KILLED_BEFORE_NOTE = """
import os, sys, django
django.setup()
from django.core.management import call_command
from django.db import connection
left = int(sys.argv[1])
def wrapper(execute, sql, params, many, context):
    global left
    left -= sql.startswith('INSERT INTO "django_migrations"')
    if not left:
        os._exit(9)
    return execute(sql, params, many, context)
with connection.execute_wrapper(wrapper):
    call_command("migrate")
"""


@pytest.mark.embedded
def test_migrate_killed_on_sqlite_has_changed_nothing(tmp_path):
    with database_of("first", tmp_path):
        before = schema()
        environment = os.environ | {
            "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}",
            "DJANGO_SETTINGS_MODULE": "ticks.settings",
        }
        for number in ("1", "4", "7"):
            killed = subprocess.run(
                [sys.executable, "-c", KILLED_BEFORE_NOTE, number],
                cwd=settings.BASE_DIR, env=environment, capture_output=True, timeout=60,
            )  # fmt: skip
            assert killed.returncode == 9
            assert schema() == before

        call_command("migrate", verbosity=0)

        refuse_other_schema()
        assert findings() == [[], []]


@pytest.mark.mariadb
@isolate_apps("bookings")
def test_table_of_somebody_else_is_not_taken_for_one_of_an_interrupted_migrate():
    class Stranger(models.Model):  # noqa: DJ008
        name = models.CharField(max_length=9)
        size = models.IntegerField()

        class Meta:
            app_label = "bookings"

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bookings_stranger (id bigint PRIMARY KEY, size int)")
    try:
        with pytest.raises(DatabaseError) as refusal, connection.schema_editor() as editor:
            editor.create_model(Stranger)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE bookings_stranger")

    assert str(refusal.value) == "There is a table bookings_stranger already, without name: it is not Ticks'."


@pytest.mark.embedded
def test_no_migration_renames_in_the_database():
    renames = (RenameField, RenameIndex, RenameModel)

    operations = [
        inner
        for (app, _), migration in MigrationLoader(None).disk_migrations.items()
        if app in {"ticks", "accounts", "events", "bookings"}
        for operation in migration.operations
        for inner in (operation, *getattr(operation, "database_operations", ()))
    ]

    assert len(operations) > 50
    assert [operation for operation in operations if isinstance(operation, renames)] == []


@pytest.mark.embedded
def test_migration_that_locks_is_printed_without_being_carried_out(tmp_path, capsys):
    with database_of("second", tmp_path):
        call_command("migrate", "bookings", "0005", verbosity=0)
        before = rows()

        call_command("sqlmigrate", "bookings", "0006")

        assert rows() == before
        assert "THIS OPERATION CANNOT BE WRITTEN AS SQL" in capsys.readouterr().out
