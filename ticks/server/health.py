import logging
import time

from django.conf import settings
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.http import JsonResponse
from django.utils.module_loading import import_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ticks.db.migrations import missing_migrations
from ticks.db.outage import WRITE_PROBE
from ticks.server import stopping

log = logging.getLogger("ticks.health")
PROBES = {"/healthz": "alive", "/readyz": "ready"}
# Anybody may ask, so the warnings are looked up no more often than this in each process.
WARNINGS_SECONDS = 10
# When the warnings were looked up, and what they were.
cached_warnings: tuple[float, list[str]] = (float("-inf"), [])
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
    answer = {"status": obstacle or PROBES[request.path]}
    if request.path == "/readyz" and not obstacle and (found := warnings()):
        answer["warnings"] = found
    return JsonResponse(answer, status=503 if obstacle else 200)


def warnings() -> list[str]:
    """What is wrong although the server is ready. A server that others can do without is not taken out for it."""
    global cached_warnings
    looked_up_at, found = cached_warnings
    if time.monotonic() - looked_up_at > WARNINGS_SECONDS:
        # The time is set first. If the look-up takes long or fails, other requests do not start it as well.
        cached_warnings = time.monotonic(), found
        try:
            found = [line for name in settings.READINESS_WARNINGS for line in import_string(name)()]
            cached_warnings = time.monotonic(), found
        except Error:
            log.warning("The warnings of /readyz cannot be looked up.", exc_info=True)
            connection.close()
    return found


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
