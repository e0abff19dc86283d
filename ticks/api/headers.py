"""Headers of every answer, refusals and static files included; and answers that a client has already (ETag), or saves
as a file."""

from django.conf import settings
from django.http import HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

# Everything comes from this host, and nothing stands inside the page: no inline script or style, no handler or style
# attribute.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'"
# Django's middleware sets some of these too, but not on answers that are refused before or inside it.
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Another site's <script src> must not run the script of the docs, which has a CSRF token in it.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def data_headers(*, has_etag: bool = False) -> dict[str, str]:
    """The protective headers of an answer that is no page. They are added if the view has not set them itself."""
    # Most answers carry a person's data or a token. An answer with an ETag is meant to be asked for again.
    cached = "private, no-cache" if has_etag else "no-store"
    return {**ALWAYS, "Cache-Control": cached, "Content-Security-Policy": DATA_POLICY}


class ProtectiveHeaders:
    """Middleware: adds what a view has not set itself."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        response = self.get_response(request)
        headers = response.headers
        if headers.get("Content-Type", "").startswith("text/html"):
            protective = {**ALWAYS, "Cache-Control": "no-store"}
            # Django's own error pages with code have their script and style inside.
            if not (settings.DEBUG and response.status_code in (400, 404, 500)):
                protective["Content-Security-Policy"] = PAGE_POLICY
        else:
            protective = data_headers(has_etag="ETag" in headers)
        for name, value in protective.items():
            headers.setdefault(name, value)
        return response


# A longer header is ignored: no client keeps so many answers of one address, and to parse 60 kB would stop the event
# loop, which does it for the fast path, for 60 milliseconds.
MAX_IF_NONE_MATCH = 1000
IF_NONE_MATCH = OpenApiParameter("If-None-Match", location="header", description="The `ETag` of what you have.")
NOT_MODIFIED = OpenApiResponse(description="Nothing has changed; no body.")


def is_named(etag: str, if_none_match: str) -> bool:
    """Whether an `If-None-Match` header names exactly this state."""
    if len(if_none_match) > MAX_IF_NONE_MATCH:
        return False
    tags = parse_etags(if_none_match)
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)


def not_modified(request, etag: str) -> HttpResponseNotModified | None:
    """The answer to a client that has this state already; None if it has not."""
    is_known = is_named(etag, request.META.get("HTTP_IF_NONE_MATCH", ""))
    return HttpResponseNotModified(headers={"ETag": etag}) if is_known else None


def file_answer(content: bytes, *, name: str, content_type: str) -> HttpResponse:
    """An answer that a browser saves under a name of ours, which needs no escape in a header."""
    disposition = f'attachment; filename="{name}"'
    return HttpResponse(content, content_type=content_type, headers={"Content-Disposition": disposition})
