"""Tokens that Ticks never issued are refused alike wherever a token is accepted, and nothing is changed."""

import base64
import hmac
import json
import time

import jwt
import pytest
from django.conf import settings as django_settings

from accounts import tokens
from accounts.models import LoginSession
from accounts.tests.factories import UserFactory

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning"),
]

KEY = django_settings.SIMPLE_JWT["SIGNING_KEY"]
ACCESS = [("get", "/api/v1/auth/me"), ("post", "/api/v1/booking"), ("get", "/api/v1/booking"), ("get", "/api/events/1")]
REFRESH = ["/api/v1/auth/refresh", "/api/v1/auth/logout"]


@pytest.fixture
def pair(user):
    return tokens.log_in(user)


@pytest.fixture
def other(db):
    return tokens.log_in(UserFactory())


def claims_of(token):
    return jwt.decode(token, KEY, algorithms=["HS256"])


def segment(content):
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def headed(token, *, key=KEY, **header):
    """The same claims, signed with a key under another header."""
    signed = segment({"typ": "JWT", "alg": "HS256", **header}) + "." + segment(claims_of(token))
    signature = hmac.digest(key.encode(), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


FORGERIES = {
    "alg none": lambda token: jwt.encode(claims_of(token), None, algorithm="none"),
    "alg None": lambda token: headed(token, alg="None"),
    "alg nOnE without signature": lambda token: headed(token, alg="nOnE").rpartition(".")[0] + ".",
    "no alg": lambda token: headed(token, alg=""),
    "alg is no text": lambda token: headed(token, alg=["HS256"]),
    "HS384": lambda token: jwt.encode(claims_of(token), KEY, algorithm="HS384"),
    "HS512": lambda token: jwt.encode(claims_of(token), KEY, algorithm="HS512"),
    "RS256 in name": lambda token: headed(token, alg="RS256"),
    "ES256 in name": lambda token: headed(token, alg="ES256"),
    "key from a file": lambda token: headed(token, key="", kid="../../../../dev/null"),
    "key in the header": lambda token: headed(token, key="k" * 32, jwk={"kty": "oct", "k": "a2tr"}),
    "wrong key": lambda token: headed(token, key="k" * 32),
    "SECRET_KEY": lambda token: headed(token, key=django_settings.SECRET_KEY),
    "empty key": lambda token: headed(token, key=""),
    "no signature": lambda token: token.rpartition(".")[0] + ".",
    "two parts": lambda token: token.rpartition(".")[0],
    "four parts": lambda token: token + ".x",
    "signature cut": lambda token: token[:-4],
    "no payload": lambda token: "{0}..{2}".format(*token.split(".")),
    "payload is no object": lambda token: jwt.api_jws.encode(b'["a"]', KEY, algorithm="HS256"),
}
CLAIMS = [
    {"sub": None},
    {"sid": None},
    {"exp": None},
    {"token_type": None},
    {"exp": 1},
    {"exp": "tomorrow"},
    {"exp": -1},
    {"exp": "99999999999"},
    {"exp": 1e308},
    {"exp": 10**40},
    {"nbf": 2**33},
    {"token_type": "sliding"},
    {"token_type": ["access"]},
    {"sid": 0},
    {"sid": -1},
    {"sid": 2**63},
    {"sid": 2**70},
    {"sid": 1.5},
    {"sid": True},
    {"sid": [1]},
    {"sid": {"a": 1}},
    {"sid": "1 OR 1=1"},
    {"sid": "\0"},
]


def changed(token, changes):
    """A token that we signed, with other claims. None removes a claim."""
    claims = {**claims_of(token), **changes}
    return jwt.encode({name: value for name, value in claims.items() if value is not None}, KEY, algorithm="HS256")


def assert_no_access(client, token, expected=401):
    for method, url in ACCESS:
        response = getattr(client, method)(url, {} if method == "post" else None, headers=bearer(token))

        assert response.status_code == expected, url
        assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def assert_no_refresh(client, token):
    before = list(LoginSession.objects.order_by("pk").values())
    for url in REFRESH:
        response = client.post(url, {"refreshToken": token})

        assert response.status_code == 401, url
        assert response.json()["code"] == "token_not_valid"
    assert list(LoginSession.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forged_token_is_refused_wherever_it_is_sent(anonymous, pair, forgery):
    assert_no_access(anonymous, FORGERIES[forgery](pair["token"]))
    assert_no_refresh(anonymous, FORGERIES[forgery](pair["refreshToken"]))


@pytest.mark.parametrize("changes", CLAIMS, ids=str)
def test_token_of_ours_with_claims_that_we_never_make_is_refused(anonymous, pair, changes):
    assert_no_access(anonymous, changed(pair["token"], changes))
    # The refresh token names its user only for the throttle. The session knows its user.
    if "sub" not in changes:
        assert_no_refresh(anonymous, changed(pair["refreshToken"], changes))


def test_tampered_payload_is_refused(anonymous, pair, other):
    for token, name in ((pair["token"], "token"), (pair["refreshToken"], "refreshToken")):
        head, _, signature = token.split(".")
        body = other[name].split(".")[1]
        swapped = f"{head}.{body}.{signature}"

        assert_no_access(anonymous, swapped)
        assert_no_refresh(anonymous, swapped)


def test_token_of_one_session_and_the_user_of_another_is_refused(anonymous, pair, other):
    mine, theirs = claims_of(pair["token"]), claims_of(other["token"])

    assert_no_access(anonymous, changed(pair["token"], {"sub": theirs["sub"]}))
    assert_no_access(anonymous, changed(pair["token"], {"sid": theirs["sid"]}))
    assert_no_access(anonymous, changed(other["token"], {"sid": mine["sid"]}))


def test_access_and_refresh_tokens_do_not_stand_for_each_other(anonymous, pair):
    assert_no_access(anonymous, pair["refreshToken"])
    assert_no_refresh(anonymous, pair["token"])
    # A token of the other type does not work either, since the session keeps the id of its refresh token.
    assert (
        anonymous.post(REFRESH[0], {"refreshToken": changed(pair["token"], {"token_type": "refresh"})}).status_code
        == 401
    )


def test_expired_access_token_is_refused_and_its_refresh_token_is_not(anonymous, pair):
    assert_no_access(anonymous, changed(pair["token"], {"exp": int(time.time()) - 11}))

    assert anonymous.post(REFRESH[0], {"refreshToken": pair["refreshToken"]}).status_code == 200


def test_own_token_as_issued_is_taken(anonymous, pair):
    # This is the control of the whole file.
    assert anonymous.get(ACCESS[0][1], headers=bearer(changed(pair["token"], {}))).status_code == 200
    assert anonymous.post(REFRESH[0], {"refreshToken": headed(pair["refreshToken"])}).status_code == 200
