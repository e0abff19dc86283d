"""The schema's address."""

from functools import cache

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView


@cache
def rendered(renderer_class) -> bytes:
    """Made once a process: the routes do not change, and a tenth of a second a request would let anybody
    keep a worker busy."""
    return renderer_class().render(SchemaGenerator().get_schema(public=True), renderer_context={})


class SchemaView(SpectacularAPIView):
    """drf-spectacular's, which would also keep a translation in memory for each `?lang=` that anybody asks for."""

    # It does not describe itself.
    schema = None

    def get(self, request):
        renderer = request.accepted_renderer
        headers = {"Content-Disposition": f'inline; filename="Ticks.{renderer.format}"'}
        content_type = f"{renderer.media_type}; charset={renderer.charset}"
        return HttpResponse(rendered(type(renderer)), content_type=content_type, headers=headers)
