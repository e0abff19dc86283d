from io import StringIO

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.core.management import call_command
from rest_framework.test import APIClient

from accounts import tokens
from accounts.models import LoginSession, User
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/password"
NEW = "another 9 password"


@pytest.fixture
def account(db):
    return UserFactory(username="divine", password=PASSWORD)


@pytest.fixture
def holder(client_of, account):
    return client_of(account)


def assert_unchanged(account):
    before = account.password
    account.refresh_from_db()
    assert account.password == before
    assert account.login_sessions.count() == 1


def test_password_change_answers_and_sets_the_new_one(holder, account):
    response = holder.post(URL, {"currentPassword": PASSWORD, "newPassword": NEW})

    assert response.status_code == 200
    assert response.json() == {"message": "Password changed successfully; log in again.", "error": False}
    account.refresh_from_db()
    assert account.check_password(NEW)
    assert not account.check_password(PASSWORD)


def test_password_change_ends_every_login(holder, account, anonymous, stranger):
    elsewhere = tokens.log_in(account)

    response = holder.post(URL, {"currentPassword": PASSWORD, "newPassword": NEW})

    assert response.status_code == 200
    assert not account.login_sessions.exists()
    assert holder.get("/api/v1/auth/me").status_code == 401
    bearer = {"Authorization": f"Bearer {elsewhere['token']}"}
    assert anonymous.get("/api/v1/auth/me", headers=bearer).status_code == 401
    refreshed = anonymous.post("/api/v1/auth/refresh", {"refreshToken": elsewhere["refreshToken"]})
    assert refreshed.status_code == 401
    assert stranger.get("/api/v1/auth/me").status_code == 200


def test_password_change_ends_browser_sessions(account, anonymous, holder):
    anonymous.force_login(account)
    before = anonymous.get("/api/v1/auth/me")

    holder.post(URL, {"currentPassword": PASSWORD, "newPassword": NEW})

    assert (before.status_code, anonymous.get("/api/v1/auth/me").status_code) == (200, 401)


def test_password_change_with_wrong_current_is_400(holder, account):
    response = holder.post(URL, {"currentPassword": "wrong", "newPassword": NEW})

    assert response.status_code == 400
    assert response.json() == {
        "message": "The current password is wrong.",
        "error": True,
        "code": "wrong_password",
        "errors": {"currentPassword": ["The current password is wrong."]},
    }
    assert_unchanged(account)


@pytest.mark.parametrize("new", ["short", "password1", "7391048265", "divine@example.org"])
def test_password_change_to_a_weak_one_is_400(holder, account, new):
    response = holder.post(URL, {"currentPassword": PASSWORD, "newPassword": new})

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", ["newPassword"])
    assert_unchanged(account)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"newPassword": NEW}, "currentPassword"),
        ({"currentPassword": PASSWORD}, "newPassword"),
        ({"currentPassword": PASSWORD, "newPassword": None}, "newPassword"),
        ({"currentPassword": PASSWORD, "newPassword": "é" * 1001}, "newPassword"),
    ],
)
def test_password_change_with_bad_field_is_400(holder, account, sent, field):
    response = holder.post(URL, sent)

    assert response.status_code == 400
    assert list(response.json()["errors"]) == [field]
    assert_unchanged(account)


COMPOSED, APART = "Ångström 4711 é", "A\u030angstro\u0308m 4711 e\u0301"


@pytest.mark.parametrize(("chosen", "typed"), [(COMPOSED, APART), (APART, COMPOSED), (APART, APART)])
def test_password_is_the_same_however_a_keyboard_types_its_letters(holder, account, anonymous, chosen, typed):
    holder.post(URL, {"currentPassword": PASSWORD, "newPassword": chosen})

    login = anonymous.post("/api/v1/auth/login", {"username": "divine", "password": typed})

    assert login.status_code == 200


def test_hash_of_a_password_as_it_was_typed_is_still_accepted(account, anonymous):
    # Earlier versions hashed the text as it came.
    account.password = Argon2PasswordHasher().encode(APART, "a salt of a test")
    account.save()

    logins = [
        anonymous.post("/api/v1/auth/login", {"username": "divine", "password": typed}) for typed in (APART, "no")
    ]

    assert [login.status_code for login in logins] == [200, 401]


def test_password_has_the_length_of_its_stored_spelling(holder, account):
    # It has eight code points as it is typed, and four letters.
    response = holder.post(URL, {"currentPassword": PASSWORD, "newPassword": "e\u0301" * 4})

    assert response.status_code == 400
    assert_unchanged(account)


@pytest.mark.parametrize("typed", ["wrong", "wrong e\u0301"])
def test_unknown_name_costs_as_many_hashes_as_a_wrong_password(account, anonymous, monkeypatch, typed):
    hashed = []
    for name in ("encode", "verify"):
        own = getattr(Argon2PasswordHasher, name)
        monkeypatch.setattr(Argon2PasswordHasher, name, lambda *args, own=own: hashed.append(len(args)) or own(*args))

    anonymous.post("/api/v1/auth/login", {"username": "divine", "password": typed})
    known = len(hashed)
    anonymous.post("/api/v1/auth/login", {"username": "nobody", "password": typed})

    assert len(hashed) == 2 * known


@pytest.mark.parametrize("persona", ["stranger", "staff"])
def test_password_change_needs_the_own_password(request, account, persona):
    client = request.getfixturevalue(persona)

    response = client.post(URL, {"currentPassword": PASSWORD, "newPassword": NEW})

    assert response.status_code == 400
    assert response.json()["code"] == "wrong_password"
    account.refresh_from_db()
    assert account.check_password(PASSWORD)


def test_password_change_anonymous_is_401(anonymous, account):
    response = anonymous.post(URL, {"currentPassword": PASSWORD, "newPassword": NEW})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert response.json()["code"] == "not_authenticated"
    account.refresh_from_db()
    assert account.check_password(PASSWORD)
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize("way", ["own page", "command", "shell"])
def test_new_password_ends_tokens_whoever_sets_it(client, client_of, way, monkeypatch):
    user = UserFactory(password=PASSWORD, is_staff=True)
    pair = tokens.log_in(user)
    bearer = APIClient()
    bearer.credentials(HTTP_AUTHORIZATION=f"Bearer {pair['token']}")
    assert bearer.get("/api/v1/auth/me").status_code == 200

    if way == "own page":
        client.force_login(user)
        fields = {"old_password": PASSWORD, "new_password1": "another 9 horses", "new_password2": "another 9 horses"}
        assert client.post("/admin/password_change/", fields).status_code == 302
    elif way == "command":
        monkeypatch.setattr("getpass.getpass", lambda prompt: "another 9 horses")
        call_command("changepassword", user.username, stdout=StringIO())
    else:
        user.set_password("another 9 horses")
        user.save()

    assert bearer.get("/api/v1/auth/me").status_code == 401
    refreshed = bearer.post("/api/v1/auth/refresh", {"refreshToken": pair["refreshToken"]})
    assert refreshed.status_code == 401


def test_login_that_a_new_password_overtakes_is_not_good(client_of):
    user = UserFactory(password=PASSWORD)
    verified = User.objects.get(pk=user.pk)
    user.set_password("another 9 horses")
    user.save()

    late = client_of(verified)

    assert late.get("/api/v1/auth/me").status_code == 401
