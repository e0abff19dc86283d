"""The migrations with existing accounts and logins: nobody is logged out, and a clash of names stops nothing."""

from hashlib import sha256
from importlib import import_module

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts import tokens
from accounts.models import BrowserSession, LoginName, LoginSession, User, hash_of, login_key
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
migration = import_module("accounts.migrations.0003_hashed_sessions_and_login_names")
domains = import_module("accounts.migrations.0005_ascii_domains")
BEFORE, AFTER = "0002_roles_and_browser_sessions", "0008_mails"
PLAIN_KEY, PLAIN_ID = "k" * 32, "1" * 32


@pytest.fixture
def migrated():
    """Gives a function that migrates to a migration. In the end everything is restored."""
    yield lambda name: call_command("migrate", "accounts", name, verbosity=0)
    call_command("migrate", verbosity=0)


def make_old():
    """A login by browser and one by token, as the version before stored them."""
    user = UserFactory(username="ada", password=PASSWORD, is_staff=True)
    Client().force_login(user)
    refresh = tokens.token_pair(
        tokens.open_session(user, refresh_id=PLAIN_ID, lifetime=tokens.LIFETIME), refresh_id=PLAIN_ID
    )
    kept = BrowserSession.objects.get()
    return user, kept, refresh["refreshToken"]


def write(sql, *values):
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def columns():
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_key FROM accounts_browsersession")
        keys = [key for (key,) in cursor.fetchall()]
        cursor.execute("SELECT refresh_id FROM accounts_loginsession")
        return keys, [identity for (identity,) in cursor.fetchall()]


def test_migration_leaves_everybody_logged_in(migrated, anonymous):
    user, session, refresh = make_old()
    login = LoginSession.objects.get()
    migrated(BEFORE)
    # On the way back all logins end.
    assert columns() == ([], [])
    write(
        "INSERT INTO accounts_browsersession"
        " (session_key, session_data, expire_date, auth_hash, created_at, user_id) VALUES (%s, %s, %s, %s, %s, %s)",
        *(PLAIN_KEY, session.session_data, session.expire_date, session.auth_hash, session.created_at, user.pk),
    )
    write(
        "INSERT INTO accounts_loginsession (id, refresh_id, auth_hash, created_at, expires_at, user_id)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        *(login.pk, PLAIN_ID, login.auth_hash, login.created_at, login.expires_at, user.pk),
    )

    migrated(AFTER)

    assert columns() == ([sha256(PLAIN_KEY.encode()).hexdigest()], [sha256(PLAIN_ID.encode()).hexdigest()])
    browser = Client()
    browser.cookies["sessionid"] = PLAIN_KEY
    assert browser.get("/admin/").status_code == 200
    assert anonymous.post("/api/v1/auth/refresh", {"refreshToken": refresh}).status_code == 200
    assert set(user.login_names.values_list("key", flat=True)) == {login_key("ada"), login_key("ada@example.org")}


def test_migration_that_was_interrupted_hashes_nothing_twice():
    make_old()
    BrowserSession.objects.update(session_key=PLAIN_KEY)
    LoginSession.objects.update(refresh_hash=PLAIN_ID)
    other = UserFactory()
    tokens.open_session(other, refresh_id="another", lifetime=tokens.LIFETIME)

    for _ in range(2):
        migration.hash_secrets(apps, None)

    assert columns()[0] == [hash_of(PLAIN_KEY)]
    assert sorted(columns()[1]) == sorted([hash_of(PLAIN_ID), hash_of("another")])


OPERATIONS = [
    inner
    for operation in migration.Migration.operations
    for inner in (operation, *getattr(operation, "database_operations", ()))
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_migration_that_stopped_anywhere_is_run_again(migrated, monkeypatch, operation):
    """MariaDB keeps the results of the operations before."""
    UserFactory(username="ada")
    migrated(BEFORE)

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(operation, "database_forwards", stop)
        with pytest.raises(KeyboardInterrupt):
            migrated(AFTER)
    migrated(AFTER)

    Client().force_login(User.objects.get())
    assert LoginName.objects.count() == 2
    assert [len(key) for key in columns()[0]] == [64]


@pytest.mark.parametrize("rows", [1, 1000])
def test_names_are_reserved_username_first_and_a_clash_is_told(caplog, monkeypatch, rows):
    monkeypatch.setattr(migration, "ROWS", rows)
    first = UserFactory(username="first", email="clash@example.org")
    second = UserFactory(username="second", email=None)
    User.objects.filter(pk=second.pk).update(username="Clash@example.org", username_key="clash@example.org")
    third = UserFactory(username="third", email=None)
    LoginName.objects.all().delete()

    for _ in range(2):
        migration.reserve_names(apps, None)

    assert dict(LoginName.objects.values_list("key", "user")) == {
        login_key("first"): first.pk,
        login_key("clash@example.org"): second.pk,
        login_key("third"): third.pk,
    }
    said = (
        f"The email of account {first.pk} is a login name of account {second.pk} as well, and stays reserved for "
        f"that. Give account {first.pk} another email."
    )
    assert caplog.messages == [said, said]


def test_account_of_a_clash_logs_in_as_before_and_can_be_given_another_email(anonymous, superuser_client):
    first = UserFactory(username="first", email="clash@example.org", password=PASSWORD)
    second = UserFactory(username="second", email=None, password="another 9 password")
    User.objects.filter(pk=second.pk).update(username="clash@example.org", username_key="clash@example.org")
    LoginName.objects.all().delete()
    migration.reserve_names(apps, None)

    logins = [
        anonymous.post("/api/v1/auth/login", {name: value, "password": password}).status_code
        for name, value, password in (
            ("email", "clash@example.org", PASSWORD),
            ("username", "first", PASSWORD),
            ("username", "clash@example.org", "another 9 password"),
        )
    ]
    form = {"username": "first", "email": "first@example.org", "is_active": "on"}
    response = superuser_client.post(f"/admin/accounts/user/{first.pk}/change/", form)

    assert (logins, response.status_code) == ([200, 200, 200], 302)
    assert set(first.login_names.values_list("key", flat=True)) == {login_key("first"), login_key("first@example.org")}


def test_keys_of_the_migration_are_those_of_the_accounts():
    for name in ("ada", " Ada@Example.org ", "straße", "\uff21da", "İ", "e\u0301"):
        assert migration.login_key(name) == login_key(name)


def make_older(user, *, username=None, email=None):
    """Leaves the names of an account as the version before stored them, and its login names."""
    names = {name: value for name, value in (("username", username), ("email", email)) if value}
    User.objects.filter(pk=user.pk).update(**names)
    user.login_names.all().delete()
    [stored] = User.objects.filter(pk=user.pk).values_list("username", "email")
    LoginName.objects.bulk_create(LoginName(key=migration.login_key(name), user=user) for name in stored if name)


def test_addresses_of_accounts_get_ascii_domains_and_log_in(anonymous):
    letters = UserFactory(username="first", password=PASSWORD)
    make_older(letters, email="first@exämple.org")
    encoded = UserFactory(username="second", password=PASSWORD)
    make_older(encoded, email="second@xn--exmple-cua.org")
    other = UserFactory(username="third", password=PASSWORD)

    for _ in range(2):
        domains.encode_domains(apps, None)

        for user, email in ((letters, "first@exämple.org"), (encoded, "second@exämple.org"), (other, other.email)):
            login = anonymous.post("/api/v1/auth/login", {"email": email, "password": PASSWORD})
            assert login.status_code == 200, email
            user.refresh_from_db()
            assert user.email.isascii()
            keys = {login_key(user.username), login_key(user.email)}
            assert set(user.login_names.values_list("key", flat=True)) == keys


def test_of_two_accounts_with_one_address_the_second_is_named(caplog):
    encoded, letters = UserFactory(username="first"), UserFactory(username="second")
    make_older(encoded, email="ada@xn--exmple-cua.org")
    make_older(letters, email="ada@exämple.org")

    domains.encode_domains(apps, None)

    emails = dict(User.objects.values_list("username", "email"))
    assert emails == {"first": "ada@xn--exmple-cua.org", "second": "ada@exämple.org"}
    assert f"account {letters.pk}" in caplog.text.lower()


def test_keys_of_the_migration_of_domains_are_those_of_the_accounts():
    for name in ("ada", "ada@example.org", "a@xn--exmple-cua.org", "a@xn--strae-oqa.example", "a@xn--.org"):
        assert domains.login_key(name) == login_key(name)
