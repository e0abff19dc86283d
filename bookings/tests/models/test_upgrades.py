"""`migrate` on databases of earlier versions: interrupted, repeated, and while their servers go on."""

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from hashlib import sha256

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import DatabaseError, connection, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RenameField, RenameIndex, RenameModel, RunPython
from django.db.migrations.recorder import MigrationRecorder
from django.test.utils import isolate_apps
from django.utils import timezone

from accounts.models import LoginName, LoginSession, User, login_key
from accounts.services import exchange
from bookings.models import Booking, LedgerEntry
from bookings.outbox import DeliveryPosition, Mail
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.notifications import events_with_news
from bookings.services.search import find_bookings
from bookings.services.verification import verify_events
from bookings.tests.mail_server import read_all, stored_mails
from bookings.tests.models.old_server import FULL, ROOMY, VERSIONS, database_of, old_server
from events.models import Event
from ticks.db.migrations import refuse_other_schema

pytestmark = pytest.mark.django_db(transaction=True)
LAST_FILL = ("events", "0006_waitlisted_tickets_hold")
ACCOUNTS_FILL = ("accounts", "0003_hashed_sessions_and_login_names")
# None of these changes anything. An interruption inside Django's own BEGIN would leave it without its END.
HARMLESS = ("SELECT", "SHOW", "SET", "PRAGMA", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")
BUSINESS = ("accounts_user", "events_event", "bookings_booking", "bookings_ledgerentry")
# Each run makes these anew, so their ids differ.
DERIVED = ("bookings_linepart", "bookings_saleshour")
# No upgrade has as many statements.
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
            # The statements after an interruption are Django's, which cleans up.
            if not (is_interrupted or sql.lstrip().startswith(HARMLESS)) and is_due(sql):
                is_interrupted = True
                raise Interrupted(sql)

    with connection.execute_wrapper(wrapper):
        yield


def migrate_with_interruptions(on_interruption=lambda: None, *, is_last=lambda: False):
    """Runs `migrate` again and again, each time one statement further. Returns how often it was interrupted.

    After an interruption where `is_last()`, it runs to its end.
    """
    seen = set()

    for times in range(MANY):
        run = Counter()

        def is_new(sql, run=run):
            if sql.startswith("INSERT INTO `django_migrations`"):
                # The next migration may have the same statements.
                seen.clear()
                return True
            # An INSERT has more values when the server has written more since the last run.
            beginning = sql[:80]
            run[beginning] += 1
            was_seen = (beginning, run[beginning]) in seen
            seen.add((beginning, run[beginning]))
            return not was_seen

        try:
            with interruption_after(is_new):
                call_command("migrate", verbosity=0)
        except Interrupted:
            if is_last():
                call_command("migrate", verbosity=0)
                return times + 1
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
            definitions[table] = sorted(re.sub(r" AUTO_INCREMENT=\d+|,$", "", line) for line in lines)
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


def is_applied(migration):
    return migration in MigrationRecorder(connection).applied_migrations()


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
    with database_of("first", tmp_path), old_server("first") as server:

        def go_on_booking():
            for event in (ROOMY, FULL):
                with suppress(DatabaseError):
                    server.book(event)

        # No migration can see what is booked after the last fill. So the servers must be stopped, and the rest is
        # interrupted by the test above.
        migrate_with_interruptions(go_on_booking, is_last=partial(is_applied, LAST_FILL))

        refuse_other_schema()
        assert findings() == [[], []]
        assert Booking.objects.count() == 6 + server.booked
        assert server.booked > 50


@pytest.mark.parametrize("version", VERSIONS)
def test_half_an_upgrade_is_finished_whatever_the_old_server_booked_on_it(version, tmp_path):
    with database_of(version, tmp_path):
        # `events` 0006 is not among what `bookings` needs.
        call_command("migrate", "bookings", verbosity=0)
        with old_server(version) as server:
            server.book(ROOMY)
            with suppress(DatabaseError):
                server.book(FULL)

        call_command("migrate", verbosity=0)

        refuse_other_schema()
        assert findings() == [[], []]
        assert Booking.objects.count() == 6 + server.booked


def test_what_an_old_server_booked_after_the_upgrade_is_counted_by_going_back_a_step(tmp_path):
    with database_of("second", tmp_path), old_server("second") as server:
        call_command("migrate", verbosity=0)
        server.book(ROOMY)
        server.book(FULL)
        assert all(findings())

        # docs/operating.md describes it like this.
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
            with old_server(version) as server:
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
        # The upgrades from the later versions are short.
        assert booked > (10 if version in ("third", "fourth") else 50)
        assert Booking.objects.count() == 6 + booked
        assert LedgerEntry.objects.count() == 8 + booked
        with pytest.raises(DatabaseError, match="event_waiting_want_tickets"), old_server(version) as server:
            server.run("UPDATE events_event SET waitlisted_tickets = 0 WHERE waitlisted_count > 0")


def test_server_of_the_version_before_goes_on_beside_the_new_one(tmp_path):
    with database_of("fourth", tmp_path), old_server("fourth") as server:
        server.register()
        server.log_in()
        [login] = server.refresh_ids
        call_command("migrate", verbosity=0)

        server.book(ROOMY)
        server.book(FULL)
        server.register()
        server.refresh(login)

        assert findings() == [[], []]
        newest = Booking.objects.order_by("pk")[6:]
        assert [booking.search_text for booking in newest] == [None, None]
        assert set(find_bookings(Booking.objects.all(), "a b example.org")) == set(Booking.objects.all())
        # Both take over what the other has written.
        [event] = Event.objects.filter(pk=ROOMY)
        request = BookingRequest(event.pk, 2, "Ada", "Lovelace", "ada@example.org", language="de")
        receipt = book_tickets(request, key="a key")
        answered, position = server.replay(request.key_digest("a key"))
        assert (answered.pk, answered.email, position) == (receipt.booking.pk, "ada@example.org", None)
        server.book(ROOMY)
        assert cancel_tickets(receipt.booking).booking.status == "cancelled"
        user = User.objects.get(login_sessions=login)
        LoginSession.objects.update(
            expires_at=timezone.now() + timedelta(hours=1), auth_hash=user.get_session_auth_hash()
        )
        assert exchange(login, server.refresh_ids[login], "renewed", lifetime=timedelta(hours=1))
        server.refresh_ids[login] = "renewed"
        server.refresh(login)
        assert (list(server.refresh_ids), findings()) == ([login], [[], []])


def test_upgrade_mails_nothing_of_the_past_and_all_that_comes(tmp_path, mails_on):
    with database_of("fourth", tmp_path):
        call_command("migrate", verbosity=0)

        assert events_with_news() == {}
        positions = DeliveryPosition.objects.order_by("pk").values_list("pk", "sequence", "known_values__name")
        expected = Event.objects.order_by("pk").values_list("pk", "ledger_sequence", "name")
        assert list(positions) == list(expected)
        # A migration that was interrupted after its fill runs it again.
        [fill] = [one for one in migration("0013_mails").operations if isinstance(one, RunPython)]
        fill.code(MigrationLoader(connection).project_state(("bookings", "0013_mails")).apps, None)
        read_all()
        assert not Mail.objects.exists()
        receipt = book_tickets(BookingRequest(ROOMY, 2, "Ada", "Lovelace", "ada@example.org"))
        read_all()

        assert stored_mails() == [(receipt.booking.pk, "ada@example.org", ["booked"])]


@pytest.mark.parametrize("usual", ["UTC", "Europe/Berlin"])
def test_upgrade_gives_events_the_usual_zone_and_mails_nothing_of_it(tmp_path, mails_on, settings, usual):
    settings.EVENT_TIME_ZONE = usual
    with database_of("fourth", tmp_path):
        call_command("migrate", verbosity=0)

        assert set(Event.objects.values_list("time_zone", flat=True)) == {usual}
        told = DeliveryPosition.objects.values_list("known_values__time_zone", flat=True)
        assert list(told) == [usual, usual]
        # A server of the version before names no zone.
        with old_server("fourth") as server:
            server.run(
                "INSERT INTO events_event (name, description, venue, waitlist_enabled, waitlist_policy, total_tickets,"
                " available_tickets, booking_count, completed_count, waitlisted_count, waitlisted_tickets,"
                " ledger_sequence, version, created_by_id, created_at, updated_at)"
                " SELECT 'Older', '', '', waitlist_enabled, waitlist_policy, 5, 5, 0, 0, 0, 0, 1, 1, created_by_id,"
                " created_at, updated_at FROM events_event WHERE id = %s",
                ROOMY,
            )
        assert Event.objects.get(name="Older").time_zone == "UTC"


def migration(name):
    return MigrationLoader(None).disk_migrations["bookings", name]


def without_login_names(names):
    """The login names among these usernames and their emails that are not reserved."""
    users = dict(User.objects.values_list("username", "pk"))
    keys = [(login_key(name), users[username]) for username in names for name in (username, f"{username}@example.org")]
    return set(keys) - set(LoginName.objects.values_list("key", "user"))


@contextmanager
def on_statement(beginning, act):
    """Calls `act` before the first statement that begins so."""
    is_done = False

    def wrapper(execute, sql, params, many, context):
        nonlocal is_done
        if not is_done and sql.startswith(beginning):
            is_done = True
            act()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield


@pytest.mark.mariadb
def test_migrate_comes_to_its_end_while_the_old_server_registers_and_logs_in(tmp_path):
    stop = threading.Event()
    is_busy = threading.Event()
    servers = []

    def use():
        try:
            with old_server("third") as server:
                servers.append(server)
                for _ in range(5000):
                    if stop.is_set():
                        break
                    with suppress(DatabaseError):
                        server.register()
                        server.log_in()
                        for login in list(server.refresh_ids)[-2:]:
                            server.refresh(login)
                    if len(server.registered) > 20:
                        is_busy.set()
        finally:
            connection.close()

    with database_of("third", tmp_path):
        before_lock, logins_before = [], {}

        def remember():
            for server in servers:
                before_lock.extend(server.registered)
                # The last ones may be refreshed before the lock is taken.
                logins_before.update(list(server.refresh_ids.items())[:-3])

        threads = [threading.Thread(target=use) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            assert is_busy.wait(30)
            with on_statement("LOCK TABLES accounts_user", remember):
                call_command("migrate", verbosity=0)
        finally:
            stop.set()
            for thread in threads:
                thread.join()

        refuse_other_schema()
        assert len(before_lock) > 20
        assert without_login_names(before_lock) == set()
        stored = dict(LoginSession.objects.values_list("pk", "refresh_hash"))
        plain = {login: identity for server in servers for login, identity in server.refresh_ids.items()}
        assert stored.keys() == plain.keys()
        hashed = {login for login in stored if stored[login] != plain[login]}
        assert hashed >= logins_before.keys()
        assert [login for login in hashed if stored[login] != sha256(plain[login].encode()).hexdigest()] == []


@pytest.mark.mariadb
@pytest.mark.parametrize("beginning", ["INSERT IGNORE INTO `accounts_loginname`", "UPDATE `accounts_loginsession`"])
def test_nobody_registers_or_logs_in_between_fill_and_end(beginning, tmp_path):
    refusals = []

    def try_all():
        for use in (server.register, server.log_in, lambda: server.refresh(login)):
            with pytest.raises(DatabaseError) as refusal:
                use()
            refusals.append(refusal.value.args[0])

    with database_of("third", tmp_path), old_server("third") as server:
        server.run("SET SESSION lock_wait_timeout = 1")
        server.register()
        server.log_in()
        [login] = server.refresh_ids
        with on_statement(beginning, try_all):
            call_command("migrate", verbosity=0)

        # Lock wait timeout exceeded.
        assert refusals == [1205] * 3
        assert without_login_names(User.objects.exclude(email=None).values_list("username", flat=True)) == set()
        [stored] = LoginSession.objects.values_list("refresh_hash", flat=True)
        assert stored == sha256(server.refresh_ids[login].encode()).hexdigest()


@pytest.mark.mariadb
def test_migrate_interrupted_while_the_old_server_registers_comes_to_the_same_end(tmp_path):
    with database_of("third", tmp_path):
        call_command("migrate", verbosity=0)
        expected = schema()

    with database_of("third", tmp_path), old_server("third") as server:

        def use():
            server.register()
            server.log_in()

        use()
        times = migrate_with_interruptions(use, is_last=partial(is_applied, ACCOUNTS_FILL))

        assert times > 10
        assert schema() == expected
        assert len(server.registered) > 10
        assert without_login_names(server.registered) == set()
        assert dict(LoginSession.objects.values_list("pk", "refresh_hash")) == {
            login: sha256(plain.encode()).hexdigest() for login, plain in server.refresh_ids.items()
        }


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


@pytest.fixture
def half_made():
    """A model, whose table has some of its columns and its key already, as somebody else would have made them."""
    with isolate_apps("bookings"):

        class Half(models.Model):  # noqa: DJ008
            name = models.CharField(max_length=9)
            note = models.CharField(max_length=9, default="")
            size = models.IntegerField(default=0)
            is_new = models.BooleanField(default=False)

            class Meta:
                app_label = "bookings"
                constraints = [models.UniqueConstraint(fields=["name"], name="half_unique")]

        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE bookings_half (id bigint PRIMARY KEY, size int NOT NULL, name varchar(8) NOT NULL,"
                " note varchar(9) NOT NULL, is_new bool NOT NULL, UNIQUE KEY half_unique (size, name))"
            )
        try:
            yield Half
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP TABLE bookings_half")


@pytest.mark.mariadb
@pytest.mark.parametrize("column", ["note", "size", "is_new"])
def test_column_that_is_there_already_is_passed_over_with_a_warning(half_made, column, caplog):
    with connection.schema_editor() as editor:
        editor.add_field(half_made, half_made._meta.get_field(column))

    [message] = passed_over(caplog)
    assert f"ALTER TABLE `bookings_half` ADD COLUMN `{column}`" in message
    assert "Duplicate column name" in message


@pytest.mark.mariadb
def test_key_that_is_there_already_is_passed_over_with_a_warning_that_names_its_columns(half_made, caplog):
    [key] = half_made._meta.constraints

    with connection.schema_editor() as editor:
        editor.add_constraint(half_made, key)
        editor.remove_constraint(half_made, key)

    assert passed_over(caplog) == [
        "Passed over as done already, make sure that it is the same:"
        f" {change} (a constraint of this name is there, on size, name)"
        for change in ("ADD CONSTRAINT half_unique to bookings_half", "DROP CONSTRAINT half_unique of bookings_half")
    ]


@pytest.mark.mariadb
def test_migrate_that_nothing_interrupted_passes_over_nothing(tmp_path, caplog):
    with database_of("first", tmp_path):
        call_command("migrate", verbosity=0)

    assert passed_over(caplog) == []


def passed_over(caplog):
    return [message for message in caplog.messages if message.startswith("Passed over")]


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
