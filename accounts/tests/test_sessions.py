"""Reads the accounts of many logins at once. Each login is valid or not by itself."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import LoginSession
from accounts.services import change_password, holders_of_sessions, open_session, user_of_session
from accounts.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture
def now():
    return timezone.now()


def login_of(**user):
    return open_session(UserFactory(**user), refresh_id="r", lifetime=DAY)


def test_each_login_has_its_account(now):
    logins = [login_of() for _ in range(3)]

    holders = holders_of_sessions([login.pk for login in logins], now=now)

    assert holders == {login.pk: login.user_id for login in logins}


def test_two_logins_of_one_account(now):
    user = UserFactory(is_staff=True)
    logins = [open_session(user, refresh_id="r", lifetime=DAY).pk for _ in range(2)]

    holders = holders_of_sessions(logins, now=now)

    assert holders == dict.fromkeys(logins, user.pk)


def test_accounts_take_one_query_however_many(now, django_assert_num_queries):
    logins = [login_of().pk for _ in range(4)]

    with django_assert_num_queries(1):
        holders_of_sessions(logins[:1], now=now)
    with django_assert_num_queries(1):
        holders_of_sessions(logins, now=now)
    with django_assert_num_queries(0):
        holders_of_sessions([], now=now)


def test_login_that_has_ended_takes_no_other_with_it(now):
    good, gone, expired, deactivated, renewed = [login_of() for _ in range(5)]
    gone_id = gone.pk
    gone.delete()
    LoginSession.objects.filter(pk=expired.pk).update(expires_at=now)
    deactivated.user.is_active = False
    deactivated.user.save()
    renewed.user.set_password("another one 4711")
    renewed.user.save()

    holders = holders_of_sessions([good.pk, gone_id, expired.pk, deactivated.pk, renewed.pk, 2**62], now=now)

    assert list(holders) == [good.pk]


def test_one_login_reads_as_in_a_crowd(now):
    login = login_of(is_staff=False)

    user = user_of_session(login.pk, now=now)

    assert (user, user.is_active, user.is_staff, user.email) == (login.user, True, False, login.user.email)
    assert user.date_joined == login.user.date_joined
    assert user_of_session(login.pk + 1, now=now) is None


def test_known_password_ends_its_login_when_it_changes(now):
    login = login_of(password="photograph 51")
    assert user_of_session(login.pk, now=now)

    change_password(login.user, current="photograph 51", new="another one 4711")

    assert user_of_session(login.pk, now=now) is None


def test_known_password_ends_its_login_with_the_secret_key(now, settings):
    login = login_of()
    assert user_of_session(login.pk, now=now)

    settings.SECRET_KEY = "quite another secret of more than 32 bytes"

    assert user_of_session(login.pk, now=now) is None
