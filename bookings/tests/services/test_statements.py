"""Several statements in one round trip: each query's rows, and errors as Django's cursors raise them."""

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext

from bookings.models import Booking
from bookings.services.idempotency import lock_keys
from bookings.tests.factories import BookingFactory

pytestmark = [pytest.mark.mariadb, pytest.mark.django_db]
UPDATE = "UPDATE bookings_booking SET first_name = %s"
COUNT = "SELECT COUNT(*) FROM bookings_booking"


@pytest.fixture(params=["driver", "cursor"])
def way(request):
    """Runs with a cursor if the queries are recorded, and without one otherwise."""
    if request.param == "driver":
        yield
    else:
        with CaptureQueriesContext(connection):
            yield


def test_each_query_gives_its_rows(way):
    BookingFactory(first_name="Ada")

    found = connection.run_all(
        [
            ("SELECT 1, %s, %s", ["a'\\", None]),
            (UPDATE, ["Grace"]),
            ("SELECT first_name FROM bookings_booking WHERE id < %s", [0]),
            ("SELECT first_name FROM bookings_booking", ()),
        ]
    )

    assert [list(rows) for rows in found] == [[(1, "a'\\", None)], [], [("Grace",)]]


@pytest.mark.django_db(transaction=True)
def test_transaction_is_begun_with_autocommit_off(way):
    """After a BEGIN under autocommit a Galera node that aborts it commits the rest of the packet one by one."""
    with transaction.atomic():
        inside = connection.run_all([("SELECT @@autocommit", ())])

    assert inside == [((0,),)]
    assert connection.run_all([("SELECT @@autocommit", ())]) == [((1,),)]


@pytest.mark.django_db(transaction=True)
def test_transactions_that_follow_one_another_turn_autocommit_off_once(way):
    counts = "SHOW SESSION STATUS WHERE Variable_name IN ('Com_commit', 'Com_set_option')"
    with transaction.atomic():
        [before] = connection.run_all([(counts, ())])

    with transaction.atomic():
        [after] = connection.run_all([(counts, ())])

    assert [name for name, _ in after] == ["Com_commit", "Com_set_option"]
    assert [int(last) - int(first) for (_, first), (_, last) in zip(before, after, strict=True)] == [1, 0]


@pytest.mark.django_db(transaction=True)
def test_locks_of_keys_between_transactions_leave_autocommit_off(way):
    changes = "SHOW SESSION STATUS LIKE 'Com_set_option'"
    with transaction.atomic():
        [before] = connection.run_all([(changes, ())])

    with lock_keys(["a" * 64]) as free, transaction.atomic():
        connection.run_all([("SELECT 1", ())])
    with transaction.atomic():
        [after] = connection.run_all([(changes, ())])

    assert free == {"a" * 64}
    assert after == before
    assert connection.run_all([("SELECT @@autocommit", ())]) == [((1,),)]


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE bookings_booking SET tickets_reserved = 0", IntegrityError),
        ("UPDATE bookings_booking SET event_id = NULL", IntegrityError),
        ("SET @@nothing = 1", OperationalError),
        ("SELECT nothing FROM nowhere", ProgrammingError),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_error_is_raised_wherever_it_stands_and_nothing_follows(way, statement, error, place):
    BookingFactory(first_name="Ada")
    statements = [(COUNT, ()), (COUNT, ()), (UPDATE, ["Grace"])]
    statements.insert(place, (statement, ()))

    with pytest.raises(error), transaction.atomic():
        connection.run_all(statements)

    # The connection is in step: the next answer is the next question's.
    assert connection.run_all([("SELECT 5", ())]) == [((5,),)]
    assert Booking.objects.get().first_name == "Ada"
