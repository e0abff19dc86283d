"""One `migrate` at a time, and no server or command on a database of another version."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from ticks.db.migrations import describe_migrations
from ticks.management.commands import migrate
from ticks.tests.served import TIMEOUT_SECONDS, launch

OLDER = (
    "The database is older than this version of Ticks, it lacks events.0006_waitlisted_tickets_hold; "
    "stop every server, back the database up, and run `manage.py migrate`."
)
NEWER = (
    "The database is newer than this version of Ticks, which does not know bookings.9999_from_tomorrow; "
    "use the version that migrated it, or restore the backup from before."
)


def make_older():
    MigrationRecorder(connection).record_unapplied("events", "0006_waitlisted_tickets_hold")


def make_newer():
    MigrationRecorder(connection).record_applied("bookings", "9999_from_tomorrow")


def make_both():
    make_older()
    make_newer()


@pytest.fixture
def environment(database, tmp_path):
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("DB_", "DATABASE_"))}
    return ours | {
        "TICKS_ENV_FILE": "",
        **database,
        "LOG_DIR": str(tmp_path / "logs"),
        "LOCAL_DIR": str(tmp_path / ".local"),
    }


@contextmanager
def connection_to(database):
    """Django's connection leads to the database of `served`."""
    usual = connection.settings_dict["NAME"]
    name = database["DATABASE_URL"].partition("?")[0]
    name = name.removeprefix("sqlite:///") if connection.vendor == "sqlite" else name.rpartition("/")[2]
    connection.close()
    connection.settings_dict["NAME"] = name
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict["NAME"] = usual


def start_migrate(environment):
    return subprocess.Popen(
        [sys.executable, "manage.py", "migrate"],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("options", "change", "sentence"),
    [([], make_older, OLDER), ([], make_newer, NEWER), (["--prepare"], make_both, NEWER)],
)
def test_serve_refuses_a_database_of_another_version(database, environment, port, tmp_path, options, change, sentence):
    with connection_to(database):
        change()
        applied = set(MigrationRecorder(connection).applied_migrations())

    process = launch(tmp_path, environment | {"PORT": str(port)}, *options)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 1
    assert said == f"CommandError: {sentence}\n"
    with connection_to(database):
        assert set(MigrationRecorder(connection).applied_migrations()) == applied


@pytest.mark.django_db
@pytest.mark.parametrize("command", [["prune"], ["verify_inventory"], ["seed_demo"], ["rehearse", "1", "--yes"]])
@pytest.mark.parametrize(("change", "sentence"), [(make_older, OLDER), (make_newer, NEWER)])
def test_command_refuses_a_database_of_another_version(command, change, sentence):
    change()

    with pytest.raises(CommandError) as refusal:
        call_command(*command)

    assert str(refusal.value) == sentence


@pytest.mark.parametrize(
    ("count", "words"), [(1, "a.1"), (2, "a.1 and 1 more migration"), (3, "a.1 and 2 more migrations")]
)
def test_migrations_are_named_by_the_first_and_how_many_more(count, words):
    assert describe_migrations([f"a.{number + 1}" for number in range(count)]) == words


@pytest.mark.django_db
def test_notes_of_an_application_that_is_gone_are_no_newer_version():
    MigrationRecorder(connection).record_applied("sessions", "0001_initial")

    call_command("prune", stdout=StringIO())


@pytest.mark.django_db
@pytest.mark.parametrize("runs_beside_server", [True, False])
def test_plan_says_whether_servers_must_be_stopped(monkeypatch, runs_beside_server):
    [(app, name)] = MigrationLoader(connection).graph.leaf_nodes("bookings")
    migration = import_module(f"bookings.migrations.{name}").Migration
    monkeypatch.setattr(migration, "runs_beside_server", runs_beside_server, raising=False)
    MigrationRecorder(connection).record_unapplied(app, name)
    out = StringIO()

    call_command("migrate", plan=True, stdout=out)

    line = f"No server may run during this upgrade, because of {app}.{name}.\n"
    assert out.getvalue().startswith(line) == (not runs_beside_server)
    assert f"{app}.{name}\n" in out.getvalue()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("database", ["empty"], indirect=True)
def test_two_migrates_at_once_make_one_database(environment):
    both = [start_migrate(environment) for _ in range(2)]

    said = [process.communicate(timeout=2 * TIMEOUT_SECONDS)[0] for process in both]

    assert [process.returncode for process in both] == [0, 0]
    first, second = sorted(said, key=len, reverse=True)
    assert "  Applying bookings.0001_initial... OK\n" in first
    assert second.endswith("Running migrations:\n  No migrations to apply.\n")


@contextmanager
def held(database):
    """The database, as another migrate holds it."""
    with connection_to(database), migrate.lock_migrations(connection, say=pytest.fail):
        yield


@pytest.mark.django_db(transaction=True)
def test_migrate_waits_for_another_and_says_so(database, environment):
    with held(database):
        process = start_migrate(environment)
        line = process.stdout.readline()
        is_waiting = process.poll() is None

    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)
    assert line == "The database is held by another migrate, or a transaction on SQLite; waiting for its end.\n"
    assert is_waiting
    assert process.returncode == 0
    assert said.endswith("No migrations to apply.\n")


@pytest.mark.django_db(transaction=True)
def test_migrate_does_not_wait_for_ever(database, monkeypatch):
    monkeypatch.setattr(migrate, "WAIT_SECONDS", 1)

    def try_to_migrate():
        try:
            call_command("migrate", stdout=StringIO())
        finally:
            connection.close()

    # Another thread has a connection of its own.
    with held(database), ThreadPoolExecutor(1) as pool, pytest.raises(CommandError) as refusal:
        pool.submit(try_to_migrate).result()

    assert str(refusal.value) == (
        "The database was held for 1 s, and nothing was migrated; run `manage.py migrate` again when the other one "
        "has ended."
    )
