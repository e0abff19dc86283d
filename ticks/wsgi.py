import os
from io import BytesIO

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")

connections.settings["default"]["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
django_application = get_wsgi_application()


def application(environ, start_response):
    """Django, which takes a chunked body for an empty one, with such a body's length told."""
    if environ.get("HTTP_TRANSFER_ENCODING") and not environ.get("CONTENT_LENGTH"):
        # One byte over the limit is enough for the parsers to refuse it.
        body = environ["wsgi.input"].read(settings.BODY_LIMIT + 1)
        environ |= {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    return django_application(environ, start_response)
