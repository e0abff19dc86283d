"""The HTTP part of a fast path in front of Django: which requests are plain, and how an answer is sent.

A fast path takes a request only if nothing about it is unusual. Django answers every other request. So this module may
wrongly leave a request to Django, but must never wrongly take one."""

import time
from dataclasses import dataclass
from functools import lru_cache

import msgspec
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from ticks.api.headers import data_headers
from ticks.logging import identity_of, log_request

# These headers of clients and proxies change nothing, or a fast path reads them.
PLAIN_HEADERS = {
    *("accept", "accept-encoding", "accept-language", "authorization", "connection", "content-length", "content-type"),
    *("forwarded", "host", "idempotency-key", "if-none-match", "traceparent", "tracestate", "user-agent", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "x-request-id"),
    # Browsers add these. Django looks at `Referer` for the CSRF check alone, which is only for sessions.
    *("cache-control", "dnt", "pragma", "priority", "referer", "sec-gpc"),
    *("sec-ch-ua", "sec-ch-ua-mobile", "sec-ch-ua-platform"),
    *("sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site", "sec-fetch-user"),
}
# Where no origin may call from another site, Django looks at `Origin` for the CSRF check alone.
PLAIN_HEADERS_WITHOUT_CORS = PLAIN_HEADERS | {"origin"}
# All of these accept JSON.
JSON_ACCEPTED = {"*/*", "application/json", "application/json, text/plain, */*"}
# A DNS name has at most 253 characters; then comes the port.
MAX_HOST = 260

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass(slots=True)
class Head:
    """A plain request without its body. Header names are in lower case."""

    method: str
    path: str
    address: str
    scheme: str
    headers: dict[str, str]
    # This is the length of the body.
    length: int
    identity: str


def read_head(scope, *, takes_query: bool = False) -> Head | None:
    """The head of an RSGI request; None where it is not plain. With a query string it is plain only where the path
    takes one, whose reader must know what is plain in it."""
    items = scope.headers.items()
    headers = dict(items)
    scheme = scope.scheme
    if settings.TRUSTED_PROXIES and "x-forwarded-proto" in headers:
        # The address is found as Django finds it: by the header of a trusted proxy, otherwise by the connection.
        scheme = headers["x-forwarded-proto"].split(",")[0].strip()
    length = headers.get("content-length", "0")
    is_plain = (
        # A header that came twice is in the items twice; one with bytes beyond ASCII is not in them.
        len(headers) == len(items) == len(scope.headers)
        and (takes_query or not scope.query_string)
        and headers.keys() <= (PLAIN_HEADERS if settings.CORS_ALLOWED_ORIGINS else PLAIN_HEADERS_WITHOUT_CORS)
        and headers.get("accept", "*/*") in JSON_ACCEPTED
        and len(host := headers.get("host", "")) <= MAX_HOST
        and is_our_host(host, tuple(settings.ALLOWED_HOSTS))
        and (scheme == "https" or not settings.SECURE_SSL_REDIRECT)
        and len(length) < 10
        and length.isascii()
        and length.isdigit()
    )
    if not is_plain:
        return None
    address = scope.client.rpartition(":")[0].strip("[]")
    identity = identity_of(headers.get("x-request-id", ""))
    return Head(scope.method, scope.path, address, scheme, headers, int(length), identity)


@lru_cache(maxsize=256)
def is_our_host(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def whole_answer(
    head: Head, body: dict | None, *, status: int, user: int | None, headers: dict[str, str], allow: str, began: float
) -> Answer:
    """The complete answer; it also writes the log line. Without a body the status is 304."""
    # No text of these answers has U+2028 or U+2029, which Django's JSON escapes: names are checked (`ticks.text`).
    content = b"" if body is None else msgspec.json.encode(body)
    fixed = fixed_headers(
        is_guest=user is None,
        has_body=body is not None,
        has_etag="ETag" in headers,
        varies_by_origin=bool(settings.CORS_ALLOWED_ORIGINS),
        hsts_seconds=settings.SECURE_HSTS_SECONDS if head.scheme == "https" else 0,
        allow=allow,
    )
    # The view's own headers take the place of others.
    all_headers = {**fixed, **headers, "Content-Length": str(len(content)), "X-Request-ID": head.identity}
    seconds = time.perf_counter() - began
    log_request(method=head.method, path=head.path, status=status, seconds=seconds, user=user, identity=head.identity)
    return status, list(all_headers.items()), content


@lru_cache
def fixed_headers(
    *, is_guest: bool, has_body: bool, has_etag: bool, varies_by_origin: bool, hsts_seconds: int, allow: str
) -> dict[str, str]:
    """The headers that many answers have in common. To make them for each took a hundredth of a booking's time."""
    # A guest's request has no token, so a session's cookie would have decided who the caller is.
    vary = ["Accept", *(["Cookie"] if is_guest else []), *(["origin"] if varies_by_origin else [])]
    headers = {**data_headers(has_etag=has_etag), "Vary": ", ".join(vary), "Allow": allow}
    if has_body:
        headers["Content-Type"] = "application/json"
    if hsts_seconds:
        headers["Strict-Transport-Security"] = f"max-age={hsts_seconds}"
    return headers
