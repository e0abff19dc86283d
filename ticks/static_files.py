"""Serves the static files that our pages use, from the disk."""

from django.contrib.staticfiles.finders import AppDirectoriesFinder
from whitenoise.middleware import WhiteNoiseMiddleware

# Packages contain these files, but no page of ours asks for them, by name or by path.
UNUSED = [
    "*.map",
    "*.LICENSE.txt",
    "LICENSE*",
    # The package is drf-spectacular-sidecar.
    "redoc",
    "oauth2-redirect.*",
    "drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png",
    # DRF has icons that none of its templates shows, and fonts in formats for old browsers.
    "font-awesome-*.css",
    "fontawesome-webfont.*",
    "glyphicons-halflings-regular.[!w]*",
    # Django's admin has readable editions for DEBUG, and files for fields that none of our forms has.
    "admin/js/vendor/jquery/jquery.js",
    "select2.full.js",
    "select2.css",
    "xregexp.js",
    "gis",
]


class UsedFiles(AppDirectoriesFinder):
    def list(self, ignore_patterns):
        return super().list([*(ignore_patterns or []), *UNUSED])


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise. The server sends its answers from the disk (`ticks.server.app.respond`).

    WhiteNoise would read a part of a file into memory, so a `Range` header is ignored, as HTTP allows.
    """

    def __call__(self, request):
        request.META.pop("HTTP_RANGE", None)
        return super().__call__(request)
