"""Limits on password guesses, for every way to log in, and that they reveal nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import cycle, islice
from types import SimpleNamespace

import pytest
from django.contrib.auth import authenticate
from django.db import connection
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from rest_framework.settings import api_settings
from rest_framework.test import APIClient

from accounts import throttles
from accounts.backends import OwaspArgon2
from accounts.models import AttemptCounter, User
from accounts.tests.factories import PASSWORD, UserFactory
from ticks.api import throttling

pytestmark = pytest.mark.django_db

API, ONE_TICKET = "/api/v1/auth/login", "/api/users/login"
PAGES = ["/admin/login/", "/api-auth/login/"]
WAYS = [API, ONE_TICKET, *PAGES]
WRONG = "wrong 4711 password"
NOON = datetime(2026, 1, 1, 12, 0, 15, tzinfo=UTC)
HOME, ELSEWHERE = "192.0.2.1", "198.51.100.1"
NAME, EMAIL = "divine", "divine@example.com"


@pytest.fixture(autouse=True)
def clock(settings, monkeypatch):
    """Limits on guesses, and a time that only a test moves."""
    settings.THROTTLE_ENABLED = True
    # This limit is not under test: it counts right logins as well, by the real time.
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "login", "1000/min")
    clock = SimpleNamespace(time=NOON)
    monkeypatch.setattr("accounts.throttles.timezone", SimpleNamespace(now=lambda: clock.time))
    return clock


@pytest.fixture(autouse=True)
def work(monkeypatch):
    """Counts what is hashed and checked, without the cost."""
    done = []

    def encode(self, password, salt=""):
        done.append("hash")
        return f"argon2${sha256(password.encode()).hexdigest()}"

    def verify(self, password, encoded):
        return encoded == encode(self, password)

    monkeypatch.setattr(OwaspArgon2, "verify", verify)
    monkeypatch.setattr(OwaspArgon2, "encode", encode)
    monkeypatch.setattr(OwaspArgon2, "must_update", lambda self, encoded: False)
    return done


@pytest.fixture
def account():
    return UserFactory(username=NAME, email=EMAIL, password=PASSWORD, is_staff=True)


def attempt(way=API, *, address=ELSEWHERE, password=WRONG, **fields):
    client = Client() if way in PAGES else APIClient()
    return client.post(way, {"password": password, **fields}, REMOTE_ADDR=address)


def is_let_in(response):
    return response.status_code == 302 or (response.status_code == 200 and "token" in response.content.decode()[:99])


def is_refused(response):
    return response.status_code == 429 or b"Too many attempts" in response.content


@pytest.mark.parametrize("way", PAGES)
def test_no_made_up_email_beside_the_username_makes_a_fresh_counter(account, way):
    answers = [attempt(way, username=NAME, email=f"n{number}@example.com") for number in range(11)]

    assert [is_refused(answer) for answer in answers] == [False] * 10 + [True]
    assert is_refused(attempt(way, username=NAME, password=PASSWORD))


@pytest.mark.parametrize("way", WAYS)
def test_guesses_by_other_ways_count_together(account, way):
    for other in islice(cycle(WAYS), 10):
        attempt(other, username=NAME)

    assert is_refused(attempt(way, username=NAME, password=PASSWORD))


@pytest.mark.parametrize("way", WAYS)
def test_guesses_at_one_address_keep_nobody_out_at_another(account, way):
    for number in range(30):
        attempt(way, username=NAME, address=f"203.0.113.{number % 3}")

    assert is_let_in(attempt(way, username=NAME, password=PASSWORD, address=ELSEWHERE))


def test_guesses_by_both_names_count_for_one_account(account):
    tries = [{"username": NAME}, {"email": EMAIL}] * 5

    answers = [attempt(**name).status_code for name in tries]

    assert answers == [401] * 10
    # Neither name has been tried too often, but the account has. So a right password is answered as a wrong one.
    for name in tries[:2]:
        response = attempt(**name, password=PASSWORD)
        assert response.status_code == 401
        assert response.json()["code"] == "wrong_credentials"
    assert is_let_in(attempt(username=NAME, password=PASSWORD, address=HOME))


def guess_everywhere(clock, times):
    """Guesses once from each address, as an attacker with a few thousand addresses would; then a minute passes."""
    for number in range(times):
        request = RequestFactory().get("/", REMOTE_ADDR=f"203.0.113.{number}")
        assert authenticate(request, username=NAME, password=WRONG) is None
    clock.time += timedelta(minutes=1)


@pytest.mark.parametrize("way", WAYS)
def test_account_is_guessed_at_a_hundred_times_an_hour_from_everywhere(account, clock, way):
    guess_everywhere(clock, 100)

    right = attempt(way, username=NAME, password=PASSWORD)

    assert not is_let_in(right)
    assert right.status_code == (200 if way in PAGES else 401)
    assert not is_refused(right)
    clock.time += timedelta(hours=1)
    assert is_let_in(attempt(way, username=NAME, password=PASSWORD))


def test_right_password_that_is_refused_leaves_a_line_in_the_log(account, clock, caplog):
    guess_everywhere(clock, 100)

    attempt(username=NAME)
    attempt(username=NAME, password=PASSWORD)

    said = [record.getMessage() for record in caplog.records if record.name == "ticks.logins"]
    assert said == [f"User {account.pk} was refused with the right password: too many wrong ones were tried."]


@pytest.mark.parametrize("way", WAYS)
def test_owner_gets_in_where_he_was_lately_whatever_strangers_guess(account, clock, way):
    assert is_let_in(attempt(API, email=EMAIL, password=PASSWORD, address=HOME))
    clock.time += timedelta(days=29)
    guess_everywhere(clock, 101)

    assert is_let_in(attempt(way, username=NAME, password=PASSWORD, address=HOME))
    assert not is_let_in(attempt(way, username=NAME, password=PASSWORD, address=ELSEWHERE))


def test_address_is_known_for_thirty_days_from_the_last_login(account, clock):
    for _ in range(2):
        attempt(username=NAME, password=PASSWORD, address=HOME)
        clock.time += timedelta(days=29)
    clock.time += timedelta(days=2)
    guess_everywhere(clock, 101)

    assert not is_let_in(attempt(username=NAME, password=PASSWORD, address=HOME))


def test_known_address_is_no_place_to_guess_from_without_end(account, clock):
    attempt(username=NAME, password=PASSWORD, address=HOME)
    for number in range(100):
        clock.time = NOON + timedelta(minutes=number // 10)
        attempt(username=NAME, address=HOME)
    clock.time += timedelta(minutes=1)

    assert not is_let_in(attempt(username=NAME, password=PASSWORD, address=HOME))
    # Guesses from there are not counted with all others.
    assert is_let_in(attempt(username=NAME, password=PASSWORD, address=ELSEWHERE))


def test_wrong_passwords_make_no_address_known(account):
    attempt(username=NAME)

    assert not AttemptCounter.objects.filter(key__startswith="login-known").exists()


# The view of a stranger


def linked():
    UserFactory(username=NAME, email=EMAIL, password=PASSWORD)


def of_two_accounts():
    UserFactory(username=NAME, email="other@example.com", password=PASSWORD)
    UserFactory(username="other", email=EMAIL, password=PASSWORD)


def unknown():
    """Makes no account at all."""


BY_NAME, BY_EMAIL, NAMED_BY_EMAIL = {"username": NAME}, {"email": EMAIL}, {"username": EMAIL}
# Each entry has minutes since the beginning, the address, and the name.
PLANS = {
    "one after the other": [(0, ELSEWHERE, name) for name in [BY_NAME] * 12 + [BY_EMAIL] * 12],
    "by turns": [(0, ELSEWHERE, name) for name in [BY_NAME, BY_EMAIL] * 13],
    "mail first": [(0, ELSEWHERE, name) for name in [NAMED_BY_EMAIL] * 11 + [BY_EMAIL, BY_NAME] * 5],
    "two addresses": [(0, where, name) for name in [BY_NAME, BY_EMAIL] for where in [HOME, ELSEWHERE] * 12],
    "beside the owner": [(number // 24, HOME, [BY_NAME, BY_EMAIL][number % 2]) for number in range(72)],
    "from everywhere": [
        *[(0, f"203.0.113.{number}", BY_NAME) for number in range(22)],
        *[(1, where, name) for where in (HOME, ELSEWHERE) for name in [BY_EMAIL, BY_NAME] * 11],
    ],
}


@pytest.mark.parametrize("plan", PLANS)
def test_observer_sees_the_same_whosever_the_names_are(clock, work, plan, monkeypatch):
    # In some plans the attempts are used up.
    monkeypatch.setattr(throttles, "GUESSES_AT_ACCOUNT", 20)

    def seen(world):
        clock.time = NOON - timedelta(days=1)
        User.objects.all().delete()
        AttemptCounter.objects.all().delete()
        throttling.forget_all()
        world()
        attempt(username=NAME, password=PASSWORD, address=HOME)
        answers = []
        for minute, address, name in PLANS[plan]:
            clock.time = NOON + timedelta(minutes=minute)
            work.clear()
            response = attempt(**name, address=address)
            answers.append((response.status_code, response.content, response.headers.get("Retry-After"), len(work)))
        return answers

    as_linked = seen(linked)

    assert {status for status, *_ in as_linked} == {401, 429}
    assert seen(of_two_accounts) == as_linked
    assert seen(unknown) == as_linked


@pytest.mark.parametrize("known", [False, True])
def test_wrong_login_asks_the_database_as_much_whatever_the_name(account, known):
    """The same number of queries once the counters exist, whether or not the address is known for the account."""
    names = [{"username": NAME}, {"email": EMAIL}, {"username": "nobody"}, {"email": "nobody@example.com"}]
    if known:
        attempt(username=NAME, password=PASSWORD)
    for name in names * 2:
        attempt(**name)

    counts = []
    for name in names:
        with CaptureQueriesContext(connection) as queries:
            attempt(**name)
        counts.append(len(queries))

    assert len(set(counts)) == 1


@pytest.mark.django_db(transaction=True)
def test_guesses_of_many_at_once_are_bounded_exactly(account, monkeypatch):
    def guess(_):
        try:
            return attempt(username=NAME).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(guess, range(24)))

    assert sorted(answers) == [401] * 10 + [429] * 14


def test_nothing_is_counted_of_a_login_without_a_request(account, client):
    assert client.login(username=NAME, password=PASSWORD)
    assert not AttemptCounter.objects.filter(key__startswith="login-address").exists()
