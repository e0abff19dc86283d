"""The running server that a rehearsal speaks to: where it is, what it must be told, whether it is the right one."""

import http.client
import json
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import validate_host

from bookings.rehearsal.plan import Unfit
from bookings.rehearsal.scratch import Buyer
from events.models import Event
from ticks.wire import address_of

PATIENCE_SECONDS = 10
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (what HOST may say)


@dataclass(frozen=True, slots=True)
class Deployment:
    url: str
    address: tuple[str, int]
    # The Host header.
    host: str
    headers: dict[str, str] = field(default_factory=dict)


def deployment_at(url: str | None) -> Deployment:
    """The server at the URL, or else at this deployment's HOST and PORT. Raises `Unfit`."""
    if url is None:
        host = EVERYWHERE.get(settings.HOST, settings.HOST)
        url = f"http://{bracketed(host)}:{settings.PORT}"
    try:
        parts = urlsplit(url)
        address = address_of(url)
    except ValueError:
        parts = None
    if parts is None or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise Unfit(
            f"--url is {url!r}; give plain http, a host and a port and no more, such as http://127.0.0.1:8000 (behind "
            "a proxy that ends TLS: the port that it passes requests on to)."
        )
    # As a proxy would pass it on.
    headers = {"X-Forwarded-Proto": "https"} if settings.HTTPS else {}
    return Deployment(url.rstrip("/"), address, host_header(address[0]), headers)


def bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def host_header(host: str) -> str:
    """The name that the site is reached by: this one if it may be, else the first of ALLOWED_HOSTS."""
    if validate_host(bracketed(host), settings.ALLOWED_HOSTS):
        return bracketed(host)
    return settings.ALLOWED_HOSTS[0].removeprefix(".")


def refuse_unready(deployment: Deployment) -> None:
    status, _ = ask(deployment, "/readyz")
    if status != 200:
        raise Unfit(f"{deployment.url}/readyz answers {status} instead of 200; see that Ticks is ready there.")


def refuse_another_database(deployment: Deployment, copy: Event, buyer: Buyer) -> None:
    """The copy must be there, and the buyers known: elsewhere its id might be that of somebody's real event."""
    status, body = ask(deployment, f"/api/v1/event/{copy.pk}", token=buyer.token)
    try:
        shown = json.loads(body)["data"]["description"] if status == 200 else None
    except (ValueError, KeyError, TypeError):
        shown = None
    if shown != copy.description:
        raise Unfit(
            f"The server at {deployment.url} does not know the copy (it answers {status}): it runs with another "
            "database, other secrets, or HTTPS=on without TRUSTED_PROXIES; nothing was booked."
        )


def ask(deployment: Deployment, path: str, *, token: str | None = None) -> tuple[int, bytes]:
    headers = {"Host": deployment.host, **deployment.headers}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection = http.client.HTTPConnection(*deployment.address, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unfit(
            f"Nothing answers at {deployment.url}; start the server (manage.py serve), or say where it is with --url."
        ) from error
    finally:
        connection.close()
