"""Requests to addresses that people have typed in: only to public ones, without redirects, and for a bounded time."""

import ipaddress
import re
import socket
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from django.conf import settings

# From the look-up of the name until the answer, however slowly its bytes come.
WHOLE_SECONDS = 10
# So much of an answer is read.
MOST_READ = 1000
KEPT_SECONDS = 2
# IPv6 addresses of this network reach the IPv4 address in their last four bytes (RFC 6052).
NAT64 = ipaddress.ip_network("64:ff9b::/96")
NOT_HTTPS = "Write an address that begins with https://."
NO_URL = "Write a whole address, such as https://shop.example.org/ticks."
WITH_LOGIN = "Leave the user and the password out of the address: the signature shows that a message is from here."
WITH_FRAGMENT = "Leave out what follows the #."
PRIVATE = "This address is not public, and only public ones may be asked (WEBHOOK_ALLOW_PRIVATE)."
# A URL has none of these: spaces, control characters, and the backslash, which browsers read as a slash.
UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f\\]")


class NotPublic(OSError):
    """A name leads to an address that no request may go to."""

    def __init__(self, host: str):
        super().__init__(None, f"{host} is not a public address")


class Answer(NamedTuple):
    status: int
    # Its first part.
    text: str


def fault_of_url(url: str) -> str | None:
    """What is wrong with an address, as a sentence. Where its name leads to is checked at each request."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return NO_URL
    if parts.scheme != "https" and not (settings.WEBHOOK_ALLOW_PRIVATE and parts.scheme == "http"):
        return NOT_HTTPS
    if not host or port == 0 or UNPRINTABLE.search(url):
        return NO_URL
    if parts.username is not None or parts.password is not None:
        return WITH_LOGIN
    if "#" in url:
        return WITH_FRAGMENT
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if may_ask(address) else PRIVATE


def may_ask(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return settings.WEBHOOK_ALLOW_PRIVATE or is_public(address)


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if address.version == 6:
        inner = address.ipv4_mapped
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        # Tunnels end wherever their IPv4 address says.
        if address.sixtofour or address.teredo or address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def checked_socket(info: tuple) -> socket.socket:
    """The socket for a connection to the address in `info`. Whatever a name led to before, this is the address that is
    connected to, so nothing can come between the check and the connection."""
    family, kind, protocol, _, (host, *_) = info
    if not may_ask(ipaddress.ip_address(host)):
        raise NotPublic(host)
    return socket.socket(family, kind, protocol)


def new_session() -> aiohttp.ClientSession:
    """Makes requests within an event loop, without cookies and without a proxy of the environment. A connection is kept
    for the next request to its host, for less time than servers keep theirs."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS, socket_factory=checked_socket),
        timeout=aiohttp.ClientTimeout(total=WHOLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> Answer:
    """Raises `aiohttp.ClientError`, `OSError` or `ValueError` where there is no answer, and `TimeoutError` where it is
    late."""
    # A setting may have changed since the address was typed.
    if fault := fault_of_url(url):
        raise ValueError(fault)
    async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
        read = bytearray()
        try:
            async for part in response.content.iter_any():
                read += part
                if len(read) >= MOST_READ:
                    break
        except (aiohttp.ClientError, TimeoutError):
            # The status says whether it was taken. The rest is for people who look for a fault.
            pass
        return Answer(response.status, read[:MOST_READ].decode(errors="replace"))


def fault_of(error: Exception) -> str:
    """Why there was no answer, for people."""
    if isinstance(error, TimeoutError):
        return f"No answer within {WHOLE_SECONDS} seconds."
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, NotPublic):
        return PRIVATE
    return f"{type(error).__name__}: {error}"
