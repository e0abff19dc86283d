"""What a fast lane in front of Django needs of HTTP: which requests are plain, and how an answer leaves.

A lane takes a request only where nothing about it is unusual; whatever else it is, Django answers it. So all
that is here may err on one side only.
"""

import time
from dataclasses import dataclass, field
from functools import lru_cache

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from ticks.api.errors import describe, enveloped
from ticks.api.headers import data_headers
from ticks.api.renderers import to_json
from ticks.exceptions import Refusal
from ticks.logging import identity_of, log_request, request_id
from ticks.programs import JSON_ACCEPTED

# Those of clients and proxies that change nothing, or that a lane reads.
PLAIN_HEADERS = {
    *("accept", "accept-encoding", "accept-language", "authorization", "connection", "content-length", "content-type"),
    *("forwarded", "host", "idempotency-key", "if-none-match", "traceparent", "tracestate", "user-agent", "via"),
    *("x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip", "x-request-id"),
}
MAX_BODY = 16 * 1024
# A name in the DNS has 253 characters at most; then comes the port.
MAX_HOST = 260

Answer = tuple[int, list[tuple[str, str]], bytes]


@dataclass(slots=True)
class Head:
    """A request but for its body. Header names are in lower case, each there once."""

    method: str
    path: str
    query: str
    client: str
    scheme: str
    headers: dict[str, str]
    # Set when the body is there.
    began: float = field(init=False, default=0.0)
    identity: str = field(init=False)

    def __post_init__(self):
        self.identity = identity_of(self.headers.get("x-request-id", ""))


def head_of_scope(scope) -> Head | None:
    """Of an RSGI request; None where a header came twice, or has more than ASCII."""
    items = scope.headers.items()
    headers = dict(items)
    if len(headers) != len(items) or len(headers) != len(scope.headers):
        return None
    return Head(scope.method, scope.path, scope.query_string, scope.client, scope.scheme, headers)


def is_plain(head: Head) -> bool:
    headers = head.headers
    return (
        not head.query
        and headers.keys() <= PLAIN_HEADERS
        and headers.get("accept", "*/*") in JSON_ACCEPTED
        and len(host := headers.get("host", "")) <= MAX_HOST
        and is_our_host(host, tuple(settings.ALLOWED_HOSTS))
        and (is_secure(head) or not settings.SECURE_SSL_REDIRECT)
    )


@lru_cache(maxsize=256)
def is_our_host(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


def is_secure(head: Head) -> bool:
    """As Django finds it: by the header of a proxy that is trusted, else by the connection."""
    if settings.TRUSTED_PROXIES and "x-forwarded-proto" in head.headers:
        return head.headers["x-forwarded-proto"].split(",")[0].strip() == "https"
    return head.scheme == "https"


def address_parts(head: Head) -> dict[str, str]:
    """What `ticks.api.throttling.network_of` counts a caller by."""
    parts = {"REMOTE_ADDR": head.client.rpartition(":")[0].strip("[]")}
    if "x-forwarded-for" in head.headers:
        parts["HTTP_X_FORWARDED_FOR"] = head.headers["x-forwarded-for"]
    return parts


def answer_with(
    head: Head, body: dict | None, *, status: int, user: int | None, headers: dict[str, str], allow: str
) -> Answer:
    """The answer in full, and its line in the log. Without a body: 304."""
    content = b"" if body is None else to_json(body)
    before, after = headers_around_length(
        tuple(headers.items()),
        has_body=body is not None,
        # Without a token a session's cookie would have decided who asks.
        vary="Accept, Cookie" if user is None else "Accept",
        allow=allow,
        hsts_seconds=is_secure(head) and settings.SECURE_HSTS_SECONDS,
    )
    all_headers = [*before, ("Content-Length", str(len(content))), *after, ("X-Request-ID", head.identity)]
    log_request(
        method=head.method,
        path=head.path,
        status=status,
        seconds=time.perf_counter() - head.began,
        user=user,
        identity=head.identity,
    )
    return status, all_headers, content


@lru_cache(maxsize=256)
def headers_around_length(
    headers: tuple[tuple[str, str], ...], *, has_body: bool, vary: str, allow: str, hsts_seconds: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """In Django's order, those before Content-Length and those after it."""
    own = dict(headers)
    protective = dict(data_headers(has_etag="ETag" in own))
    before = {
        **({"Content-Type": "application/json"} if has_body else {}),
        **own,
        "Vary": vary,
        "Allow": allow,
        "X-Frame-Options": protective["X-Frame-Options"],
    }
    after = {**({"Strict-Transport-Security": f"max-age={hsts_seconds}"} if hsts_seconds else {}), **protective}
    return list(before.items()), [(name, value) for name, value in after.items() if name not in before]


def refusal_body(head: Head, refusal: Refusal) -> tuple[int, dict[str, str], dict]:
    """Status, headers and body of what a service refuses, as `ticks.api.errors` words it for every view."""
    token = request_id.set(head.identity)
    try:
        said = describe(refusal)
    finally:
        request_id.reset(token)
    return said.status, said.headers, enveloped(said)
