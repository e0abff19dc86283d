"""Only a database in utf8mb4 is served: another takes all migrations, and then fails at the first name like Žofia."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection

from ticks.db.charset import refuse_other_charset
from ticks.tests.db.test_migrate import connection_to
from ticks.tests.db.test_migrate import environment as environment
from ticks.tests.served import DATABASE, TIMEOUT_SECONDS, launch

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db(transaction=True)]

BEGINNING = (
    "The database is not in utf8mb4, so it cannot store every name; stop every server, back the database up, and run "
    "in it: "
)


def refusal():
    with pytest.raises(CommandError) as raised:
        refuse_other_charset()
    return str(raised.value)


def carry_out(sentence):
    """Runs the statements that the sentence tells people to run."""
    with connection.cursor() as cursor:
        for statement in sentence.removeprefix(BEGINNING).split(";")[:-1]:
            cursor.execute(statement)


def columns():
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, column_name, column_type, character_set_name, collation_name, is_nullable,"
            " column_default FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND character_set_name IS NOT NULL ORDER BY table_name, column_name"
        )
        return [row for row in cursor.fetchall() if row[0] != "of_somebody_else"]


@pytest.mark.parametrize("database", ["empty"], indirect=True)
@pytest.mark.parametrize("charset", ["latin1", "utf8mb3"])
def test_database_in_another_charset_is_refused_with_the_statement_that_mends_it(database, charset):
    with connection_to(database):
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {DATABASE} CHARACTER SET {charset}")

        for command in ("migrate", "seed_demo"):
            with pytest.raises(CommandError) as raised:
                call_command(command, verbosity=0)
            assert str(raised.value) == f"{BEGINNING}ALTER DATABASE `{DATABASE}` CHARACTER SET utf8mb4;"
        assert connection.introspection.table_names() == []
        carry_out(str(raised.value))
        call_command("migrate", verbosity=0)

        refuse_other_charset()
        get_user_model().objects.create_user("zofia", None, None, first_name="Žofia 😀")
        assert get_user_model().objects.get().first_name == "Žofia 😀"


@pytest.mark.parametrize("database", ["empty"], indirect=True)
@pytest.mark.parametrize("options", [[], ["--prepare"]])
def test_serve_refuses_another_charset(database, environment, port, tmp_path, options):
    with connection_to(database), connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {DATABASE} CHARACTER SET latin1")

    process = launch(tmp_path, environment | {"PORT": str(port)}, *options)
    said, _ = process.communicate(timeout=TIMEOUT_SECONDS)

    assert process.returncode == 1
    assert said == f"CommandError: {BEGINNING}ALTER DATABASE `{DATABASE}` CHARACTER SET utf8mb4;\n"


def test_tables_of_an_older_installation_are_named_with_their_columns(database):
    with connection_to(database):
        before = columns()
        with connection.cursor() as cursor:
            cursor.execute(
                "ALTER TABLE bookings_booking DEFAULT CHARACTER SET latin1,"
                " MODIFY first_name varchar(150) CHARACTER SET latin1 NOT NULL"
            )
            cursor.execute(
                "ALTER TABLE bookings_ledgerentry MODIFY note varchar(1000) CHARACTER SET utf8mb3 NOT NULL DEFAULT ''"
            )
            cursor.execute("ALTER TABLE events_event DEFAULT CHARACTER SET latin1")
            cursor.execute("CREATE TABLE of_somebody_else (name varchar(9)) CHARACTER SET latin1")

        sentence = refusal()

        assert sentence == (
            f"{BEGINNING}"
            "ALTER TABLE `bookings_booking` DEFAULT CHARACTER SET utf8mb4,"
            " MODIFY `first_name` varchar(150) CHARACTER SET utf8mb4 NOT NULL; "
            "ALTER TABLE `bookings_ledgerentry` DEFAULT CHARACTER SET utf8mb4,"
            " MODIFY `note` varchar(1000) CHARACTER SET utf8mb4 NOT NULL DEFAULT ''; "
            "ALTER TABLE `events_event` DEFAULT CHARACTER SET utf8mb4;"
        )
        carry_out(sentence)
        refuse_other_charset()
        assert [row for row in columns() if row[0] != "of_somebody_else"] == before


def test_every_text_of_a_database_in_latin1_is_converted(database):
    """It is as an installation that was made in such a database: only the exact columns are in utf8mb4."""
    with connection_to(database):
        before = columns()
        inexact = [row for row in before if not re.search("_bin$", row[4])]
        with connection.cursor() as cursor:
            for table, column, kind, _, _, is_nullable, default in inexact:
                null = "NULL" if is_nullable == "YES" else "NOT NULL"
                default = "" if default is None else f" DEFAULT {default}"
                cursor.execute(
                    f"ALTER TABLE {table} DEFAULT CHARACTER SET latin1,"
                    f" MODIFY {column} {kind} CHARACTER SET latin1 {null}{default}"
                )

        carry_out(refusal())

        refuse_other_charset()
        assert columns() == before
