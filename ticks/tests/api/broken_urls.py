"""Routes of both contracts whose views have a bug, beside the real ones."""

from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView

from ticks import urls

handler400 = urls.handler400
handler500 = urls.handler500


class Broken(APIView):
    authentication_classes: list = []
    permission_classes = [AllowAny]

    def get(self, request):
        raise ZeroDivisionError("a secret of the inside")


class PlainlyBroken(Broken):
    failure_body = staticmethod(lambda said: {"error": said.message})


def broken_page(request):
    raise ZeroDivisionError("a secret of the inside")


urlpatterns = [
    path("api/v1/broken", Broken.as_view()),
    path("api/events/broken", PlainlyBroken.as_view()),
    path("api/broken", broken_page),
    path("broken", broken_page),
    *urls.urlpatterns,
]
