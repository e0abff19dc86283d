import pytest

from accounts import tokens
from accounts.models import LoginSession

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/logout"


@pytest.fixture
def pair(user):
    return tokens.log_in(user)


def test_logout_ends_both_tokens_at_once(anonymous, pair):
    bearer = {"Authorization": f"Bearer {pair['token']}"}
    before = anonymous.get("/api/v1/auth/me", headers=bearer)

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert response.status_code == 200
    assert response.json() == {"message": "Logged out successfully.", "error": False}
    assert not LoginSession.objects.exists()
    after = anonymous.get("/api/v1/auth/me", headers=bearer)
    assert (before.status_code, after.status_code) == (200, 401)
    assert anonymous.post("/api/v1/auth/refresh", {"refreshToken": pair["refreshToken"]}).status_code == 401


def test_logout_leaves_other_logins(anonymous, pair, owner, stranger):
    anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert owner.get("/api/v1/auth/me").status_code == 200
    assert stranger.get("/api/v1/auth/me").status_code == 200


def test_logout_twice_is_as_good_as_once(anonymous, pair):
    anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert response.status_code == 200


@pytest.mark.parametrize("token", ["token", "garbage"])
def test_logout_without_a_refresh_token_is_401(anonymous, pair, token):
    response = anonymous.post(URL, {"refreshToken": pair.get(token, token)})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert response.json() == {
        "message": "The refresh token is invalid or expired; log in again.",
        "error": True,
        "code": "token_not_valid",
    }
    assert LoginSession.objects.count() == 1


def test_logout_without_fields_is_400(owner):
    response = owner.post(URL, {})

    assert response.status_code == 400
    assert response.json()["errors"] == {"refreshToken": ["This field is required."]}
    assert LoginSession.objects.count() == 1
