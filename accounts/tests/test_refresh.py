import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256

import pytest
from django.db import OperationalError, connection
from django.db.models import QuerySet
from django.utils import timezone

from accounts import tokens
from accounts.exceptions import SessionEnded
from accounts.models import LoginSession, hash_of
from accounts.services import MAX_REFRESH_TOKENS, REPEAT_SECONDS, open_session
from accounts.tests.factories import UserFactory
from accounts.throttles import REFRESH

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


def refreshed(client, pair):
    response = client.post(URL, {"refreshToken": pair["refreshToken"]})
    assert response.status_code == 200, response.content
    return response.json()["data"]


def let_pass(seconds):
    """As if the refresh tokens had been used so much earlier."""
    session = LoginSession.objects.get()
    session.other_refresh_hashes = [
        [refresh_hash, first_use and first_use - seconds] for refresh_hash, first_use in session.other_refresh_hashes
    ]
    session.save()


def test_refresh_with_a_token_that_was_used_long_ago_ends_the_session(anonymous, pair):
    renewed = refreshed(anonymous, pair)
    let_pass(REPEAT_SECONDS + 1)

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)
    assert not LoginSession.objects.exists()
    assert_refused(anonymous.post(URL, {"refreshToken": renewed["refreshToken"]}), ENDED)
    assert status_of_me(anonymous, renewed["token"]) == 401


def test_refresh_with_a_used_token_leaves_other_logins(anonymous, pair, user):
    refreshed(anonymous, pair)
    let_pass(REPEAT_SECONDS + 1)
    other = tokens.log_in(user)

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)
    assert status_of_me(anonymous, other["token"]) == 200


def test_refresh_again_soon_after_answers_another_good_pair(anonymous, pair):
    """Two tabs, or a client that lost the answer."""
    first, second = refreshed(anonymous, pair), refreshed(anonymous, pair)

    assert len({pair["refreshToken"], first["refreshToken"], second["refreshToken"]}) == 3
    assert [status_of_me(anonymous, one["token"]) for one in (first, second)] == [200, 200]
    # Each tab goes on with its own pair, however late.
    let_pass(3600)
    first = refreshed(anonymous, first)
    let_pass(3600)
    second = refreshed(anonymous, second)
    let_pass(3600)
    assert [status_of_me(anonymous, refreshed(anonymous, one)["token"]) for one in (first, second)] == [200, 200]
    assert LoginSession.objects.count() == 1


def test_ten_seconds_count_from_the_first_use(anonymous, pair):
    refreshed(anonymous, pair)
    let_pass(REPEAT_SECONDS - 2)
    refreshed(anonymous, pair)
    let_pass(3)

    response = anonymous.post(URL, {"refreshToken": pair["refreshToken"]})

    assert_refused(response, ENDED)


def test_used_token_of_one_tab_ends_the_login_of_both(anonymous, pair):
    first, second = refreshed(anonymous, pair), refreshed(anonymous, pair)
    refreshed(anonymous, second)
    let_pass(REPEAT_SECONDS + 1)

    response = anonymous.post(URL, {"refreshToken": second["refreshToken"]})

    assert_refused(response, ENDED)
    assert status_of_me(anonymous, first["token"]) == 401


def test_logout_of_one_tab_ends_the_login_of_both(anonymous, pair):
    first, second = refreshed(anonymous, pair), refreshed(anonymous, pair)

    anonymous.post("/api/v1/auth/logout", {"refreshToken": first["refreshToken"]})

    assert_refused(anonymous.post(URL, {"refreshToken": second["refreshToken"]}), ENDED)


def test_more_refreshes_at_once_than_the_throttle_allows_leave_every_token_valid():
    [by_account] = [limit.number for limit in REFRESH if limit.purpose == "refresh-account"]

    # A minute can end among them.
    assert 2 * by_account < MAX_REFRESH_TOKENS


def test_beyond_the_most_valid_tokens_the_oldest_is_not(anonymous, pair):
    pairs = [refreshed(anonymous, pair) for _ in range(MAX_REFRESH_TOKENS + 1)]

    latest = [refreshed(anonymous, one) for one in pairs[1:]]
    response = anonymous.post(URL, {"refreshToken": pairs[0]["refreshToken"]})

    assert len(latest) == MAX_REFRESH_TOKENS
    assert_refused(response, ENDED)


def test_table_forgets_the_tokens_that_were_used_long_ago(anonymous, pair):
    for _ in range(3):
        pair = refreshed(anonymous, pair)
        let_pass(REPEAT_SECONDS + 1)

    refreshed(anonymous, pair)

    session = LoginSession.objects.get()
    refresh_id = tokens.read_refresh_token(pair["refreshToken"])[1]
    assert [refresh_hash for refresh_hash, _ in session.other_refresh_hashes] == [hash_of(refresh_id)]


# Races


def refresh_at_once(pair, times=8):
    with ThreadPoolExecutor(times) as pool:
        start = threading.Barrier(times)

        def refresh_together(_):
            try:
                connection.ensure_connection()
                start.wait(30)
                return tokens.refresh(pair["refreshToken"])
            except SessionEnded as error:
                return error
            finally:
                connection.close()

        return list(pool.map(refresh_together, range(times)))


def lasting(pairs):
    """The pairs whose later use does not end the login."""
    good = []
    for one in pairs:
        with suppress(SessionEnded):
            tokens.refresh(one["refreshToken"])
            good.append(one)
    return good


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_refreshes_at_once_all_get_a_good_pair():
    pair = tokens.log_in(UserFactory())

    pairs = refresh_at_once(pair)

    assert [type(one) for one in pairs] == [dict] * 8
    assert lasting(pairs) == pairs


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_a_pair_is_lost(monkeypatch):
    monkeypatch.setattr(QuerySet, "select_for_update", lambda self: self)

    def lost():
        pairs = refresh_at_once(tokens.log_in(UserFactory()))
        return lasting([one for one in pairs if isinstance(one, dict)]) != pairs

    assert any(lost() for _ in range(10))


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
