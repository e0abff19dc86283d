from drf_spectacular.views import SpectacularSwaggerSplitView

from ticks.api.errors import RefusesInJson
from ticks.api.headers import policy


class Docs(RefusesInJson, SpectacularSwaggerSplitView):
    """Swagger UI, whose script is an address of its own (`?script=`), since no page may have one inside."""

    http_method_names = ["get", "head"]
    # The icons in its stylesheet are data: URLs.
    headers_of_page = {"Content-Security-Policy": policy(img_src="'self' data:")}

    @property
    def default_response_headers(self):
        return super().default_response_headers | self.headers_of_page
