"""The sessions of browsers as rows: whose they are, since when, and when they go."""

from datetime import timedelta
from hashlib import sha256

import pytest
from django.contrib.sessions.backends.base import UpdateError
from django.test import Client
from django.utils import timezone

from accounts.models import BrowserSession, hash_of
from accounts.services import prune_accounts
from accounts.sessions import SessionStore
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

HOME = "/admin/"


@pytest.fixture
def clerk(db):
    return UserFactory(username="clerk", is_staff=True, password=PASSWORD)


def test_login_by_page_names_the_account(client, clerk):
    client.post("/admin/login/", {"username": "clerk", "password": PASSWORD, "next": HOME})

    session = BrowserSession.objects.get()
    assert (session.user, session.auth_hash) == (clerk, clerk.get_session_auth_hash())
    assert session.expire_date - session.created_at > timedelta(hours=11)
    assert SessionStore().decode(session.session_data)["_auth_user_id"] == str(clerk.pk)


def test_session_without_login_names_nobody():
    store = SessionStore()
    store["seen"] = True
    store.save()

    session = BrowserSession.objects.get()
    assert (session.user, session.auth_hash) == (None, "")
    assert SessionStore(store.session_key)["seen"] is True


def test_table_holds_no_key_that_a_cookie_could_bear(client, clerk):
    client.force_login(clerk)
    key = client.cookies["sessionid"].value
    as_it_is = client.get(HOME)

    [stored] = BrowserSession.objects.values_list("session_key", flat=True)
    client.cookies["sessionid"] = stored

    assert stored == sha256(key.encode()).hexdigest()
    assert (as_it_is.status_code, client.get(HOME).status_code) == (200, 302)
    # The session was looked for, but neither found nor ended.
    assert BrowserSession.objects.get().pk == stored


@pytest.mark.parametrize("key", ["x" * 32, "x", "é" * 32, "0" * 64, "0" * 5000])
def test_key_that_is_nobodys_is_not_taken_over(client, clerk, key):
    store = SessionStore(key)

    assert dict(store.items()) == {}
    store["seen"] = True
    store.save()

    assert store.session_key != key
    assert SessionStore(store.session_key)["seen"] is True
    assert not store.exists(key)
    assert store.exists(store.session_key)


def test_expired_session_is_not_taken_over(client, clerk):
    client.force_login(clerk)
    key = client.cookies["sessionid"].value
    BrowserSession.objects.update(expire_date=timezone.now())

    store = SessionStore(key)

    assert dict(store.items()) == {}
    assert store.session_key is None


def test_new_key_leaves_no_session_under_the_old_one(client, clerk):
    client.force_login(clerk)
    session = client.session
    old = session.session_key

    session.cycle_key()

    assert session.session_key != old
    assert [row.pk for row in BrowserSession.objects.all()] == [hash_of(session.session_key)]
    assert session["_auth_user_id"] == str(clerk.pk)


def test_login_ends_the_session_before_it(client, clerk):
    client.session.save()

    client.force_login(clerk)

    assert [session.user for session in BrowserSession.objects.all()] == [clerk]


def test_session_written_again_keeps_when_it_began(client, clerk):
    client.force_login(clerk)
    began = timezone.now() - timedelta(hours=3)
    BrowserSession.objects.update(created_at=began)

    session = client.session
    session["seen"] = True
    session.save()

    kept = BrowserSession.objects.get()
    assert (kept.created_at, kept.user, SessionStore().decode(kept.session_data)["seen"]) == (began, clerk, True)


def test_logout_deletes_the_row(client, clerk):
    client.force_login(clerk)

    client.post("/admin/logout/")

    assert not BrowserSession.objects.exists()


def test_key_in_another_case_is_no_key(client, clerk):
    client.force_login(clerk)
    BrowserSession.objects.update(session_key=hash_of("a" * 32))
    client.cookies["sessionid"] = "a" * 32
    as_it_is = client.get(HOME)
    client.cookies["sessionid"] = "A" * 32

    assert (as_it_is.status_code, client.get(HOME).status_code) == (200, 302)


def test_deleted_session_is_not_written_again(client, clerk):
    client.force_login(clerk)
    # A request that began before the session was ended has it like this.
    store = SessionStore(client.cookies["sessionid"].value)
    store["seen"] = True
    BrowserSession.objects.all().delete()

    with pytest.raises(UpdateError):
        store.save()

    assert not BrowserSession.objects.exists()


def test_prune_deletes_expired_sessions_alone(client, clerk):
    client.force_login(clerk)
    Client().force_login(clerk)
    expired = BrowserSession.objects.exclude(pk=hash_of(client.cookies["sessionid"].value))
    expired.update(expire_date=timezone.now())

    deleted = prune_accounts()

    assert deleted == 1
    assert client.get(HOME).status_code == 200
    assert prune_accounts() == 0


def test_session_costs_a_request_one_query(client, clerk, django_assert_num_queries):
    client.force_login(clerk)

    # The queries are the session and the user.
    with django_assert_num_queries(2):
        client.get("/api/v1/auth/me")
