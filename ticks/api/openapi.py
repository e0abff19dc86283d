"""The schema's address."""

from functools import cache

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView

from ticks.api.errors import RefusesInJson


@cache
def rendered(renderer_class) -> bytes:
    """Made once a process: the routes do not change, and a tenth of a second a request would let anybody
    keep a worker busy."""
    return renderer_class().render(SchemaGenerator().get_schema(public=True), renderer_context={})


class SchemaView(RefusesInJson, SpectacularAPIView):
    """drf-spectacular's, which would also keep a translation in memory for each `?lang=` that anybody asks for."""

    # It does not describe itself.
    schema = None
    http_method_names = ["get", "head"]

    def get(self, request):
        renderer = request.accepted_renderer
        headers = {"Content-Disposition": f'inline; filename="Ticks.{renderer.format}"'}
        # JSON has none: it is UTF-8.
        content_type = renderer.media_type + (f"; charset={renderer.charset}" if renderer.charset else "")
        return HttpResponse(rendered(type(renderer)), content_type=content_type, headers=headers)
