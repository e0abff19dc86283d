from ipaddress import IPv6Address, ip_address

from django.conf import settings
from rest_framework.throttling import AnonRateThrottle, BaseThrottle, UserRateThrottle


def client_network(request) -> str:
    """The address that a caller is counted by, trusting `TRUSTED_PROXIES` forwarding hops.

    An IPv6 caller owns at least a /64, so the /64 counts, not the address.
    """
    address = BaseThrottle().get_ident(request)
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            # A dual-stack socket's spelling; as /64 they would all be one caller.
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


class Switchable:
    def allow_request(self, request, view):
        return not settings.THROTTLE_ENABLED or super().allow_request(request, view)

    def get_ident(self, request):
        return client_network(request)


class GuestThrottle(Switchable, AnonRateThrottle):
    """By address, for callers without an account; each worker process counts its own."""

    scope = "guest"


class UserThrottle(Switchable, UserRateThrottle):
    """By account; each worker process counts its own. A guest is left to `GuestThrottle`."""

    scope = "user"

    def get_cache_key(self, request, view):
        if not request.user.is_authenticated:
            return None
        return super().get_cache_key(request, view)
