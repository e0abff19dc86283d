from django.http import Http404
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView


class UnknownRoute(APIView):
    """Answers every method on a route that does not exist, as the rest of the API answers."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes: list = []
    schema = None

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        raise Http404


def no_route(like: type[APIView] = APIView):
    """The catch-all of a contract, whose failures look like those of its views."""
    body = getattr(like, "failure_body", None)
    attributes = {"failure_body": staticmethod(body)} if body else {}
    return type("UnknownRoute", (UnknownRoute,), attributes).as_view()
