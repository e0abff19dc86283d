from datetime import timedelta

import jwt
import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from accounts import tokens
from accounts.models import LoginSession
from accounts.tests.factories import UserFactory

pytestmark = pytest.mark.django_db

ME = "/api/v1/auth/me"
# Guests may ask this too, but a bad header must not turn its sender into a guest.
BOOKING = "/api/v1/booking"
KEY = django_settings.SIMPLE_JWT["SIGNING_KEY"]


@pytest.fixture
def pair(user):
    return tokens.log_in(user)


@pytest.fixture
def claims(pair):
    return jwt.decode(pair["token"], KEY, algorithms=["HS256"])


def ask(client, header, url=ME):
    method = client.post if url == BOOKING else client.get
    return method(url, {}, headers={"Authorization": header})


def assert_refused(response, code):
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    answered = response.json()
    assert (answered["error"], answered["code"]) == (True, code)
    assert answered["message"]


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer   {}", " Bearer {} "])
def test_bearer_header_in_any_case_is_taken(anonymous, pair, form):
    response = ask(anonymous, form.format(pair["token"]))

    assert response.status_code == 200
    assert response.json()["data"]["username"] == "owner"


@pytest.mark.parametrize("url", [ME, BOOKING])
@pytest.mark.parametrize(
    "form", ["Token {}", "Basic b3duZXI6eA==", "Bearer", "Bearer ", "Bearer {} {}", "{}", "", "Bearer{}", "JWT {}"]
)
def test_header_of_another_form_is_401(anonymous, pair, form, url):
    response = ask(anonymous, form.replace("{}", pair["token"]), url)

    assert_refused(response, "bad_authorization_header")
    assert response.json()["message"] == "The Authorization header must read: Bearer <access token>, or: Api-Key <key>."


def test_no_header_is_a_guest_where_guests_may(anonymous):
    response = anonymous.post(BOOKING, {})

    assert response.status_code == 400


@pytest.mark.parametrize("url", [ME, BOOKING])
@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", ".." + "A" * 50, "W" * 5000])
def test_garbage_as_token_is_401(anonymous, token, url):
    response = ask(anonymous, f"Bearer {token}", url)

    assert_refused(response, "token_not_valid")


@pytest.mark.parametrize("url", [ME, BOOKING])
def test_refresh_token_as_access_token_is_401(anonymous, pair, url):
    response = ask(anonymous, f"Bearer {pair['refreshToken']}", url)

    assert_refused(response, "token_not_valid")


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [("", "none"), (None, "none"), ("another key of sufficient length, 4711", "HS256"), (KEY, "HS512")],
)
@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_token_signed_otherwise_is_401(anonymous, claims, key, algorithm):
    forged = jwt.encode(claims, key, algorithm=algorithm)

    assert_refused(ask(anonymous, f"Bearer {forged}"), "token_not_valid")
    assert_refused(ask(anonymous, f"Bearer {forged}", BOOKING), "token_not_valid")


def test_token_without_its_signature_is_401(anonymous, pair):
    unsigned = pair["token"].rpartition(".")[0] + "."

    assert_refused(ask(anonymous, f"Bearer {unsigned}"), "token_not_valid")


def test_token_signed_by_us_as_issued_is_taken(anonymous, claims):
    # This is the control of the tests around it: only their changes make the difference.
    same = jwt.encode(claims, KEY, algorithm="HS256")

    assert ask(anonymous, f"Bearer {same}").status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": 1},
        {"token_type": "refresh"},
        {"sid": 0},
        {"sid": None},
        {"sub": "0"},
        {"sub": None},
    ],
)
def test_token_with_other_claims_is_401(anonymous, claims, changes):
    token = jwt.encode({**claims, **changes}, KEY, algorithm="HS256")

    assert_refused(ask(anonymous, f"Bearer {token}"), "token_not_valid")


def test_token_lives_thirty_minutes(claims):
    assert claims["exp"] - claims["iat"] == 30 * 60


def test_token_of_another_users_session_is_401(anonymous, claims):
    theirs = tokens.open_session(UserFactory(), refresh_id="r", lifetime=timedelta(days=1))
    token = jwt.encode({**claims, "sid": theirs.pk}, KEY, algorithm="HS256")

    assert_refused(ask(anonymous, f"Bearer {token}"), "token_not_valid")


def test_token_of_an_expired_session_is_401(owner):
    LoginSession.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert_refused(owner.get(ME), "token_not_valid")


def test_token_of_a_deleted_user_is_401(client_of):
    user = UserFactory()
    client = client_of(user)
    user.delete()

    assert_refused(client.get(ME), "token_not_valid")


def test_token_of_a_deactivated_user_is_401_at_once(owner, user):
    before = owner.get(ME)
    user.is_active = False
    user.save(update_fields=["is_active"])

    after = owner.get(ME)

    assert before.status_code == 200
    assert_refused(after, "token_not_valid")
    assert_refused(owner.post(BOOKING, {}), "token_not_valid")


def test_user_made_admin_or_stripped_of_it_is_so_at_the_next_request(owner, user):
    answers = [owner.post("/api/v1/event", {}).status_code]
    for is_staff in (True, False):
        user.is_staff = is_staff
        user.save(update_fields=["is_staff"])
        answers.append(owner.post("/api/v1/event", {}).status_code)

    assert answers == [403, 400, 403]


@pytest.mark.parametrize("claim", ["isAdmin", "is_staff", "admin"])
def test_token_itself_makes_nobody_admin(anonymous, claims, claim):
    token = jwt.encode({**claims, claim: True}, KEY, algorithm="HS256")

    response = anonymous.post("/api/v1/event", {}, headers={"Authorization": f"Bearer {token}"})

    assert response.status_code == 403
    assert response.json()["code"] == "permission_denied"


def test_bad_token_on_the_one_ticket_contract_is_its_plain_401(anonymous):
    response = anonymous.get("/api/events/1", headers={"Authorization": "Token x"})

    assert response.status_code == 401
    assert response["WWW-Authenticate"] == 'Bearer realm="ticks"'
    assert response.json() == {"error": "The Authorization header must read: Bearer <access token>, or: Api-Key <key>."}
