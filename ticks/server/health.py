from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ticks.db.migrations import missing_migrations
from ticks.db.outage import WRITE_PROBE
from ticks.server import stopping


class Probes:
    """Middleware: answers probes for any host name or address, and without a redirect to https."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        probe = PROBES.get(request.path)
        return probe(request) if probe else self.get_response(request)


# Migrations are not taken back on a running system, so this check is not repeated once it has passed.
migrated = False


@never_cache
@require_safe
def healthz(request):
    return JsonResponse({"status": "alive"})


@never_cache
@require_safe
def readyz(request):
    if stopping.has_begun():
        return JsonResponse({"status": "stopping"}, status=503)
    try:
        with connection.cursor() as cursor:
            cursor.execute(WRITE_PROBE)
        if not is_migrated():
            return JsonResponse({"status": "migrations are missing"}, status=503)
    except Error:
        connection.close()
        return JsonResponse({"status": "the database does not answer, or takes no writes"}, status=503)
    return JsonResponse({"status": "ready"})


def is_migrated() -> bool:
    global migrated
    if not migrated:
        migrated = not missing_migrations(MigrationLoader(connection))
    return migrated


PROBES = {"/healthz": healthz, "/readyz": readyz}
