"""What the server does from time to time, and what the staff's site says where nobody does it."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts.models import AttemptCounter, BrowserSession, LoginSession
from bookings.admin.home import upkeep_notices
from bookings.models import IdempotencyKey
from bookings.services import upkeep
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.upkeep import keep_up
from bookings.tests.factories import EventFactory

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
def now():
    return timezone.now()


def add_key(expired_at):
    book_tickets(BookingRequest(EventFactory().pk, 1, "Ada"), key="key")
    IdempotencyKey.objects.update(created_at=expired_at - DAY)


def add_login(expired_at, user):
    LoginSession.objects.create(user=user, refresh_hash="x", expires_at=expired_at)


def add_browser(expired_at):
    BrowserSession.objects.create(session_key="x", expire_date=expired_at)


def add_counter(expired_at):
    AttemptCounter.objects.create(key="k", window=1, expires_at=expired_at)


@pytest.fixture(params=[add_key, add_login, add_browser, add_counter])
def add(request, user):
    """Gives a function that makes one row of a kind that `prune` deletes."""
    return (lambda expired_at: add_login(expired_at, user)) if request.param is add_login else request.param


def rows():
    return sum(model.objects.count() for model in (IdempotencyKey, LoginSession, BrowserSession, AttemptCounter))


def test_prune_that_is_overdue_needs_attention(add, now):
    add(now - 2 * DAY - SECOND)

    [notice] = upkeep_notices(now)

    assert (notice.level, notice.badge, notice.text) == (
        "warn",
        "Not pruned",
        "Expired logins and idempotency keys are kept for two days or longer: run manage.py prune daily",
    )


def test_prune_of_yesterday_needs_none(add, now):
    add(now - 2 * DAY + 10 * SECOND)

    assert upkeep_notices(now) == []


def test_home_says_that_prune_is_overdue(superuser_client, now):
    add_counter(now - 3 * DAY)

    assert "run manage.py prune daily" in superuser_client.get("/admin/").content.decode()


@pytest.mark.parametrize(("expired", "left"), [(DAY + SECOND, 0), (DAY - 10 * SECOND, 1)])
def test_embedded_database_is_pruned_once_a_day(settings, add, now, expired, left):
    settings.EMBEDDED = True
    add(now - expired)

    keep_up()

    assert rows() == left


def test_another_database_is_pruned_by_its_own_schedule(settings, add, now):
    settings.EMBEDDED = False
    add(now - 3 * DAY)

    keep_up()

    assert rows() == 1


def test_upkeep_without_its_database_is_tried_again(monkeypatch, caplog):
    tries = []

    def fail_at_first(**options):
        tries.append(options)
        if len(tries) == 1:
            raise OperationalError(2006, "gone")

    monkeypatch.setattr(upkeep, "finish_cancellations", fail_at_first)

    keep_up()
    keep_up()

    assert "The upkeep was interrupted and is tried again." in caplog.text
    assert len(tries) == 2
