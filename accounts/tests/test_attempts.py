from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from types import SimpleNamespace

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import AttemptCounter, LoginSession
from accounts.services import open_session, prune_accounts
from accounts.tests.factories import UserFactory
from accounts.throttles import CountedAttempt, attempt_key

NOON = datetime(2026, 1, 1, 12, 0, 15, tzinfo=UTC)
THREADS = 20
TIMES = 3


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = SimpleNamespace(time=NOON)
    monkeypatch.setattr("accounts.throttles.timezone", SimpleNamespace(now=lambda: clock.time))
    return clock


def attempt(subject="subject"):
    return CountedAttempt("purpose", subject, limit=2)


def counts():
    return sorted(AttemptCounter.objects.values_list("count", flat=True))


@pytest.mark.django_db
def test_attempt_beyond_the_limit_is_not_allowed():
    assert [attempt().is_allowed for _ in range(3)] == [True, True, False]

    counter = AttemptCounter.objects.get()
    assert (counter.key, counter.count) == (attempt_key("purpose", "subject"), 3)
    assert counter.expires_at == NOON + timedelta(seconds=60)


@pytest.mark.django_db
def test_count_is_by_subject_and_by_window(clock):
    attempt()

    attempt("SUBJECT")
    assert counts() == [1, 1]
    clock.time = NOON + timedelta(seconds=44)
    attempt()
    assert counts() == [1, 2]
    clock.time = NOON + timedelta(seconds=45)
    attempt()
    assert counts() == [1, 1, 2]


@pytest.mark.django_db
def test_count_goes_on_when_somebody_else_counts_first(monkeypatch):
    atomic = transaction.atomic

    def somebody_is_faster():
        key = attempt_key("purpose", "subject")
        AttemptCounter.objects.create(key=key, window=NOON.timestamp() // 60, count=1, expires_at=NOON)
        return atomic()

    monkeypatch.setattr("accounts.throttles.transaction", SimpleNamespace(atomic=somebody_is_faster))

    attempt()

    # The constraint one_counter_a_window refuses a second counter. `tools/mutants.py` finds this file by that name.
    assert counts() == [2]


@pytest.mark.django_db(transaction=True)
def test_count_of_many_at_once_is_exact():
    start = Barrier(THREADS)

    def attempt_together(_):
        try:
            start.wait(10)
            return [attempt().is_allowed for _ in range(TIMES)]
        finally:
            connection.close()

    with ThreadPoolExecutor(THREADS) as pool:
        allowed = sum(map(sum, pool.map(attempt_together, range(THREADS))))

    assert counts() == [THREADS * TIMES]
    # An attempt may see the counts of others that began later, so fewer may be allowed, but never more.
    assert allowed <= 2


@pytest.mark.django_db
def test_forgive_takes_one_back_but_never_below_zero():
    attempt()
    latest = attempt()

    for left in (1, 0, 0):
        latest.forgive()
        assert counts() == [left]


@pytest.mark.django_db
def test_prune_deletes_what_has_expired_and_nothing_else(clock):
    user = UserFactory()
    now = timezone.now()
    open_session(user, refresh_id="r", lifetime=timedelta(seconds=-1))
    standing = open_session(user, refresh_id="r", lifetime=timedelta(seconds=60))
    clock.time = now - timedelta(seconds=61)
    attempt("old")
    clock.time = now
    attempt("new")

    deleted = prune_accounts()

    assert deleted == 2
    assert LoginSession.objects.get() == standing
    assert AttemptCounter.objects.get().key == attempt_key("purpose", "new")
    assert prune_accounts() == 0
