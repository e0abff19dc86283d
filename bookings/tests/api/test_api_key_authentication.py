"""API keys: how they are stored, who has a valid one, and what is written when one is used."""

import re
from datetime import timedelta

import pytest
from django.conf import settings as in_force
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import api_keys
from accounts.api_keys import find_api_key, known_api_key, make_api_key, revoke_api_key
from accounts.exceptions import ApiKeyRefused, ApiKeyRevoked
from accounts.models import ApiKey, Scope, User
from accounts.tests.factories import UserFactory, client_with_key, new_api_key
from bookings.tests.state import digest_of_all_tables
from bookings.tests.wire import CHALLENGE, failure
from ticks.api.throttling import MOVING_WINDOWS

pytestmark = pytest.mark.django_db
EVENTS = "/api/v1/event"
NOT_OURS = failure("This API key is not valid: there is no such key.", "api_key_not_valid")
EXPIRED = failure("This API key has expired. Ask for a new one.", "api_key_not_valid")
REVOKED = failure("This API key was revoked. Ask for a new one.", "api_key_not_valid")


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch):
    monkeypatch.setattr(api_keys, "known", {})


@pytest.fixture
def reader():
    return client_with_key("events:read")


def sent(header):
    return APIClient().get(EVENTS, headers={"Authorization": header})


def test_key_is_stored_as_its_hash():
    actor = UserFactory(is_staff=True)

    key, text = make_api_key(
        name="Till", scopes=["events:read", "checkin", "checkin"], actor=actor, event_ids=[7, 3, 7]
    )

    stored = ApiKey.objects.get()
    assert re.fullmatch(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}", text)
    assert text.startswith(f"{stored.prefix}.")
    assert stored.hashed_key.startswith("sha512$$")
    values = repr(ApiKey.objects.values().get()) + repr(User.objects.values())
    assert text.partition(".")[2] not in values
    assert (stored.name, stored.scopes, stored.event_ids) == ("Till", ["checkin", "events:read"], [3, 7])
    assert (stored.created_by, stored.revoked, stored.expiry_date, stored.last_used_at) == (actor, False, None, None)
    assert str(key) == f"Till ({stored.prefix})"


def test_keys_differ():
    texts = {new_api_key("checkin")[1] for _ in range(3)}

    assert len(texts) == len({text.partition(".")[2] for text in texts}) == 3


def test_two_keys_never_have_one_prefix():
    key, _ = new_api_key("checkin")
    before = digest_of_all_tables()

    with pytest.raises(IntegrityError):
        new_api_key("events:read", actor=key.created_by, prefix=key.prefix)

    assert digest_of_all_tables() == before


def test_account_of_a_key_can_do_nothing(client_of, anonymous):
    key, _ = new_api_key(*Scope.values)
    account = key.account

    assert account.username == f"api-key-{key.prefix}"
    assert (account.is_active, account.is_staff, account.is_superuser, account.email) == (False, False, False, None)
    assert not account.has_usable_password()
    assert client_of(account).get(EVENTS).status_code == 401
    for password in ("", "!"):
        fields = {"username": account.username, "password": password}
        assert anonymous.post("/api/v1/auth/login", fields).status_code in (400, 401)


def test_good_key_is_let_in(reader):
    response = reader.get(EVENTS)

    assert response.status_code == 200
    assert "Cookie" not in response["Vary"]


@pytest.mark.parametrize("scheme", ["Api-Key ", "api-key ", "API-KEY ", "Api-Key  "])
def test_scheme_may_have_any_case(reader, scheme):
    assert sent(f"{scheme}{reader.text}").status_code == 200


def wrong_keys(text):
    prefix, _, secret = text.partition(".")
    return [
        f"{prefix}.{secret[::-1]}",
        f"{prefix}.{secret[:-1]}",
        f"{prefix}.{secret}x",
        f"{prefix}{secret}",
        f"{prefix}.{secret.swapcase()}",
        f"{prefix.swapcase()}.{secret}",
        f"{prefix}.",
        prefix,
        "",
        "x",
        f"{text} {text}",
        f"{prefix}.{'é' * 32}",
        "0" * 10_000,
    ]


def test_wrong_key_is_refused(reader):
    before = digest_of_all_tables()

    for text in wrong_keys(reader.text):
        response = sent(f"Api-Key {text}")

        assert (response.status_code, response.json()) == (401, NOT_OURS), text
        assert response["WWW-Authenticate"] == CHALLENGE
    assert digest_of_all_tables() == before


def test_wrong_secret_is_refused_without_telling_whether_the_prefix_exists(reader):
    answers = []
    for prefix in (reader.key.prefix, "AAAAAAAA"):
        response = sent(f"Api-Key {prefix}.{'a' * 32}")
        answers.append((response.status_code, response.content))

    assert answers[0] == answers[1]


def test_key_that_is_no_scheme_of_ours_is_refused(reader):
    for header in (reader.text, f"ApiKey {reader.text}", f"Token {reader.text}", f"Bearer {reader.text}", "Api-Key"):
        response = sent(header)

        assert response.status_code == 401
        assert response.json()["code"] in ("bad_authorization_header", "token_not_valid")


def test_header_says_what_it_may_be(reader):
    response = sent("Basic eDp5")

    message = "The Authorization header must read: Bearer <access token>, or: Api-Key <key>."
    assert (response.status_code, response.json()) == (401, failure(message, "bad_authorization_header"))


def test_expired_key_is_refused(reader):
    ApiKey.objects.update(expiry_date=timezone.now() - timedelta(seconds=1))

    response = reader.get(EVENTS)

    assert (response.status_code, response.json()) == (401, EXPIRED)
    assert ApiKey.objects.get().last_used_at is None


def test_key_that_expires_later_is_let_in(reader):
    ApiKey.objects.update(expiry_date=timezone.now() + timedelta(minutes=1))

    assert reader.get(EVENTS).status_code == 200


def test_revoked_key_is_refused_at_the_next_request(reader):
    assert reader.get(EVENTS).status_code == 200

    revoke_api_key(reader.key)

    response = reader.get(EVENTS)
    assert (response.status_code, response.json()) == (401, REVOKED)


def test_key_is_revoked_once():
    key, _ = new_api_key("checkin")
    revoke_api_key(key)

    with pytest.raises(ApiKeyRevoked):
        revoke_api_key(key)

    assert ApiKey.objects.get().revoked


def test_secret_of_a_revoked_key_is_checked_first(reader):
    """Whoever only knows the prefix does not learn that the key was revoked."""
    revoke_api_key(reader.key)

    response = sent(f"Api-Key {reader.key.prefix}.{'a' * 32}")

    assert response.json() == NOT_OURS


def updates(queries):
    return [query for query in queries.captured_queries if query["sql"].startswith("UPDATE")]


def test_use_is_written_once_a_minute(reader):
    with CaptureQueriesContext(connection) as first:
        reader.get(EVENTS)
    used = ApiKey.objects.get().last_used_at
    with CaptureQueriesContext(connection) as others:
        for _ in range(3):
            reader.get(EVENTS)

    assert (len(updates(first)), len(updates(others))) == (1, 0)
    assert abs(used - timezone.now()) < timedelta(minutes=1)
    assert ApiKey.objects.get().last_used_at == used

    earlier = used - timedelta(seconds=api_keys.USE_SECONDS + 1)
    ApiKey.objects.update(last_used_at=earlier)
    reader.get(EVENTS)
    assert ApiKey.objects.get().last_used_at >= used


def test_use_that_another_worker_has_written_is_not_written_again(reader):
    stale = ApiKey.objects.get()
    moment = timezone.now()
    ApiKey.objects.update(last_used_at=moment)

    api_keys.note_use(stale, now=moment + timedelta(seconds=30))

    assert ApiKey.objects.get().last_used_at == moment


def test_request_with_a_key_costs_one_query_more_than_its_own(reader):
    reader.get(EVENTS)

    with CaptureQueriesContext(connection) as queries:
        reader.get(EVENTS)

    assert len(queries) == 2


def test_key_is_known_for_a_minute_after_it_was_looked_up(reader, monkeypatch):
    with pytest.raises(ApiKeyRefused):
        known_api_key(reader.text)

    assert find_api_key(reader.text) == reader.key
    with CaptureQueriesContext(connection) as queries:
        assert known_api_key(reader.text) == reader.key
    assert len(queries) == 0

    monkeypatch.setattr(api_keys, "KNOWN_SECONDS", 0)
    with pytest.raises(ApiKeyRefused):
        known_api_key(reader.text)


def test_known_keys_are_bounded(monkeypatch):
    monkeypatch.setattr(api_keys, "MAX_KNOWN", 2)
    texts = [new_api_key("checkin")[1] for _ in range(3)]

    for text in texts:
        find_api_key(text)

    assert list(api_keys.known) == texts[2:]


def test_requests_count_for_the_key(reader, settings, monkeypatch):
    settings.THROTTLE_ENABLED = True
    monkeypatch.setitem(in_force.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "api_key", "2/min")
    other = client_with_key("events:read")

    statuses = [client.get(EVENTS).status_code for client in (reader, reader, reader, other)]

    assert statuses == [200, 200, 429, 200]
    assert {scope: list(window.callers) for scope, window in MOVING_WINDOWS.items() if window.callers} == {
        "api_key": [str(reader.key.account_id), str(other.key.account_id)]
    }


@pytest.fixture
def two_a_minute(settings, monkeypatch):
    """A guest may send two requests a minute."""
    settings.THROTTLE_ENABLED = True
    monkeypatch.setitem(in_force.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "guest", "2/min")


def test_wrong_keys_count_as_requests_of_a_guest(two_a_minute):
    answers = []
    for letter in "abc":
        with CaptureQueriesContext(connection) as queries:
            response = sent(f"Api-Key AAAAAAAA.{letter * 32}")
        answers.append((response.status_code, len(queries)))

    assert answers == [(401, 1), (401, 1), (429, 0)]
    assert response.json()["code"] == "throttled"
    assert 1 <= int(response["Retry-After"]) <= 60
    assert APIClient().get("/api/v1/booking/status/1").status_code == 429
    elsewhere = APIClient().get(EVENTS, headers={"Authorization": "Api-Key A.b"}, REMOTE_ADDR="192.0.2.7")
    assert elsewhere.status_code == 401


def test_key_that_is_in_use_is_let_in_however_many_wrong_ones_come_from_its_address(reader, two_a_minute):
    assert reader.get(EVENTS).status_code == 200
    refused = [sent(f"Api-Key AAAAAAAA.{letter * 32}").status_code for letter in "abc"]

    assert (refused, reader.get(EVENTS).status_code) == ([401, 401, 429], 200)


@pytest.mark.parametrize("change", [{"revoked": True}, {"expiry_date": timezone.now()}])
def test_key_that_has_ended_counts_as_a_wrong_one(reader, two_a_minute, change):
    reader.get(EVENTS)
    ApiKey.objects.update(**change)

    # The first request finds out that the key has ended.
    assert [reader.get(EVENTS).status_code for _ in range(4)] == [401, 401, 401, 429]


def test_key_stands_in_no_log(reader, caplog):
    reader.get(EVENTS)
    sent(f"Api-Key {reader.text}x")

    assert [record.user for record in caplog.records if record.name == "ticks.request"] == [
        reader.key.account_id,
        None,
    ]
    assert reader.text.partition(".")[2] not in caplog.text


def test_accounts_of_keys_are_not_among_the_users(superuser_client):
    key, _ = new_api_key("checkin")

    page = superuser_client.get("/admin/accounts/user/")

    assert key.account.username not in page.content.decode()
    assert superuser_client.get(f"/admin/accounts/user/{key.account_id}/change/").status_code == 302
