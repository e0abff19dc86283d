from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AttemptCounter, LoginSession
from accounts.services import count_attempt, forgive_attempt, open_session, prune_accounts
from accounts.tests.factories import UserFactory

NOON = datetime(2026, 1, 1, 12, 0, 15, tzinfo=UTC)
THREADS = 20
TIMES = 3


def count(key="key", now=NOON):
    return count_attempt(key, window_seconds=60, now=now)


@pytest.mark.django_db
def test_count_goes_up_from_one():
    assert [count(), count(), count()] == [1, 2, 3]

    counter = AttemptCounter.objects.get()
    assert (counter.key, counter.count, counter.expires_at) == ("key", 3, NOON + timedelta(seconds=60))


@pytest.mark.django_db
def test_count_is_by_key_and_by_window():
    count()

    # The comparison of keys is exact to the letter, on MariaDB too.
    assert count("KEY") == 1
    assert count(now=NOON + timedelta(seconds=44)) == 2
    assert count(now=NOON + timedelta(seconds=45)) == 1
    assert AttemptCounter.objects.count() == 3


@pytest.mark.django_db
def test_count_goes_on_when_somebody_else_counts_first(monkeypatch):
    atomic = transaction.atomic

    def somebody_is_faster():
        AttemptCounter.objects.create(key="key", window=NOON.timestamp() // 60, count=1, expires_at=NOON)
        return atomic()

    monkeypatch.setattr("accounts.services.transaction", SimpleNamespace(atomic=somebody_is_faster))

    assert count() == 2


@pytest.mark.django_db(transaction=True)
def test_count_of_many_at_once_is_exact():
    start = Barrier(THREADS)

    def attempt(_):
        try:
            start.wait(10)
            return [count() for _ in range(TIMES)]
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        counts = list(pool.map(attempt, range(THREADS)))

    assert AttemptCounter.objects.get().count == THREADS * TIMES
    assert max(max(own) for own in counts) == THREADS * TIMES


@pytest.mark.django_db
def test_forgive_takes_one_back_but_never_below_zero():
    count()
    count()

    for _ in range(3):
        forgive_attempt("key", window_seconds=60, now=NOON)

    assert AttemptCounter.objects.get().count == 0


@pytest.mark.django_db
def test_forgive_of_nothing_counts_nothing():
    forgive_attempt("key", window_seconds=60, now=NOON)

    assert not AttemptCounter.objects.exists()


@pytest.mark.django_db
def test_prune_deletes_what_has_expired_and_nothing_else():
    user = UserFactory()
    now = timezone.now()
    open_session(user, refresh_id="r", lifetime=timedelta(seconds=-1))
    standing = open_session(user, refresh_id="r", lifetime=timedelta(seconds=60))
    count("old", now=now - timedelta(seconds=61))
    count("new", now=now)

    deleted = prune_accounts()

    assert deleted == 2
    assert LoginSession.objects.get() == standing
    assert AttemptCounter.objects.get().key == "new"
    assert prune_accounts() == 0
