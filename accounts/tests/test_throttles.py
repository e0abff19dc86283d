import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from accounts import tokens
from accounts.backends import OwaspArgon2
from accounts.link_tokens import Purpose, make_token
from accounts.models import AccountMail, AttemptCounter, LoginSession, User, hash_of
from accounts.tests.factories import PASSWORD, UserFactory
from accounts.throttles import attempt_key

pytestmark = pytest.mark.django_db

LOGIN = "/api/v1/auth/login"
REGISTER = "/api/v1/auth/register"
REFRESH = "/api/v1/auth/refresh"
PASSWORD_CHANGE = "/api/v1/auth/password"
WRONG = "wrong 4711 password"
# 44.4 seconds remain of the minute. The answer says 45, so that a client that obeys does not come too early.
NOON = datetime(2026, 1, 1, 12, 0, 15, 600_000, tzinfo=UTC)


class Clock:
    time = NOON

    def now(self):
        return self.time


@pytest.fixture(autouse=True)
def clock(settings, monkeypatch):
    """Turns throttles on, in a minute that does not end before the test does."""
    settings.THROTTLE_ENABLED = True
    clock = Clock()
    monkeypatch.setattr("accounts.throttles.timezone", SimpleNamespace(now=clock.now))
    return clock


@pytest.fixture
def account(db):
    return UserFactory(username="divine", email="divine@example.com", password=PASSWORD)


@pytest.fixture
def trust(settings):
    def trust(proxies):
        settings.REST_FRAMEWORK = {**django_settings.REST_FRAMEWORK, "NUM_PROXIES": proxies}

    return trust


def log_in(client, username="divine", *, password=WRONG, **extra):
    return client.post(LOGIN, {"username": username, "password": password}, **extra)


def register_badly(client, number=0, **extra):
    """An attempt at registration that costs no hash and makes no account."""
    return client.post(REGISTER, {"username": f"n{number}", "email": f"n{number}@example.com"}, **extra)


def assert_throttled(response, wait=45):
    assert response.status_code == 429
    assert response["Retry-After"] == str(wait)
    assert response.json() == {
        "message": f"Too many requests; try again in {wait} seconds.",
        "error": True,
        "code": "throttled",
    }


def test_login_by_name_stops_after_ten_wrong_passwords(anonymous, account):
    answers = [log_in(anonymous).status_code for _ in range(10)]

    response = log_in(anonymous, password=PASSWORD)

    assert answers == [401] * 10
    assert_throttled(response)
    assert not LoginSession.objects.exists()


def test_login_by_name_goes_on_in_the_next_minute(anonymous, account, clock):
    for _ in range(11):
        log_in(anonymous)
    clock.time = NOON + timedelta(seconds=45)

    response = log_in(anonymous, password=PASSWORD)

    assert response.status_code == 200


def test_login_by_name_counts_every_spelling_together(anonymous, account):
    spellings = ["divine", "DIVINE", " Divine ", "\uff44ivine", "\U0001d41divine"]
    answers = [log_in(anonymous, name).status_code for name in spellings for _ in range(2)]

    response = log_in(anonymous, "divin\u1d49")

    assert answers == [401] * 10
    assert_throttled(response)


def test_login_by_name_leaves_other_accounts(anonymous, account):
    UserFactory(username="other", password=PASSWORD)
    for _ in range(11):
        log_in(anonymous)

    response = log_in(anonymous, "other", password=PASSWORD)

    assert response.status_code == 200


def test_login_by_name_counts_unknown_names_the_same(anonymous):
    answers = [log_in(anonymous, "nobody").status_code for _ in range(10)]

    assert answers == [401] * 10
    assert_throttled(log_in(anonymous, "nobody"))


def test_login_of_the_one_ticket_contract_counts_with_it(anonymous, account):
    sent = {"username": "divine", "password": "wrong"}
    answers = [anonymous.post("/api/users/login", sent).status_code for _ in range(10)]

    plain = anonymous.post("/api/users/login", sent)

    assert answers == [401] * 10
    assert plain.status_code == 429
    assert plain["Retry-After"] == "45"
    assert plain.json() == {"error": "Too many requests; try again in 45 seconds."}
    assert_throttled(log_in(anonymous))


def test_login_with_right_password_is_forgiven(anonymous, account):
    answers = [log_in(anonymous, password=PASSWORD).status_code for _ in range(12)]

    assert answers == [200] * 12
    counts = {key.partition(":")[0]: count for key, count in AttemptCounter.objects.values_list("key", "count")}
    # The last one is no limit: it remembers the address.
    assert counts == {
        "login-address": 0,
        "login-name": 0,
        "login-account": 0,
        "login-account-hour": 0,
        "login-known": 12,
    }


def test_login_by_address_stops_after_thirty(anonymous):
    # Malformed ones count too, and cost no hash.
    answers = [anonymous.post(LOGIN, {"username": f"n{number}"}).status_code for number in range(30)]

    response = log_in(anonymous, "fresh")

    assert answers == [400] * 30
    assert_throttled(response)
    assert log_in(anonymous, "fresh", REMOTE_ADDR="192.0.2.1").status_code == 401


def test_registration_by_name_stops_after_ten(anonymous):
    sent = {"username": "divine", "email": "divine@example.com", "password": "weak"}
    answers = [anonymous.post(REGISTER, sent, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(10)]

    response = anonymous.post(REGISTER, {**sent, "email": "DIVINE@example.com", "password": PASSWORD})

    assert answers == [400] * 10
    assert_throttled(response)
    assert not User.objects.exists()


def test_registration_by_address_stops_after_thirty(anonymous):
    answers = [register_badly(anonymous, number).status_code for number in range(30)]

    response = anonymous.post(REGISTER, {"username": "a", "email": "a@example.com", "password": PASSWORD})

    assert answers == [400] * 30
    assert_throttled(response)
    assert not User.objects.exists()


def test_registration_of_the_one_ticket_contract_counts_with_it(anonymous):
    for number in range(30):
        register_badly(anonymous, number)

    response = anonymous.post("/api/users/register", {"username": "a", "password": PASSWORD})

    assert response.status_code == 429
    assert response.json() == {"error": "Too many requests; try again in 45 seconds."}
    assert not User.objects.exists()


def test_refresh_by_account_stops_after_thirty(anonymous, user):
    token = tokens.log_in(user)["refreshToken"]
    for number in range(30):
        response = anonymous.post(REFRESH, {"refreshToken": token}, REMOTE_ADDR=f"192.0.2.{number}")
        assert response.status_code == 200
        token = response.json()["data"]["refreshToken"]

    response = anonymous.post(REFRESH, {"refreshToken": token})

    assert_throttled(response)
    assert LoginSession.objects.get().refresh_hash == hash_of(tokens.read_refresh_token(token)[1])


def test_refresh_by_account_cannot_be_used_up_by_others(anonymous, user):
    token = tokens.log_in(user)["refreshToken"]
    forged = token[:-5] + "AAAAA"
    for number in range(31):
        anonymous.post(REFRESH, {"refreshToken": forged}, REMOTE_ADDR=f"192.0.2.{number}")

    response = anonymous.post(REFRESH, {"refreshToken": token})

    assert response.status_code == 200


def test_refresh_by_address_stops_after_120(anonymous, user):
    answers = {anonymous.post(REFRESH, {"refreshToken": "x"}).status_code for _ in range(120)}

    response = anonymous.post(REFRESH, {"refreshToken": tokens.log_in(user)["refreshToken"]})

    assert answers == {401}
    assert_throttled(response)


def test_password_change_stops_after_ten_wrong_ones(client_of, account, stranger):
    holder = client_of(account)
    wrong = {"currentPassword": "wrong", "newPassword": "another 9 password"}
    answers = [holder.post(PASSWORD_CHANGE, wrong).status_code for _ in range(10)]

    response = holder.post(PASSWORD_CHANGE, {**wrong, "currentPassword": PASSWORD})

    assert answers == [400] * 10
    assert_throttled(response)
    account.refresh_from_db()
    assert account.check_password(PASSWORD)
    assert stranger.post(PASSWORD_CHANGE, wrong).status_code == 400


def test_password_change_with_right_password_is_forgiven(client_of, account):
    response = client_of(account).post(
        PASSWORD_CHANGE, {"currentPassword": PASSWORD, "newPassword": "another 9 password"}
    )

    assert response.status_code == 200
    assert list(AttemptCounter.objects.values_list("count", flat=True)) == [0, 0]


def test_counters_hold_no_names_or_addresses(anonymous, account):
    log_in(anonymous, "divine@example.com", REMOTE_ADDR="192.0.2.7")

    keys = " ".join(AttemptCounter.objects.values_list("key", flat=True))
    assert len(keys.split()) == 4
    assert "divine" not in keys
    assert "192.0.2.7" not in keys


def test_nothing_is_counted_when_throttles_are_off(anonymous, account, settings):
    settings.THROTTLE_ENABLED = False

    answers = [register_badly(anonymous).status_code for _ in range(31)]

    assert answers == [400] * 31
    assert not AttemptCounter.objects.exists()


def test_spoofed_forwarding_header_is_no_fresh_caller(anonymous, trust):
    trust(0)
    for number in range(30):
        register_badly(anonymous, number, headers={"X-Forwarded-For": f"203.0.113.{number}"})

    assert_throttled(register_badly(anonymous, 31, headers={"X-Forwarded-For": "203.0.113.99"}))


def test_behind_one_proxy_the_address_that_it_adds_counts(anonymous, trust):
    trust(1)
    for number in range(30):
        register_badly(anonymous, number, headers={"X-Forwarded-For": f"203.0.113.{number}, 198.51.100.1"})

    spoofed = register_badly(anonymous, 31, headers={"X-Forwarded-For": "203.0.113.99, 198.51.100.1"})
    another = register_badly(anonymous, 32, headers={"X-Forwarded-For": "203.0.113.99, 198.51.100.2"})

    assert_throttled(spoofed)
    assert another.status_code == 400


def test_ipv6_callers_of_one_network_count_together(anonymous):
    for number in range(30):
        register_badly(anonymous, number, REMOTE_ADDR=f"2001:db8:1:2:{number:x}::1")

    assert_throttled(register_badly(anonymous, 31, REMOTE_ADDR="2001:db8:1:2:ffff:ffff:ffff:ffff"))
    assert register_badly(anonymous, 32, REMOTE_ADDR="2001:db8:1:3::1").status_code == 400


@pytest.mark.parametrize("username", ["divine\ud800", 4711, None, ["divine"], {"a": 1}, ""])
def test_login_throttle_takes_any_name(anonymous, username):
    response = anonymous.post(
        LOGIN, json.dumps({"username": username, "password": "wrong"}), content_type="application/json"
    )

    assert response.status_code == 400


@pytest.mark.parametrize("sent", ["[]", "null", "5", '"x"', "{"])
@pytest.mark.parametrize("url", [LOGIN, REGISTER, REFRESH])
def test_throttles_take_any_body(anonymous, url, sent):
    response = anonymous.post(url, sent, content_type="application/json")

    assert response.status_code == 400


def test_refused_address_counts_for_no_account(anonymous):
    for number in range(33):
        anonymous.post(LOGIN, {"username": f"nobody{number}", "password": "wrong"})

    # One counter is for the address, and three are for each name of its first 30 attempts.
    assert AttemptCounter.objects.count() == 1 + 3 * 30


FORWARDING = ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "CF-Connecting-IP", "Via"]


@pytest.mark.parametrize("proxies", [0, 1])
@pytest.mark.parametrize("page", ["/api-auth/login/", "/admin/login/", LOGIN, "/api/users/login"])
def test_no_forwarding_header_makes_a_fresh_caller_of_a_login(client, trust, page, proxies, monkeypatch):
    # The cost of a hash is not tested here.
    monkeypatch.setattr(OwaspArgon2, "encode", lambda *args, **kwargs: "argon2$")
    # If there is a proxy, it adds only the last hop of X-Forwarded-For.
    trust(proxies)

    def attempt(number):
        address = f"203.0.113.{number}"
        headers = {name: f"for={address}" if name == "Forwarded" else address for name in FORWARDING}
        headers["X-Forwarded-For"] += ", 198.51.100.1" if proxies else ""
        return client.post(page, {"username": f"n{number}", "password": WRONG}, headers=headers)

    answers = [attempt(number) for number in range(31)]

    refused = [answer.status_code == 429 or b"Too many attempts" in answer.content for answer in answers]
    assert refused == [False] * 30 + [True]


@pytest.mark.parametrize("page", ["/api-auth/login/", "/admin/login/"])
def test_login_page_counts_with_the_api(client, anonymous, account, page, monkeypatch):
    monkeypatch.setattr(User, "check_password", lambda self, password: password == PASSWORD)
    for _ in range(5):
        client.post(page, {"username": "divine", "password": WRONG})
        log_in(anonymous)

    by_page = client.post(page, {"username": "DIVINE", "password": PASSWORD})

    assert b"Too many attempts; try again in 45 seconds." in by_page.content
    assert "sessionid" not in by_page.cookies
    assert_throttled(log_in(anonymous, password=PASSWORD))


def test_right_logins_are_limited_by_address(anonymous, account, settings, monkeypatch):
    monkeypatch.setattr(User, "check_password", lambda self, password: True)
    settings.REST_FRAMEWORK = {
        **django_settings.REST_FRAMEWORK,
        "DEFAULT_THROTTLE_RATES": {**django_settings.THROTTLE_RATES, "login": "12/min"},
    }
    answers = [log_in(anonymous).status_code for _ in range(12)]

    refused = log_in(anonymous)
    on_a_page = anonymous.post("/admin/login/", {"username": "divine", "password": PASSWORD}, format="multipart")

    assert answers == [200] * 12
    assert (refused.status_code, refused.json()["code"]) == (429, "throttled")
    assert 58 <= int(refused["Retry-After"]) <= 60
    assert b"Too many attempts; try again in " in on_a_page.content
    assert log_in(anonymous, REMOTE_ADDR="192.0.2.1").status_code == 200


@pytest.mark.parametrize(
    ("url", "field"), [("/api/users/register", "username"), (REGISTER, "username"), (REGISTER, "email")]
)
def test_registration_by_name_is_not_fooled_by_another_made_up_one(anonymous, url, field):
    other = "email" if field == "username" else "username"

    def attempt(number):
        sent = {field: "divine@example.com", other: f"n{number}@example.com", "password": "weak"}
        return anonymous.post(url, sent, REMOTE_ADDR=f"192.0.2.{number}")

    answers = [attempt(number).status_code for number in range(11)]

    assert answers == [400] * 10 + [429]
    assert not User.objects.exists()


def test_password_change_stops_after_a_hundred_wrong_ones_an_hour(client_of, account, clock):
    holder = client_of(account)
    AttemptCounter.objects.create(
        key=attempt_key("password-account-hour", str(account.pk)),
        window=NOON.timestamp() // 3600,
        count=99,
        expires_at=NOON + timedelta(hours=1),
    )
    wrong = {"currentPassword": "wrong", "newPassword": "another 9 password"}

    answers = [holder.post(PASSWORD_CHANGE, wrong).status_code for _ in range(2)]

    assert answers == [400, 429]
    clock.time = NOON + timedelta(hours=1)
    assert holder.post(PASSWORD_CHANGE, wrong).status_code == 400


MAIL_ROUTES = ["/api/v1/auth/password/reset", "/api/v1/auth/email/verification"]


@pytest.fixture
def mails_on(settings):
    settings.MAIL_ENABLED = True


@pytest.mark.usefixtures("mails_on")
@pytest.mark.parametrize("email", ["divine@example.com", "nobody@example.com"])
def test_requests_for_a_mail_to_one_address_stop_after_five_an_hour(anonymous, account, clock, email):
    spelled = [email, email.upper(), f" {email}", email, email.title()]

    allowed = [anonymous.post(MAIL_ROUTES[n % 2], {"email": one}).status_code for n, one in enumerate(spelled)]
    refused = [anonymous.post(url, {"email": email}, REMOTE_ADDR="198.51.100.7") for url in MAIL_ROUTES]
    other = anonymous.post(MAIL_ROUTES[0], {"email": "somebody@example.com"})
    clock.time += timedelta(hours=1)

    assert allowed == [200] * 5
    # 44.4 seconds of the first minute remain, and 59 minutes.
    assert [(response.status_code, response["Retry-After"]) for response in refused] == [(429, "3585")] * 2
    assert other.status_code == 200
    assert AccountMail.objects.count() == 6
    assert anonymous.post(MAIL_ROUTES[0], {"email": email}).status_code == 200


@pytest.mark.usefixtures("mails_on")
def test_requests_for_a_mail_by_page_count_with_those_by_api(anonymous, client):
    for _ in range(5):
        anonymous.post(MAIL_ROUTES[0], {"email": "a@example.com"})

    response = client.post("/account/password/reset/", {"email": "A@example.com"})

    assert (response.status_code, response["Retry-After"]) == (429, "3585")
    assert "Too many requests; try again in" in response.content.decode()
    assert AccountMail.objects.count() == 5


@pytest.mark.usefixtures("mails_on")
def test_requests_for_a_mail_by_address_stop_after_thirty(anonymous):
    statuses = [anonymous.post(MAIL_ROUTES[0], {"email": f"n{n}@example.com"}).status_code for n in range(31)]

    assert statuses == [200] * 30 + [429]


@pytest.mark.usefixtures("mails_on")
def test_changes_of_a_mail_address_stop_after_ten_an_hour(client_of, account, clock):
    client = client_of(account)
    statuses = []
    for number in range(11):
        sent = {"email": f"n{number}@example.com", "currentPassword": PASSWORD}
        statuses.append(client.post("/api/v1/auth/email/change", sent).status_code)

    assert statuses == [200] * 10 + [429]


@pytest.mark.usefixtures("mails_on")
def test_changes_of_a_mail_address_in_the_profile_count_with_those_by_link(client_of, account, clock):
    client = client_of(account)
    client.post("/api/v1/auth/email/change", {"email": "other@example.com", "currentPassword": PASSWORD})

    statuses = [client.patch("/api/v1/auth/me", {"email": f"n{n}@example.com"}).status_code for n in range(10)]
    mails = AccountMail.objects.count()
    others = [client.patch("/api/v1/auth/me", {"language": "de", "email": "N8@example.com"}) for _ in range(31)]

    assert statuses == [200] * 9 + [429]
    assert (mails, AccountMail.objects.count()) == (1 + 2 * 9, mails)
    assert [response.status_code for response in others] == [200] * 31
    assert User.objects.get().email == "n8@example.com"


@pytest.mark.usefixtures("mails_on")
def test_profiles_that_take_one_address_stop_after_five_an_hour(client_of, account, clock):
    client, statuses = client_of(account), []
    for _ in range(6):
        User.objects.update(email="divine@example.com")
        statuses.append(client.patch("/api/v1/auth/me", {"email": "victim@example.com"}).status_code)

    assert statuses == [200] * 5 + [429]


@pytest.mark.usefixtures("mails_on")
def test_notices_to_one_former_address_stop_after_ten_an_hour_whoever_had_it(client_of, clock):
    statuses = []
    for number in range(11):
        taker = UserFactory(username=f"taker{number}", email="victim@example.com")
        statuses.append(client_of(taker).patch("/api/v1/auth/me", {"email": f"n{number}@example.com"}).status_code)

    assert statuses == [200] * 10 + [429]
    assert AccountMail.objects.filter(email="victim@example.com", kind="changed").count() == 10


@pytest.mark.usefixtures("mails_on")
def test_change_of_a_mail_address_limits_guesses_at_the_password(client_of, account):
    client, sent = client_of(account), {"email": "new@example.com", "currentPassword": WRONG}

    for _ in range(5):
        client.post("/api/v1/auth/email/change", sent)
    by_password = [client.post(PASSWORD_CHANGE, {"currentPassword": WRONG, "newPassword": "x"}) for _ in range(6)]

    assert [response.status_code for response in by_password] == [400] * 5 + [429]


@pytest.mark.parametrize(
    ("purpose", "route"), [(Purpose.VERIFY, "email/verify"), (Purpose.CHANGE, "email/change/confirm")]
)
def test_guesses_at_the_password_by_a_link_are_limited(anonymous, client, account, purpose, route):
    url, page = f"/api/v1/auth/{route}", f"/account/{route.replace('change/', '')}/"
    token = make_token(purpose, account, asked_at=timezone.now(), email="new@example.com")
    client.get(f"{page}?token={token}")

    statuses = [anonymous.post(url, {"token": token, "currentPassword": WRONG}).status_code for _ in range(10)]
    refused = anonymous.post(url, {"token": token, "currentPassword": PASSWORD}, REMOTE_ADDR="198.51.100.7")
    by_page = client.post(page, {"current": PASSWORD})

    assert (statuses, refused.status_code) == ([400] * 10, 429)
    assert (by_page.status_code, by_page["Retry-After"]) == (429, "45")
    assert "Too many requests; try again in" in by_page.content.decode()
    assert User.objects.get().email_verified_at is None


@pytest.mark.parametrize(
    "url",
    ["/api/v1/auth/email/verify", "/api/v1/auth/email/change/confirm", "/api/v1/auth/password/reset/confirm"],
)
def test_uses_of_links_stop_after_thirty_by_address(anonymous, url):
    statuses = [anonymous.post(url, {"token": "wrong"}).status_code for _ in range(31)]

    assert statuses == [400] * 30 + [429]
