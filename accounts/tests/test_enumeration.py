"""A failed login does not tell which accounts exist: neither by its answer nor by the work that is done."""

import re

import pytest
from django.test import Client

from accounts.backends import OwaspArgon2
from accounts.models import LoginSession
from accounts.tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

VOLATILE = ("X-Request-ID", "Content-Length", "Expires")
WAYS = ["/api/v1/auth/login", "/api/users/login", "/api-auth/login/", "/admin/login/"]
UNLIKE_EACH_TIME = re.compile(
    r'name="csrfmiddlewaretoken" value="\w+"|csrfToken": "\w+"|value="(known|inactive|invited|nobody)"'
)


@pytest.fixture
def hashes(monkeypatch):
    """Counts the hashes that are made, without their cost."""
    counted = []

    def computing(result):
        def compute(self, *args, **kwargs):
            counted.append(1)
            return result

        return compute

    UserFactory(username="known", is_staff=True, password=PASSWORD)
    UserFactory(username="inactive", is_staff=True, is_active=False, password=PASSWORD)
    UserFactory(username="invited", is_staff=True)
    monkeypatch.setattr(OwaspArgon2, "verify", computing(False))
    monkeypatch.setattr(OwaspArgon2, "encode", computing("argon2$x"))
    return counted


def log_in(way, username):
    response = Client().post(way, {"username": username, "password": "a wrong 4711"})
    headers = {name: value for name, value in response.headers.items() if name not in VOLATILE}
    return response.status_code, UNLIKE_EACH_TIME.sub("", response.content.decode()), headers


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("username", ["inactive", "invited", "nobody", "nobody@example.org"])
def test_failed_login_is_the_same_whoever_it_names(hashes, way, username):
    known = log_in(way, "known")
    work_of_known = len(hashes)

    status, content, headers = log_in(way, username)

    assert (status, headers) == (known[0], known[2])
    assert content.replace(f'value="{username}"', "") == known[1]
    assert work_of_known == 1
    assert len(hashes) - work_of_known == 1
    assert status == (401 if way.startswith("/api/") else 200)
    assert not LoginSession.objects.exists()
