import gc
import os
from typing import NamedTuple

import pytest
from django.db import connection
from django.test import TransactionTestCase
from rest_framework.test import APIClient

from accounts import tokens
from accounts.backends import OwaspArgon2
from accounts.tests.factories import UserFactory
from bookings.tests.rows import delete_rows
from ticks.api import throttling

pytest_plugins = [
    "bookings.tests.leaks",
    "bookings.tests.api.fast_path.client",
    "ticks.tests.faults",
    "ticks.tests.served",
    "bookings.tests.mail_server",
    "bookings.tests.receiver",
]


class Profile(NamedTuple):
    """The limits of a test that asks for `hypothesis_profile`. Other Hypothesis tests have their own settings."""

    examples: int
    steps: int
    # If true, a failing example is made shorter. That takes minutes, but the example is easier to read.
    is_shortened: bool = True


PROFILES = {
    "small": Profile(50, 40),
    # This profile shows only that something fails, not why.
    "unshortened": Profile(50, 40, is_shortened=False),
    "nightly": Profile(500, 50),
}


DATABASE_FIXTURES = {"_django_db_helper", "django_db_setup"}
DATABASE_MARKERS = ("django_db", "mariadb", "galera")
OWASP_COSTS = {name: getattr(OwaspArgon2, name) for name in ("time_cost", "memory_cost")}


@pytest.fixture(scope="session")
def hypothesis_profile():
    return PROFILES[os.environ.get("HYPOTHESIS_PROFILE") or "small"]


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory):
    """The database of this run alone, so that another run in this clone or on this server does not disturb it."""
    if connection.vendor == "sqlite":
        name = str(tmp_path_factory.mktemp("database") / "test.sqlite3")
    else:
        name = f"test_ticks_{os.getpid()}"
    connection.settings_dict["TEST"]["NAME"] = name


@pytest.fixture(scope="session", autouse=True)
def _deleted_not_flushed():
    """Deletes the rows after a transactional test. This takes a tenth of the time of Django's flush."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: delete_rows())
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_hashes():
    """Hashes passwords in a hundredth of the time. Tests that ask for `owasp_hashes` hash them as production does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OwaspArgon2, "time_cost", 1)
        patch.setattr(OwaspArgon2, "memory_cost", 8)
        yield


@pytest.fixture
def owasp_hashes(monkeypatch):
    for name, cost in OWASP_COSTS.items():
        monkeypatch.setattr(OwaspArgon2, name, cost)


@pytest.fixture(autouse=True)
def _throttle_off(settings):
    """Turns throttles off and clears their counts. Tests of throttles turn them on."""
    settings.THROTTLE_ENABLED = False
    throttling.forget_all()


@pytest.fixture(autouse=True)
def _static_files_on_demand(settings):
    """Without this every test client would look through all static files before its first request."""
    settings.WHITENOISE_AUTOREFRESH = True


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        if {"port", "deliver"} & set(item.fixturenames):
            # The test starts a server or a delivery, and mostly waits for it, so `tools/test.sh` runs it beside others.
            item.add_marker("served")
        elif not (DATABASE_FIXTURES & set(item.fixturenames) or any(map(item.get_closest_marker, DATABASE_MARKERS))):
            # One run is enough for a test that asks for no database.
            item.add_marker("embedded")
    # The tests are deselected and not skipped, since on that database there is nothing for them to check.
    elsewhere = ["mariadb" if connection.vendor == "sqlite" else "embedded"]
    if os.environ.get("GALERA_TESTS") != "on":
        # These tests take all of the machine, so `tools/test.sh` runs them alone.
        elsewhere.append("galera")
    out = [item for item in items if any(map(item.get_closest_marker, elsewhere))]
    config.hook.pytest_deselected(items=out)
    items[:] = [item for item in items if item not in out]


# Loaded modules and collected tests stay. The garbage collector would look through all of them again and again.
gc.disable()


def pytest_collection_finish():
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)


def pytest_report_header():
    return f"database: {connection.vendor}"


@pytest.fixture
def client_of():
    """Gives a function that returns the API client of a user, logged in with a real token."""

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


@pytest.fixture
def superuser_client(client, db):
    """A test client at the staff's site, logged in as a user who may do everything there."""
    client.force_login(UserFactory(username="superuser", is_staff=True, is_superuser=True))
    return client
