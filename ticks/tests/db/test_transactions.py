import time

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection, transaction

from ticks.db import transactions
from ticks.db.transactions import Busy, OutcomeUnknown, Unavailable, in_one_transaction

pytestmark = pytest.mark.django_db

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
LOCK_TIMEOUT = OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")
CHANGED = OperationalError(1020, "Record has changed since last read in table 'bookings_booking'")
SQLITE = OperationalError("database is locked")


class Service:
    """Writes a row each time it runs, and fails the first `failures` times."""

    def __init__(self, error=None, failures=0):
        self.error = error
        self.failures = failures
        self.runs = 0

    def __call__(self, *args, **kwargs):
        self.runs += 1
        get_user_model().objects.create(username=f"run{self.runs}")
        if self.runs <= self.failures:
            raise self.error
        return args, kwargs


def written():
    return list(get_user_model().objects.values_list("username", flat=True))


def test_service_runs_once_and_its_answer_returns():
    service = Service()

    answer = in_one_transaction(service)(1, two=2)

    assert answer == ((1,), {"two": 2})
    assert service.runs == 1
    assert written() == ["run1"]


@pytest.mark.parametrize("error", [DEADLOCK, LOCK_TIMEOUT, CHANGED, SQLITE], ids=lambda error: str(error.args[0]))
@pytest.mark.parametrize("failures", [1, 4])
def test_service_that_was_rolled_back_runs_again_whole(error, failures):
    service = Service(error, failures)

    in_one_transaction(service)()

    assert service.runs == failures + 1
    assert written() == [f"run{failures + 1}"]


def test_service_rolled_back_five_times_is_busy_and_wrote_nothing():
    service = Service(DEADLOCK, failures=99)

    with pytest.raises(Busy) as busy:
        in_one_transaction(service)()

    assert str(busy.value) == "Too many people are at this at once; nothing was changed. Try again in a second."
    assert service.runs == 5
    assert written() == []


def test_service_pauses_longer_before_each_further_attempt(monkeypatch):
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    with pytest.raises(Busy):
        in_one_transaction(Service(DEADLOCK, failures=99))()

    # Each pause is twice as long as the one before, give or take a half, so that two that met do not meet again.
    assert len(pauses) == 4
    assert all(0.5 <= pause / (0.01 * 2**attempt) <= 1.5 for attempt, pause in enumerate(pauses, 1))
    assert len({pause / 2**attempt for attempt, pause in enumerate(pauses)}) > 1


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("unable to open database file"),
        OperationalError(1114, "The table 'bookings_booking' is full"),
        OperationalError(),
        IntegrityError(1062, "Duplicate entry"),
        DatabaseError(1213, "of another class"),
        ValueError(1213),
    ],
    ids=repr,
)
def test_service_that_failed_otherwise_runs_once(error):
    service = Service(error, failures=1)

    with pytest.raises(type(error)) as raised:
        in_one_transaction(service)()

    assert raised.value is error
    assert service.runs == 1
    assert written() == []


def test_service_inside_another_transaction_is_refused():
    service = Service()

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        in_one_transaction(service)()

    assert service.runs == 0
    assert written() == []


def test_service_keeps_its_name_and_docstring():
    def book():
        """Promises."""

    wrapped = in_one_transaction(book)

    assert (wrapped.__name__, wrapped.__doc__) == ("book", "Promises.")


LOST = [
    OperationalError(2013, "Lost connection to server during query"),
    OperationalError(2006, "Server has gone away"),
    OperationalError(1927, "Connection was killed"),
    OperationalError(1047, "WSREP has not yet prepared node for application use"),
    OperationalError(1053, "Server shutdown in progress"),
    InterfaceError(0, ""),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", LOST, ids=repr)
def test_service_whose_connection_was_lost_before_commit_runs_again_on_another(error):
    # The server rolls back a transaction that got no COMMIT.
    connection.ensure_connection()
    lost = connection.connection
    service = Service(error, failures=1)

    in_one_transaction(service)()

    assert service.runs == 2
    assert connection.connection is not lost
    assert written() == ["run2"]


@pytest.mark.django_db(transaction=True)
def test_service_whose_connection_is_lost_each_time_is_unavailable():
    service = Service(LOST[0], failures=99)

    with pytest.raises(Unavailable):
        in_one_transaction(service)()

    assert service.runs == 5
    assert written() == []


@pytest.mark.django_db(transaction=True)
def test_service_that_a_time_out_has_kept_waiting_is_not_run_again(monkeypatch):
    monkeypatch.setattr(transactions, "RETRY_SECONDS_WHEN_LOST", 0)
    service = Service(LOST[0], failures=99)

    with pytest.raises(Unavailable):
        in_one_transaction(service)()

    assert service.runs == 1


@pytest.mark.django_db(transaction=True)
def test_service_without_its_database_is_unavailable_at_once(unreachable_database):
    service = Service()
    unreachable_database()
    began = time.monotonic()

    with pytest.raises(Unavailable if connection.vendor == "mysql" else OperationalError):
        in_one_transaction(service)()

    assert time.monotonic() - began < 1
    assert service.runs == 0


@pytest.mark.django_db(transaction=True)
def test_commit_that_was_rolled_back_runs_the_service_again(commits):
    # A cluster reports most of its conflicts at COMMIT.
    done = commits(DEADLOCK)
    service = Service()

    in_one_transaction(service)()

    assert (service.runs, len(done)) == (2, 2)
    assert written() == ["run2"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("carried_out", [True, False])
@pytest.mark.parametrize("error", [*LOST[:-1], OperationalError(1180, "Got error 28 during COMMIT")], ids=repr)
def test_commit_without_an_answer_is_unknown_and_never_repeated(commits, error, carried_out):
    done = commits(error, carried_out=carried_out)
    service = Service()

    with pytest.raises(OutcomeUnknown) as unknown:
        in_one_transaction(service)()

    assert (unknown.value.code, unknown.value.status, unknown.value.retry_after) == ("outcome_unknown", 503, 2)
    assert (service.runs, len(done)) == (1, 1)
    assert written() == (["run1"] if carried_out else [])


@pytest.mark.django_db(transaction=True)
def test_commit_that_breaks_a_constraint_is_no_doubt(commits):
    commits(IntegrityError("FOREIGN KEY constraint failed"))

    with pytest.raises(IntegrityError):
        in_one_transaction(Service())()

    assert written() == []
