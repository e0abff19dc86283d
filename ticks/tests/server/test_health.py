import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from ticks.server import health

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _unseen(monkeypatch):
    """Resets the check, as in a new process that has not looked at the migrations yet."""
    monkeypatch.setattr(health, "migrated", False)
    monkeypatch.setattr(health, "cached_warnings", (float("-inf"), []))


@pytest.mark.parametrize(("path", "said"), [("/healthz", "alive"), ("/readyz", "ready")])
def test_health_of_a_running_system(anonymous, path, said):
    response = anonymous.get(path)

    assert response.status_code == 200
    assert response.json() == {"status": said}
    assert "no-store" in response["Cache-Control"]
    assert anonymous.head(path).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("persona", ["owner", "stranger", "staff", "anonymous"])
def test_health_is_for_anybody(request, path, persona):
    client = request.getfixturevalue(persona)

    assert client.get(path).status_code == 200
    assert client.get(path, headers={"Authorization": "Token x"}).status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_takes_no_post(anonymous, path):
    response = anonymous.post(path)

    assert response.status_code == 405
    assert response["Allow"] == "GET, HEAD"


def test_alive_asks_no_database(anonymous, django_assert_num_queries):
    with django_assert_num_queries(0):
        anonymous.get("/healthz")


def test_ready_looks_at_migrations_once(anonymous, django_assert_num_queries):
    anonymous.get("/readyz")

    with django_assert_num_queries(1):
        anonymous.get("/readyz")


@pytest.mark.parametrize("app", ["accounts", "bookings", "auth"])
def test_ready_with_a_missing_migration_is_503(anonymous, app):
    MigrationRecorder.Migration.objects.filter(app=app).order_by("-pk").first().delete()

    response = anonymous.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "migrations are missing"}
    assert anonymous.get("/healthz").status_code == 200


@pytest.mark.parametrize("seen", [True, False])
def test_ready_without_its_database_is_503(anonymous, unreachable_database, seen):
    if seen:
        anonymous.get("/readyz")
    unreachable_database()

    response = anonymous.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "the database does not answer, or takes no writes"}
    assert anonymous.get("/healthz").status_code == 200


@pytest.mark.embedded
@pytest.mark.django_db(transaction=True)
def test_ready_on_a_database_that_takes_no_writes_is_503(anonymous):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")

    response = anonymous.get("/readyz")

    assert response.status_code == 503
    assert response.json() == {"status": "the database does not answer, or takes no writes"}
    assert anonymous.get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probe_by_address_and_without_tls_is_answered(client, settings, path):
    settings.SECURE_SSL_REDIRECT = True

    response = client.get(path, headers={"Host": "10.1.2.3:8000"})

    assert response.status_code == 200


def warn():
    return ["mails are late"]


@pytest.fixture
def late(settings, monkeypatch):
    """Something is wrong that stops no request."""
    monkeypatch.setattr(health, "warn", warn, raising=False)
    settings.READINESS_WARNINGS = ["ticks.server.health.warn"]


def test_ready_with_a_warning_is_ready_and_says_so(anonymous, late):
    response = anonymous.get("/readyz")

    assert response.status_code == 200
    assert response.json() == {"status": "ready", "warnings": ["mails are late"]}
    assert anonymous.get("/healthz").json() == {"status": "alive"}


def test_warnings_are_looked_up_once_in_a_while(anonymous, late, monkeypatch, settings):
    anonymous.get("/readyz")
    settings.READINESS_WARNINGS = []

    assert "warnings" in anonymous.get("/readyz").json()
    monkeypatch.setattr(health, "cached_warnings", (health.cached_warnings[0] - 11, health.cached_warnings[1]))
    assert "warnings" not in anonymous.get("/readyz").json()
