"""Limits how many threads of one process hash at once, and checks what the others are answered."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import check_password, make_password

from accounts import backends
from accounts.backends import Argon2PasswordHasher, hashing_slot
from accounts.models import AttemptCounter, BrowserSession, LoginSession, User
from accounts.tests.factories import PASSWORD, UserFactory
from ticks.db.transactions import Busy

NEW = "another 9 horses"
BUSY = "Too many people are at this at once; nothing was changed. Try again in a second."


@contextmanager
def somebody_hashing():
    """Holds the slot in another thread, for as long as the block lasts."""
    has_begun, may_end = threading.Event(), threading.Event()

    def hash_something():
        with hashing_slot():
            has_begun.set()
            may_end.wait(30)

    thread = threading.Thread(target=hash_something)
    thread.start()
    assert has_begun.wait(10)
    try:
        yield
    finally:
        may_end.set()
        thread.join(10)


@pytest.fixture
def busy(monkeypatch, settings):
    """A hash is under way, and nobody waits for long. Attempts at passwords are counted."""
    settings.THROTTLE_ENABLED = True
    monkeypatch.setattr(backends, "WAIT_SECONDS", 0.05)
    with somebody_hashing():
        yield


@pytest.mark.parametrize("name", ["encode", "verify"])
def test_one_thread_hashes_at_a_time(monkeypatch, name):
    stored = make_password(PASSWORD)
    at_once, most = [], []

    def compute(self, *args):
        at_once.append(1)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.pop()
        return stored

    monkeypatch.setattr(Argon2PasswordHasher, name, compute)
    hash_it = {"encode": lambda _: make_password(PASSWORD), "verify": lambda _: check_password(PASSWORD, stored)}[name]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(hash_it, range(8)))

    assert most == [1] * 8


def test_turn_is_waited_for_no_longer_than_set(busy):
    began = time.monotonic()

    with pytest.raises(Busy):
        make_password(PASSWORD)

    assert 0.05 <= time.monotonic() - began < 1


def test_turn_is_not_waited_for_where_as_many_wait_as_may(monkeypatch):
    monkeypatch.setattr(backends, "waiting", threading.BoundedSemaphore(1))
    monkeypatch.setattr(backends, "WAIT_SECONDS", 10)
    began = time.monotonic()

    with ThreadPoolExecutor(2) as pool:
        with somebody_hashing():
            refused, waiting = wait([pool.submit(make_password, PASSWORD) for _ in range(2)], 10, FIRST_COMPLETED)

        assert [type(each.exception()) for each in refused] == [Busy]
        assert [each.result()[:15] for each in waiting] == ["argon2$argon2id"]
    assert time.monotonic() - began < 5


def test_turn_passes_on_after_an_error():
    with pytest.raises(ZeroDivisionError), hashing_slot():
        raise ZeroDivisionError

    with somebody_hashing():
        pass
    assert make_password(PASSWORD).startswith("argon2$argon2id$")


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["known", "nobody"])
def test_login_waits_for_its_turn_before_it_asks_the_database(busy, name, django_assert_num_queries):
    UserFactory(username="known")

    with django_assert_num_queries(0), pytest.raises(Busy):
        authenticate(None, username=name, password=PASSWORD)


@pytest.fixture
def hashed(db):
    return UserFactory(username="divine", password=PASSWORD, is_staff=True, is_superuser=True)


LOGIN = {"username": "divine", "password": PASSWORD}
REGISTRATION = {"username": "ada", "password": NEW}
CHANGE = {"currentPassword": PASSWORD, "newPassword": NEW}


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("/api/v1/auth/login", LOGIN),
        ("/api/v1/auth/login", {**LOGIN, "username": "nobody"}),
        ("/api/users/login", LOGIN),
        ("/api/v1/auth/register", {**REGISTRATION, "email": "ada@example.org"}),
        ("/api/users/register", REGISTRATION),
        ("/api/v1/auth/password", CHANGE),
    ],
)
def test_api_says_busy_where_no_turn_comes(request, hashed, client_of, url, sent):
    client = client_of(hashed)
    logins = LoginSession.objects.count()
    request.getfixturevalue("busy")

    response = client.post(url, sent)

    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    told = {"message": BUSY, "error": True, "code": "busy"}
    assert response.json() == ({"error": BUSY} if url.startswith("/api/users/") else told)
    assert_nothing_changed(hashed)
    assert LoginSession.objects.count() == logins


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("/admin/login/", LOGIN),
        ("/api-auth/login/", LOGIN),
        ("/admin/password_change/", {"old_password": PASSWORD, "new_password1": NEW, "new_password2": NEW}),
        ("/admin/accounts/user/{}/password/", {"password1": NEW, "password2": NEW}),
        (
            "/admin/accounts/user/add/",
            {"username": "ada", "usable_password": "true", "password1": NEW, "password2": NEW},
        ),
    ],
)
def test_pages_say_busy_where_no_turn_comes(request, hashed, client, url, sent, settings):
    # With mails the page of a new account asks for no password.
    settings.MAIL_ENABLED = False
    if "login" not in url:
        client.force_login(hashed)
    browsers = BrowserSession.objects.count()
    client.raise_request_exception = False
    request.getfixturevalue("busy")

    response = client.post(url.format(hashed.pk), sent)

    assert response.status_code == 503
    assert response["Retry-After"] == "1"
    assert BUSY in response.content.decode()
    assert_nothing_changed(hashed)
    assert BrowserSession.objects.count() == browsers


def assert_nothing_changed(account):
    stored = User.objects.get()
    assert (stored.pk, stored.password) == (account.pk, account.password)
    # A caller who was turned away has not guessed at anything.
    assert not AttemptCounter.objects.filter(count__gt=0).exists()
