"""What is left out for a program that talks JSON: it has no cookie, so no session, no form and no page.

Each middleware that only browsers need stands in the settings as its subclass here, which steps aside.
"""

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.functional import SimpleLazyObject
from rest_framework.negotiation import DefaultContentNegotiation

# Of the two contracts, and of nothing that is a page.
PATHS = ("/api/v1/", "/api/events/", "/api/users/")
# To all of these JSON is the answer.
JSON_ACCEPTED = {"*/*", "application/json", "application/json, text/plain, */*"}


def is_program(request) -> bool:
    """Whether nothing that a browser sends came with it, and JSON is what it is answered."""
    known = getattr(request, "is_program", None)
    if known is None:
        meta = request.META
        known = request.is_program = (
            not meta.get("HTTP_COOKIE")
            and meta.get("HTTP_ACCEPT", "*/*") in JSON_ACCEPTED
            and not meta.get("QUERY_STRING")
            and request.path_info.startswith(PATHS)
        )
    return known


class ForBrowsers:
    def __call__(self, request):
        return self.for_program(request) if is_program(request) else super().__call__(request)

    def for_program(self, request):
        return self.get_response(request)


class Sessions(ForBrowsers, SessionMiddleware):
    def for_program(self, request):
        response = self.get_response(request)
        if getattr(request, "is_varied_by_cookie", False):
            patch_vary_headers(response, ("Cookie",))
        return response


class Csrf(ForBrowsers, CsrfViewMiddleware):
    """Its look at the view stays: one that is not exempt, as the API's are, refuses a program."""


class Accounts(ForBrowsers, AuthenticationMiddleware):
    def for_program(self, request):
        request.user = SimpleLazyObject(lambda: nobody(request))
        return self.get_response(request)


def nobody(request) -> AnonymousUser:
    """Who asks by session; a cookie might have made a difference, as caches are told."""
    request.is_varied_by_cookie = True
    return AnonymousUser()


class Messages(ForBrowsers, MessageMiddleware):
    pass


class Negotiation(DefaultContentNegotiation):
    def select_renderer(self, request, renderers, format_suffix=None):
        if not format_suffix and is_program(request._request) and renderers[0].media_type == "application/json":
            return renderers[0], renderers[0].media_type
        return super().select_renderer(request, renderers, format_suffix)
