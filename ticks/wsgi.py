import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import connections

from ticks.intake import made_readable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")

connections.settings["default"]["OPTIONS"].update(settings.REQUEST_DATABASE_OPTIONS)
django_application = get_wsgi_application()


def application(environ, start_response):
    return django_application(made_readable(environ), start_response)
