"""What the views of every contract share; the schema, its page, and routes that do not exist."""

from functools import cache

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from ticks.api.envelope import answer
from ticks.api.errors import RefusesInJson, enveloped
from ticks.api.headers import PAGE_POLICY
from ticks.api.idempotency import KeyedActions

# These names may stand in any query string: DRF's choice of a renderer, and the guest's token.
NO_FIELDS = {"format", "token"}


class ViewSet(KeyedActions, GenericViewSet):
    def valid_fields(self, **options) -> dict:
        """The fields of the request's body, as the view's serializer reads them. Raises `ValidationError`."""
        serializer = self.get_serializer(data=self.request.data, **options)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    def query_fields(self) -> dict[str, str]:
        """The fields of the query string. Raises `ValidationError` for one that stands there twice."""
        query = self.request.query_params
        repeated = [name for name in query if len(query.getlist(name)) > 1]
        if repeated:
            raise ValidationError({name: ["It stands in the query string more than once."] for name in repeated})
        return {name: value for name, value in query.items() if name not in NO_FIELDS}


@cache
def rendered(renderer_class) -> bytes:
    """The schema is made once for each process, since the routes do not change. It takes a tenth of a second, so making
    it for each request would let anybody keep a worker busy."""
    return renderer_class().render(SchemaGenerator().get_schema(public=True), renderer_context={})


class Index(KeyedActions, APIView):
    """The addresses of the docs, the schema and both contracts, for those who open the root of the API."""

    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes: list = []
    schema = None
    http_method_names = ["get", "head", "options"]

    def get(self, request):
        if request.accepted_renderer.format == "api":
            return redirect("docs")
        addresses = {
            "docs": reverse("docs"),
            "schema": reverse("schema"),
            "events": reverse("event-list"),
            "bookings": reverse("booking-list"),
            "login": reverse("auth-login"),
            "oneTicketLogin": reverse("one-ticket-user-login"),
            "oneTicketBook": reverse("one-ticket-event-book"),
        }
        urls = {name: request.build_absolute_uri(path) for name, path in addresses.items()}
        return answer("The addresses of the API; /api/docs explains them.", urls)


class SchemaView(RefusesInJson, KeyedActions, SpectacularAPIView):
    """Replaces drf-spectacular's method, which also keeps a translation for each `?lang=` in memory."""

    # The schema does not describe its own address.
    schema = None
    # It is made once, and a person who reads the docs must not use up the requests of the API.
    throttle_classes: list = []
    http_method_names = ["get", "head"]

    def get(self, request):
        renderer = request.accepted_renderer
        headers = {"Content-Disposition": f'inline; filename="Ticks.{renderer.format}"'}
        # JSON has no charset parameter: it is UTF-8.
        content_type = renderer.media_type + (f"; charset={renderer.charset}" if renderer.charset else "")
        return HttpResponse(rendered(type(renderer)), content_type=content_type, headers=headers)


class Docs(RefusesInJson, KeyedActions, SpectacularSwaggerSplitView):
    """Swagger UI, whose script is an address of its own (`?script=`), since no page may have one inside."""

    http_method_names = ["get", "head"]
    throttle_classes: list = []
    # The icons in its stylesheet are data: URLs.
    headers_of_page = {"Content-Security-Policy": PAGE_POLICY.replace("img-src 'self'", "img-src 'self' data:")}

    @property
    def default_response_headers(self):
        return super().default_response_headers | self.headers_of_page


class UnknownRoute(APIView):
    """There is nothing at this address. `/api` lists what there is."""

    # A contract with its own shape of failures has its own.
    failure_body = staticmethod(enveloped)
    authentication_classes: list = []
    permission_classes = [AllowAny]
    throttle_classes: list = []
    schema = None

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        raise Http404
