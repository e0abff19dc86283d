import pytest
from django.core.cache import cache
from django.db import connection
from rest_framework.test import APIClient

from accounts import tokens
from accounts.tests.factories import UserFactory


@pytest.fixture(autouse=True)
def _throttle_off(settings):
    """Tests of throttles turn them on; none starts with another's count."""
    settings.THROTTLE_ENABLED = False
    cache.clear()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    if connection.vendor == "sqlite":
        # Deselected rather than skipped: there is nothing in them that SQLite could show.
        for item in list(items):
            if item.get_closest_marker("mariadb"):
                items.remove(item)


def pytest_report_header():
    return f"database: {connection.vendor}"


@pytest.fixture
def client_of():
    """A function: the API client of a user, logged in with a real token."""

    def log_in(user):
        client = APIClient()
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.log_in(user)['token']}")
        return client

    return log_in


@pytest.fixture
def anonymous():
    return APIClient()


@pytest.fixture
def user(db):
    return UserFactory(username="owner")


@pytest.fixture
def owner(client_of, user):
    return client_of(user)


@pytest.fixture
def stranger(client_of, db):
    return client_of(UserFactory(username="stranger"))


@pytest.fixture
def admin_user(db):
    return UserFactory(username="staff", is_staff=True)


@pytest.fixture
def staff(client_of, admin_user):
    return client_of(admin_user)
