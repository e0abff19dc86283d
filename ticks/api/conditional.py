"""Answers that a client may have already: what crowds poll is compared before it is put together."""

from django.http import HttpResponseNotModified
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

# A longer header is ignored: no client keeps so many answers of one address, and to parse 60 kB would stop the event
# loop, which does it for the lane, for 60 milliseconds.
MAX_IF_NONE_MATCH = 1000
IF_NONE_MATCH = OpenApiParameter("If-None-Match", location="header", description="The `ETag` of what you have.")
NOT_MODIFIED = OpenApiResponse(description="Nothing has changed; no body.")


def is_named(etag: str, if_none_match: str) -> bool:
    """Whether an `If-None-Match` names this very state."""
    if len(if_none_match) > MAX_IF_NONE_MATCH:
        return False
    tags = parse_etags(if_none_match)
    return "*" in tags or any(tag.removeprefix("W/") == etag for tag in tags)


def is_unchanged(request, etag: str) -> bool:
    return is_named(etag, request.META.get("HTTP_IF_NONE_MATCH", ""))


def not_modified(etag: str) -> HttpResponseNotModified:
    return HttpResponseNotModified(headers={"ETag": etag})
