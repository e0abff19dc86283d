from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ticks.db.migrations import missing_migrations
from ticks.db.outage import WRITE_PROBE
from ticks.server import stopping

PROBES = {"/healthz": "alive", "/readyz": "ready"}
# Migrations are not taken back on a running system, so this check is not repeated once it has passed.
migrated = False


class Probes:
    """Middleware: answers probes for any host name or address, and without a redirect to https."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return answer_probe(request) if request.path in PROBES else self.get_response(request)


@never_cache
@require_safe
def answer_probe(request):
    obstacle = obstacle_to_serve() if request.path == "/readyz" else None
    return JsonResponse({"status": obstacle or PROBES[request.path]}, status=503 if obstacle else 200)


def obstacle_to_serve() -> str | None:
    global migrated
    if stopping.has_begun():
        return "stopping"
    try:
        with connection.cursor() as cursor:
            cursor.execute(WRITE_PROBE)
        migrated = migrated or not missing_migrations(MigrationLoader(connection))
    except Error:
        connection.close()
        return "the database does not answer, or takes no writes"
    return None if migrated else "migrations are missing"
