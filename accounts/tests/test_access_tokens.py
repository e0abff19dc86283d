"""Signatures are checked once and cached. These tests check what must not be cached with them."""

import time
from types import SimpleNamespace

import jwt
import pytest
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt import state
from rest_framework_simplejwt.exceptions import TokenError

from accounts import tokens
from accounts.authentication import caller_of
from accounts.tokens import Caller, read_access_token, verified

ANOTHER_KEY = "another key of more than 32 bytes, 4711"


@pytest.fixture(autouse=True)
def _nothing_known():
    verified.cache_clear()


@pytest.fixture
def clock(monkeypatch):
    """Stops the clock of the cache."""
    clock = SimpleNamespace(now=time.time())
    monkeypatch.setattr(tokens, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


def signed(*, key=None, **changes):
    now = int(time.time())
    claims = {"token_type": "access", "sub": "1", "sid": 1, "jti": "x", "iat": now, "exp": now + 1800, **changes}
    return jwt.encode(claims, key or state.token_backend.signing_key, algorithm="HS256")


def test_signature_is_checked_once():
    token = signed()

    callers = [read_access_token(token) for _ in range(3)]

    assert callers == [Caller(pk=1, session_id=1)] * 3
    assert verified.cache_info().misses == 1


def test_known_token_expires(clock):
    exp = int(clock.now) + 1800
    token = signed(exp=exp)
    read_access_token(token)

    clock.now = exp + 9.999
    read_access_token(token)
    clock.now = exp + 10

    with pytest.raises(TokenError):
        read_access_token(token)


@pytest.mark.parametrize("claim", ["iat", "nbf"])
def test_known_token_is_not_good_before_its_time(clock, claim):
    begins = int(clock.now)
    token = signed(**{claim: begins})
    read_access_token(token)

    clock.now = begins - 10
    read_access_token(token)
    clock.now = begins - 10.001

    with pytest.raises(TokenError):
        read_access_token(token)


@pytest.mark.parametrize(
    ("claim", "seconds", "is_good"),
    [
        ("iat", 8, True),
        ("nbf", 8, True),
        ("exp", -8, True),
        ("iat", 12, False),
        ("nbf", 12, False),
        ("exp", -12, False),
    ],
)
def test_token_of_a_host_whose_clock_is_off_is_good_for_ten_seconds(claim, seconds, is_good):
    token = signed(**{claim: int(time.time()) + seconds})

    # The library reads the token first; the second time it comes from the cache.
    assert [is_taken(token) for _ in range(2)] == [is_good, is_good]


def is_taken(token):
    try:
        read_access_token(token)
    except TokenError:
        return False
    return True


def test_known_token_ends_with_the_key(monkeypatch):
    token = signed()
    read_access_token(token)

    monkeypatch.setattr(state.token_backend, "signing_key", ANOTHER_KEY)
    monkeypatch.setitem(vars(state.token_backend), "prepared_signing_key", ANOTHER_KEY.encode())

    with pytest.raises(TokenError):
        read_access_token(token)
    assert read_access_token(signed(key=ANOTHER_KEY)).session_id == 1


def test_refused_tokens_are_not_kept():
    for number in range(3):
        with pytest.raises(TokenError):
            read_access_token(signed(key=ANOTHER_KEY, sid=number + 1))

    assert verified.cache_info().currsize == 0


def test_no_more_tokens_are_kept_than_set():
    assert verified.cache_info().maxsize == tokens.KNOWN_TOKENS == 8192


@pytest.mark.parametrize(
    "claims",
    [
        *({"sub": sub} for sub in ("07", "-1", "x", "", 1, None, str(2**63), ["1"])),
        *({"sid": sid} for sid in (0, -1, 2**63, "1", True, None, 1.0)),
    ],
)
def test_token_that_names_no_login_is_invalid(claims):
    with pytest.raises(TokenError):
        read_access_token(signed(**claims))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "\ud800", "\x00"])
def test_what_is_no_token_is_invalid(token):
    with pytest.raises(TokenError):
        read_access_token(token)


@pytest.mark.parametrize("header", ["Bearer {}", "bearer  {} ", "\tBEARER {}\n"])
def test_caller_of_a_header(header):
    assert caller_of(header.format(signed())) == Caller(pk=1, session_id=1)


@pytest.mark.parametrize(
    "header", ["", "abc", "Bearer", "Bearer ", "Bearer a b", "Token abc", "\xff abc", "\u2003Bearer abc"]
)
def test_header_of_another_form_carries_no_token(header):
    with pytest.raises(AuthenticationFailed) as refused:
        caller_of(header)

    assert refused.value.detail.code == "bad_authorization_header"
