import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, IntegrityError, OperationalError, connection, transaction

from ticks.transactions import Busy, in_one_transaction

pytestmark = pytest.mark.django_db

DEADLOCK = OperationalError(1213, "Deadlock found when trying to get lock; try restarting transaction")
LOCK_TIMEOUT = OperationalError(1205, "Lock wait timeout exceeded; try restarting transaction")
CHANGED = OperationalError(1020, "Record has changed since last read in table 'bookings_booking'")
SQLITE = OperationalError("database is locked")


class Service:
    """Writes a row each time it runs, then fails as often as told."""

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


@pytest.mark.parametrize(
    "error",
    [
        OperationalError(2013, "Lost connection to server during query"),
        OperationalError(2006, "Server has gone away"),
        OperationalError(1180, "Got error during COMMIT"),
        OperationalError("unable to open database file"),
        OperationalError(),
        IntegrityError(1062, "Duplicate entry"),
        DatabaseError(1213, "of another class"),
        ValueError(1213),
    ],
    ids=repr,
)
def test_service_that_failed_otherwise_runs_once(error):
    # 2013, 2006, 1180: perhaps it was committed. A second run could do everything twice.
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


@pytest.mark.django_db(transaction=True)
def test_commit_that_was_rolled_back_runs_the_service_again(monkeypatch):
    # A cluster reports most of its conflicts there.
    commits = []
    commit = connection.commit

    def fail_first():
        commits.append(1)
        if len(commits) == 1:
            raise DEADLOCK
        commit()

    service = Service()
    monkeypatch.setattr(connection, "commit", fail_first)

    in_one_transaction(service)()

    assert (service.runs, len(commits)) == (2, 2)
    assert written() == ["run2"]
