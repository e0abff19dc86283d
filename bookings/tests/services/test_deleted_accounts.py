"""A token of an account that was deleted, or deactivated, is a 401 wherever a token is taken, and changes nothing."""

import pytest

from accounts import tokens
from accounts.models import LoginSession, User
from bookings.services import batches
from bookings.tests.api.test_access import answered, ask
from bookings.tests.state import digest_of_all_tables, undone
from bookings.tests.wire import CHALLENGE

pytestmark = pytest.mark.django_db

# These views read no bearer token, since a caller who logs in has none or a stale one.
OPEN = {
    "/api/",
    "/api/.+",
    "/api/(?:events|users)(?:/|$)",
    "/api/docs",
    "/api/schema",
    "/api/users/login",
    "/api/users/register",
    "/api/v1",
    "/api/v1/",
    "/api/v1/auth/email/change/confirm",
    "/api/v1/auth/email/verification",
    "/api/v1/auth/email/verify",
    "/api/v1/auth/login",
    "/api/v1/auth/logout",
    "/api/v1/auth/password/reset",
    "/api/v1/auth/password/reset/confirm",
    "/api/v1/auth/refresh",
    "/api/v1/auth/register",
}
ROUTES = [(method, route) for method, route in sorted(set(answered())) if route.startswith("/api/")]


def delete(user):
    User.objects.filter(pk=user.pk).delete()


def deactivate(user):
    User.objects.filter(pk=user.pk).update(is_active=False)


@pytest.fixture(autouse=True)
def _nobody_distrusted(monkeypatch):
    """Forgets ended logins of other tests. All logins are looked up first for a second after one has ended, which would
    hide faults here."""
    monkeypatch.setattr(batches, "logins", batches.LoginOrder())


@pytest.fixture(params=["fast path", "viewset"])
def _way(request, settings):
    settings.FAST_PATH = request.param == "fast path"


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("end", [delete, deactivate])
@pytest.mark.parametrize("name", ["other", "superuser"])
@pytest.mark.parametrize(("method", "route"), [(m, r) for m, r in ROUTES if r not in OPEN])
def test_token_of_an_ended_account_is_401_on_every_route(world, method, route, name, end):
    client = world.clients[name]
    with undone():
        end(world.people[name])
        before = digest_of_all_tables()

        # The caller has only the token, since a cookie would be refused before the token is read.
        cookies, client.cookies = client.cookies, type(client.cookies)()
        response = ask(world, name, method, route)
        client.cookies = cookies

        assert (response.status_code, response.get("WWW-Authenticate")) == (401, CHALLENGE)
        assert digest_of_all_tables() == before


@pytest.mark.parametrize("end", [delete, deactivate])
@pytest.mark.parametrize("route", ["refresh", "logout"])
def test_refresh_token_of_an_ended_account_is_401(world, route, end):
    user = world.people["other"]
    with undone():
        token = tokens.log_in(user)["refreshToken"]
        end(user)
        sessions = LoginSession.objects.filter(pk=tokens.read_refresh_token(token)[0].session_id)

        response = world.clients["anonymous"].post(f"/api/v1/auth/{route}", {"refreshToken": token})

        assert (response.status_code, response["WWW-Authenticate"]) == (401, CHALLENGE)
        assert response.json()["code"] == "token_not_valid"
        assert not sessions.exists()
