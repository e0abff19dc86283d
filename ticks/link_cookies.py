"""Moves the secret of a mail's link out of the address: into a cookie for the page that the link opens.

The secret stands in the link's query string, which no log of ours has. The browser is led to an address without it. So
it gets into no history and no Referer header, and no session stores it in the database."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

OPEN_SECONDS = 3600
SALT = "ticks.link_cookies"


def cookie_name() -> str:
    # Browsers take a cookie with this prefix only over TLS. `__Host-` would not let it have a path.
    return "__Secure-ticks_link" if settings.HTTPS else "ticks_link"


def redirect_to(address: str) -> HttpResponse:
    """The answer to a link: it leads to the page's address without the secret."""
    response = HttpResponseRedirect(address, status=303)
    # A stylesheet of this site must not be asked for with the secret in the Referer.
    response["Referrer-Policy"] = "no-referrer"
    return response


def remember(response: HttpResponse, secret: str, *, path: str) -> HttpResponse:
    """Has the browser keep a secret for an hour, for the pages below a path."""
    response.set_signed_cookie(
        cookie_name(),
        secret,
        salt=SALT,
        max_age=OPEN_SECONDS,
        path=path,
        secure=settings.HTTPS,
        httponly=True,
        samesite="Lax",
    )
    return response


def remembered(request: HttpRequest) -> str:
    """The secret that the browser keeps for this page; empty if there is none, or if it is older than an hour."""
    return request.get_signed_cookie(cookie_name(), default="", salt=SALT, max_age=OPEN_SECONDS)


def forget(response: HttpResponse, *, path: str) -> HttpResponse:
    response.delete_cookie(cookie_name(), path=path)
    return response
