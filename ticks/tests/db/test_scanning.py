import time

import pytest
from django.db import DatabaseError, connection

from ticks.db.scanning import TookTooLong, time_limit

pytestmark = [pytest.mark.django_db, pytest.mark.mariadb]
SLOW = "SELECT COUNT(*) FROM information_schema.COLUMNS a, information_schema.COLUMNS b, information_schema.COLUMNS c"
LIMIT = "SELECT @@SESSION.{}"


def run(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def limit():
    return run(LIMIT.format("max_statement_time" if connection.mysql_is_mariadb else "max_execution_time"))


def test_slow_statement_is_ended_and_the_next_has_no_limit():
    before, began = limit(), time.monotonic()

    with pytest.raises(TookTooLong), time_limit(0.05):
        run(SLOW)

    assert time.monotonic() - began < 2
    assert limit() == before


def test_quick_statement_is_answered():
    with time_limit(2):
        assert run("SELECT 1") == ((1,),)


def test_other_errors_are_what_they_are():
    before = limit()

    with pytest.raises(DatabaseError, match="no_such_table"), time_limit(2):
        run("SELECT * FROM no_such_table")

    assert limit() == before
