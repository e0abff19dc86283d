"""The server's routes, and one at which a call into C keeps the GIL."""

import ctypes

from django.http import HttpResponse
from django.urls import path

from ticks.server import worker
from ticks.urls import handler400, handler500, urlpatterns

__all__ = ["handler400", "handler500", "urlpatterns"]

# This shortens the limit for a worker that has got a request, so that no test waits for half a minute.
worker.HANG_SECONDS = 6


def hang(request):
    ctypes.PyDLL(None).sleep(60)
    return HttpResponse("It never comes to this.")


urlpatterns = [path("hang", hang), *urlpatterns]
