import json
from datetime import timedelta
from hashlib import sha256

import pytest
from django.db import OperationalError
from django.utils import timezone

from accounts import tokens
from accounts.models import LoginSession, hash_of
from accounts.services import open_session
from accounts.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

URL = "/api/v1/auth/refresh"
ENDED = {
    "message": "This token is no longer valid; log in again.",
    "error": True,
    "code": "token_not_valid",
}
INVALID = {**ENDED, "message": "The refresh token is invalid or expired; log in again."}


@pytest.fixture
def pair(user):
    return tokens.log_in(user)


def assert_refused(response, said):
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert response.json() == said


def status_of_me(client, token):
    return client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code


def test_refresh_answers_a_new_pair_of_the_same_session(anonymous, pair, user):
    LoginSession.objects.update(expires_at=timezone.now() + timedelta(days=1))

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert response.status_code == 200
    renewed = response.json()["data"]
    assert response.json() == {
        "message": "Token refreshed successfully.",
        "data": {"token": renewed["token"], "refreshToken": renewed["refreshToken"]},
        "error": False,
    }
    assert renewed["refreshToken"] != pair["refreshToken"]
    session = LoginSession.objects.get()
    assert session.user == user
    assert session.expires_at > timezone.now() + timedelta(days=13)
    assert status_of_me(anonymous, renewed["token"]) == 200
    assert anonymous.post(URL, {"refreshToken": renewed["refreshToken"]}).status_code == 200


def test_table_holds_no_id_that_a_refresh_token_could_bear(anonymous, pair, user):
    """A reader of the table cannot make a refresh token, even with the key that signs tokens."""
    session = LoginSession.objects.get()
    stolen = tokens.token_pair(session, refresh_id=session.refresh_hash)["refreshToken"]

    answers = [anonymous.post(URL, {"refreshToken": token}) for token in (pair["refreshToken"], stolen)]

    _, refresh_id = tokens.read_refresh_token(pair["refreshToken"])
    assert session.refresh_hash == sha256(refresh_id.encode()).hexdigest()
    assert [answer.status_code for answer in answers] == [200, 401]


@pytest.mark.parametrize("jti", [["x"], {"x": 1}, 7, None, ""])
def test_refresh_with_an_id_that_is_no_text_is_401(anonymous, pair, jti):
    token = tokens.RefreshToken(pair["refreshToken"])
    token["jti"] = jti

    response = anonymous.post(URL, {"refreshToken": str(token)})

    assert response.status_code == 401


def test_refresh_with_a_used_token_ends_the_session(anonymous, pair):
    renewed = anonymous.post(URL, {"refreshToken": pair["refreshToken"]}).json()["data"]

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)
    assert not LoginSession.objects.exists()
    assert_refused(anonymous.post(URL, {"refreshToken": renewed["refreshToken"]}), ENDED)
    assert status_of_me(anonymous, renewed["token"]) == 401


def test_refresh_with_a_used_token_leaves_other_logins(anonymous, pair, user):
    other = tokens.log_in(user)
    anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert status_of_me(anonymous, other["token"]) == 200


def test_refresh_of_an_expired_session_is_401(anonymous, pair):
    LoginSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)
    assert not LoginSession.objects.exists()


def test_refresh_with_an_expired_token_is_401(anonymous, user):
    session = open_session(user, refresh_id="a" * 32, lifetime=timedelta(days=1))
    token = tokens.RefreshToken.for_user(user)
    token["sid"], token["jti"] = session.pk, "a" * 32
    token.set_exp(lifetime=-timedelta(seconds=11))

    response = anonymous.post(URL, {"refreshToken": str(token)})

    assert_refused(response, INVALID)
    assert LoginSession.objects.get().refresh_hash == hash_of("a" * 32)


def test_refresh_with_an_access_token_is_401(anonymous, pair):
    response = anonymous.post(URL, {"refreshToken": pair["token"]})

    assert_refused(response, INVALID)
    assert status_of_me(anonymous, pair["token"]) == 200


def test_refresh_with_a_token_of_no_session_is_401(anonymous, user):
    response = anonymous.post(URL, {"refreshToken": str(tokens.RefreshToken.for_user(user))})

    assert_refused(response, ENDED)


@pytest.mark.parametrize("throttled", [True, False])
@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", "W" * 2000, ".." + "A" * 50])
def test_refresh_with_garbage_is_401(anonymous, pair, settings, token, throttled):
    settings.THROTTLE_ENABLED = throttled

    response = anonymous.post(URL, {"refreshToken": token})

    assert_refused(response, INVALID)
    assert LoginSession.objects.count() == 1


@pytest.mark.parametrize("throttled", [True, False])
@pytest.mark.parametrize("token", [None, "", "\ud800", "a\0b", "W" * 2001, ["x"], {"x": 1}, True, 0])
def test_refresh_with_what_is_no_token_is_400(anonymous, pair, settings, token, throttled):
    settings.THROTTLE_ENABLED = throttled

    response = anonymous.post(URL, json.dumps({"refreshToken": token}), content_type="application/json")

    assert response.status_code == 400
    assert (response.json()["code"], list(response.json()["errors"])) == ("invalid", ["refreshToken"])
    assert LoginSession.objects.count() == 1


def test_refresh_without_a_token_is_400(anonymous):
    response = anonymous.post(URL, {})

    assert response.status_code == 400
    assert response.json()["errors"] == {"refreshToken": ["This field is required."]}


def test_refresh_of_a_deleted_user_is_401(anonymous):
    user = UserFactory()
    pair = tokens.log_in(user)
    user.delete()

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)


def test_refresh_of_an_inactive_user_ends_the_session(anonymous, pair, user):
    user.is_active = False
    user.save(update_fields=["is_active"])

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)
    assert not LoginSession.objects.exists()


def test_refresh_whose_commit_was_not_answered_is_unknown(anonymous, user, commits):
    pair = tokens.log_in(user)
    commits(OperationalError(2013, "Lost connection to server during query"), carried_out=True)

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert response.status_code == 503
    assert response.json()["code"] == "outcome_unknown"
