"""Requests to addresses that people have typed in: only to public ones, without redirects, and for a bounded time."""

import ipaddress
import socket
from typing import NamedTuple

import aiohttp

from ticks.public_urls import PRIVATE, fault_of_url, may_ask

# From the look-up of the name until the answer, however slowly its bytes come.
WHOLE_SECONDS = 10
# So much of an answer is read.
MOST_READ = 1000
KEPT_SECONDS = 2


class NotPublic(OSError):
    """A name leads to an address that no request may go to."""

    def __init__(self, host: str):
        super().__init__(None, f"{host} is not a public address")


class PostAnswer(NamedTuple):
    status: int
    # Its first part.
    text: str


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


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: dict[str, str]) -> PostAnswer:
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
        return PostAnswer(response.status, read[:MOST_READ].decode(errors="replace"))


def fault_of(error: Exception) -> str:
    """Why there was no answer, for people."""
    if isinstance(error, TimeoutError):
        return f"No answer within {WHOLE_SECONDS} seconds."
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, NotPublic):
        return PRIVATE
    return f"{type(error).__name__}: {error}"
