import pytest
from django.utils import timezone

from accounts import tokens
from accounts.backends import OwaspArgon2
from accounts.models import LoginSession, User
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/login"
WRONG = {"message": "The name or the password is wrong.", "error": True, "code": "wrong_credentials"}


@pytest.fixture
def account(db):
    return UserFactory(username="Divine", email="divine@example.com", password=PASSWORD)


@pytest.fixture
def hashes(monkeypatch):
    """Counts what the hasher really computes."""
    counted = []
    for name in ("encode", "verify"):
        compute = getattr(OwaspArgon2, name)

        def counting(*args, _name=name, _compute=compute, **kwargs):
            counted.append(_name)
            return _compute(*args, **kwargs)

        monkeypatch.setattr(OwaspArgon2, name, counting)
    return counted


def assert_refused(response):
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert response.json() == WRONG
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize(
    "named",
    [
        {"email": "divine@example.com"},
        {"email": " DIVINE@Example.com "},
        {"username": "Divine"},
        {"username": "dIVINE"},
        {"username": "\uff44ivine"},
        {"username": "Divine@example.com"},
    ],
)
def test_login_answers_tokens_that_work(anonymous, account, named):
    response = anonymous.post(URL, {**named, "password": PASSWORD})

    assert response.status_code == 200
    pair = response.json()["data"]
    assert response.json() == {
        "message": "Login successful.",
        "data": {"token": pair["token"], "refreshToken": pair["refreshToken"]},
        "error": False,
    }
    session = LoginSession.objects.get()
    assert session.user == account
    assert 13.9 < (session.expires_at - timezone.now()).total_seconds() / 86400 <= 14
    me = anonymous.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {pair['token']}"})
    assert me.json()["data"]["id"] == account.pk
    assert tokens.read_refresh_token(pair["refreshToken"])[0] == (account.pk, session.pk)


def test_login_twice_opens_two_sessions(anonymous, account):
    for _ in range(2):
        anonymous.post(URL, {"username": "divine", "password": PASSWORD})

    assert account.login_sessions.count() == 2


def test_login_prefers_the_username_to_the_same_text_as_email(anonymous, account):
    named_so = UserFactory(username="other", email="other@example.com", password="another 9 password")
    # The row is as it could be made before the database refused it.
    User.objects.filter(pk=named_so.pk).update(username="divine@example.com", username_key="divine@example.com")

    by_name = anonymous.post(URL, {"username": "divine@example.com", "password": "another 9 password"})
    by_email = anonymous.post(URL, {"email": "divine@example.com", "password": PASSWORD})

    assert (by_name.status_code, by_email.status_code) == (200, 200)
    assert list(LoginSession.objects.order_by("pk").values_list("user", flat=True)) == [named_so.pk, account.pk]


@pytest.mark.parametrize("password", ["wrong", PASSWORD.upper(), f"{PASSWORD} ", PASSWORD[:-1]])
def test_login_with_wrong_password_is_401(anonymous, account, password):
    response = anonymous.post(URL, {"email": "divine@example.com", "password": password})

    assert_refused(response)


@pytest.mark.parametrize(
    "named", [{"email": "nobody@example.com"}, {"username": "nobody"}, {"username": "nobody@example.com"}]
)
def test_login_of_unknown_account_is_the_same_401(anonymous, account, named):
    response = anonymous.post(URL, {**named, "password": PASSWORD})

    assert_refused(response)


def test_login_of_inactive_account_is_the_same_401(anonymous, account):
    account.is_active = False
    account.save(update_fields=["is_active"])

    response = anonymous.post(URL, {"email": "divine@example.com", "password": PASSWORD})

    assert_refused(response)


def test_login_of_account_without_password_is_the_same_401(anonymous):
    UserFactory(username="invited")

    response = anonymous.post(URL, {"username": "invited", "password": PASSWORD})

    assert_refused(response)


@pytest.mark.parametrize(
    ("named", "computed"),
    [
        ({"username": "divine"}, ["verify"]),
        ({"email": "divine@example.com"}, ["verify"]),
        ({"username": "nobody"}, ["encode"]),
        ({"email": "nobody@example.com"}, ["encode"]),
        ({"username": "inactive"}, ["verify"]),
        ({"username": "invited"}, ["encode"]),
    ],
)
def test_login_refused_costs_one_hash_whoever_it_is(anonymous, account, hashes, named, computed):
    UserFactory(username="inactive", password=PASSWORD, is_active=False)
    UserFactory(username="invited")
    hashes.clear()

    response = anonymous.post(URL, {**named, "password": "wrong 4711 password"})

    assert_refused(response)
    assert hashes == computed


@pytest.mark.parametrize(
    "named", [{"email": "divine@example.com", "username": "divine"}, {}, {"email": "", "username": "divine"}]
)
def test_login_wants_one_name(anonymous, account, named):
    response = anonymous.post(URL, {**named, "password": PASSWORD})

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", ["email"])
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"username": "divine"}, "password"),
        ({"username": "divine", "password": ""}, "password"),
        ({"username": "divine", "password": None}, "password"),
        ({"username": "divine", "password": [PASSWORD]}, "password"),
        ({"username": "divine", "password": "x" * 1001}, "password"),
        ({"username": {"$ne": ""}, "password": PASSWORD}, "username"),
        ({"email": True, "password": PASSWORD}, "email"),
        ({"email": "a\0b", "password": PASSWORD}, "email"),
    ],
)
def test_login_with_bad_field_is_400(anonymous, account, sent, field):
    response = anonymous.post(URL, sent)

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", [field])
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize("named", [{"email": 0}, {"username": 0}])
def test_login_with_the_number_zero_is_400(anonymous, account, named):
    # MySQL compares every text as equal to the number 0.
    response = anonymous.post(URL, {**named, "password": PASSWORD})

    assert response.status_code == 400
    assert response.json()["errors"] == {next(iter(named)): ["Not a valid string."]}
    assert not LoginSession.objects.exists()


@pytest.mark.parametrize("sent", ["[]", "null", "5", '"x"', ""])
def test_login_body_that_is_no_object_is_400(anonymous, sent):
    response = anonymous.post(URL, sent, content_type="application/json")

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
