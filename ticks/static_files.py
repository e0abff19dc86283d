"""Static files: those that our pages use, sent from the disk."""

from django.contrib.staticfiles.finders import AppDirectoriesFinder
from whitenoise.middleware import WhiteNoiseMiddleware

# What packages bring along and no page of ours asks for, by name or by path.
UNUSED = [
    "*.map",
    "*.LICENSE.txt",
    "LICENSE*",
    # drf-spectacular-sidecar
    "redoc",
    "oauth2-redirect.*",
    "drf_spectacular_sidecar/swagger-ui-dist/favicon-32x32.png",
    # DRF: icons that none of its templates shows, and fonts in formats for browsers of the past.
    "font-awesome-*.css",
    "fontawesome-webfont.*",
    "glyphicons-halflings-regular.[!w]*",
    # Django's admin: the readable editions are for DEBUG, and the rest is for fields that none of our forms has.
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
    """WhiteNoise, whose answers the server sends from the disk (`ticks.server.app.respond`).

    A part of a file it would read into memory, so `Range` counts as unsent, as HTTP allows.
    """

    def __call__(self, request):
        request.META.pop("HTTP_RANGE", None)
        return super().__call__(request)
