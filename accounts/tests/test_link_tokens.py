"""The tokens of links: which purpose, whose, until when, and once even for two at the same moment."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from accounts import link_tokens, links
from accounts.exceptions import LinkNotValid
from accounts.link_tokens import Purpose, make_token, read_token
from accounts.links import set_password_by_link
from accounts.models import User
from accounts.tests.factories import PASSWORD, UserFactory


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD)


@pytest.mark.parametrize("purpose", Purpose)
@pytest.mark.parametrize("other", Purpose)
def test_token_is_good_for_its_purpose_alone(account, purpose, other):
    token = make_token(purpose, account, asked_at=timezone.now())

    if purpose == other:
        assert read_token(other, token).user == account
    else:
        with pytest.raises(LinkNotValid):
            read_token(other, token)


@pytest.mark.parametrize("purpose", Purpose)
def test_token_is_good_for_an_hour_from_when_it_was_asked_for(account, purpose, monkeypatch):
    now = timezone.now().replace(microsecond=0)
    token = make_token(purpose, account, asked_at=now)

    def look(moment):
        monkeypatch.setattr(link_tokens, "timezone", SimpleNamespace(now=lambda: moment))
        return read_token(purpose, token).user

    assert look(now + timedelta(minutes=59, seconds=59)) == account
    with pytest.raises(LinkNotValid):
        look(now + timedelta(hours=1))


def test_token_of_another_secret_is_not_valid(account, settings):
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())
    settings.SECRET_KEY = "another secret of more than 32 bytes"

    with pytest.raises(LinkNotValid):
        read_token(Purpose.RESET, token)


@pytest.mark.parametrize("at", [0, 5, -1])
def test_token_that_was_changed_is_not_valid(account, at):
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())
    other = "A" if token[at] != "A" else "B"

    with pytest.raises(LinkNotValid):
        read_token(Purpose.RESET, f"{token[:at]}{other}{token[at:][1:]}")


def test_token_of_one_account_is_not_anothers(account):
    other = UserFactory()
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())

    assert read_token(Purpose.RESET, token).user == account
    assert make_token(Purpose.RESET, other, asked_at=timezone.now()) != token


def test_token_of_a_deleted_account_is_not_valid(account):
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())
    account.delete()

    with pytest.raises(LinkNotValid):
        read_token(Purpose.RESET, token)


def test_token_does_not_show_the_hash_of_the_password(account):
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())

    assert account.password not in str(link_tokens.signer(Purpose.RESET).unsign_object(token))


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_token_that_many_use_at_once_is_used_once():
    account = UserFactory(username="divine", password=PASSWORD)
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())
    passwords = [f"another {number} password" for number in range(8)]

    def use(new):
        try:
            set_password_by_link(token, new=new)
        except LinkNotValid:
            return None
        finally:
            connection.close()
        return new

    with ThreadPoolExecutor(8) as pool:
        used = [new for new in pool.map(use, passwords) if new]

    assert len(used) == 1
    assert User.objects.get().check_password(used[0])


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_more_than_one_use_it(monkeypatch):
    account = UserFactory(username="divine", password=PASSWORD)
    token = make_token(Purpose.RESET, account, asked_at=timezone.now())
    # All have found the token valid before one of them saves.
    found = Barrier(4)

    def without_lock(purpose, token, *, is_locking=False):
        link = read_token(purpose, token)
        if is_locking:
            found.wait(10)
        return link

    monkeypatch.setattr(links, "read_token", without_lock)

    def use(number):
        try:
            set_password_by_link(token, new=f"another {number} password")
        finally:
            connection.close()
        return number

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(use, range(4))) == [0, 1, 2, 3]
