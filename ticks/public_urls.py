"""Checks the URLs that people type for webhooks: they must be whole, use https, and lead to a public address.

Requests to them are in `ticks/outbound.py`, whose library only `deliver` loads."""

import ipaddress
import re
from urllib.parse import urlsplit

from django.conf import settings

# IPv6 addresses of this network reach the IPv4 address in their last four bytes (RFC 6052).
NAT64 = ipaddress.ip_network("64:ff9b::/96")
NOT_HTTPS = "Write an address that begins with https://."
NO_URL = "Write a whole address, such as https://shop.example.org/ticks."
WITH_LOGIN = "Leave the user and the password out of the address: the signature shows that a message is from here."
WITH_FRAGMENT = "Leave out what follows the #."
PRIVATE = "This address is not public, and only public ones may be asked (WEBHOOK_ALLOW_PRIVATE)."
# A URL has none of these: spaces, control characters, and the backslash, which browsers read as a slash.
UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f\\]")


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
