"""Limits on requests by caller, counted in this process's memory: each worker counts its own."""

import time
from collections import OrderedDict
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock

from django.conf import settings
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from ticks.exceptions import Refusal
from ticks.words import plural

PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Of each scope. With more callers at once, those who were silent longest are forgotten first.
MAX_CALLERS = 100_000
# An address has less. What a proxy passed on as one may be any text, and longer ones count as what they begin with.
MAX_KEY = 64
clock = time.monotonic


class TooManyRequests(Refusal):
    status = 429
    code = "throttled"

    def __init__(self, seconds: int):
        self.retry_after = seconds
        super().__init__(f"Too many requests; try again in {seconds} {plural(seconds, 'second')}.")


class Counts:
    """When each caller of one scope came within the last period, oldest first. Exact under threads."""

    def __init__(self):
        self.lock = Lock()
        # By key; who came last is last.
        self.callers: OrderedDict[str, list[float]] = OrderedDict()

    def count(self, key: str, *, limit: int, period: float) -> float | None:
        """Counts a request; how many seconds to wait instead if it is one too many."""
        key = key[:MAX_KEY]
        with self.lock:
            now = clock()
            times = self.callers.setdefault(key, [])
            self.callers.move_to_end(key)
            forget(times, until=now - period)
            if len(times) >= limit:
                return times[0] + period - now if len(times) == limit else 0.0
            times.append(now)
            self.forget_silent(until=now - period)
        return None

    def take_back(self, key: str) -> None:
        with self.lock:
            times = self.callers.get(key[:MAX_KEY])
            if times:
                times.pop()

    def forget_silent(self, *, until: float) -> None:
        """Two at most: more often than new ones come, and no request pays for many."""
        for _ in range(2):
            key, times = next(iter(self.callers.items()))
            if times and times[-1] > until and len(self.callers) <= MAX_CALLERS:
                return
            del self.callers[key]


def forget(times: list[float], *, until: float) -> None:
    past = 0
    while past < len(times) and times[past] <= until:
        past += 1
    del times[:past]


COUNTS = {"guest": Counts(), "user": Counts(), "login": Counts()}


@lru_cache(maxsize=64)
def parse_rate(rate: str) -> tuple[int, int]:
    number, _, period = rate.partition("/")
    return int(number), PERIODS[period[0]]


def seconds_to_wait(scope: str, key: str) -> float | None:
    """Counts a request of this caller; None when it may go on."""
    if not settings.THROTTLE_ENABLED:
        return None
    limit, period = parse_rate(api_settings.DEFAULT_THROTTLE_RATES[scope])
    return COUNTS[scope].count(key, limit=limit, period=period)


def allow(scope: str, key: str) -> bool:
    """Counts a request of this caller; False when it is one too many."""
    return seconds_to_wait(scope, key) is None


def take_back(scope: str, key: str) -> None:
    """Uncounts the last request of this caller, which is about to be counted again."""
    COUNTS[scope].take_back(key)


def forget_all() -> None:
    for counts in COUNTS.values():
        counts.callers.clear()


def client_network(request) -> str:
    return network_of(request.META)


def network_of(meta: dict) -> str:
    """The address that a caller is counted by, trusting `TRUSTED_PROXIES` forwarding hops.

    An IPv6 caller owns at least a /64, so the /64 counts, not the address. What is no address counts as the peer's,
    the nearest proxy: no spelling may make a fresh caller.
    """
    peer = meta.get("REMOTE_ADDR", "")
    parsed = parse_address(address_of(meta)) or parse_address(peer)
    if parsed is None:
        # The peer of a unix socket has none.
        return "no address"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            # A dual-stack socket's spelling; as /64 they would all be one caller.
            return str(parsed.ipv4_mapped)
        return f"{IPv6Address(int(parsed) >> 64 << 64)}/64"
    return str(parsed)


def address_of(meta: dict) -> str:
    """As DRF finds it, without building all headers for one."""
    proxies = api_settings.NUM_PROXIES
    forwarded = meta.get("HTTP_X_FORWARDED_FOR")
    if proxies == 0 or forwarded is None:
        return meta.get("REMOTE_ADDR", "")
    hops = forwarded.split(",")
    return hops[-min(proxies, len(hops))].strip()


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it, perhaps with a port, brackets or quotes; None if it is no address."""
    host = text.strip().strip('"')
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return ip_address(host)
    except ValueError:
        return None


class CallerThrottle(BaseThrottle):
    """At most so many requests as the rate of its scope in the settings."""

    scope: str

    def key_of(self, request) -> str | None:
        raise NotImplementedError

    def allow_request(self, request, view):
        key = self.key_of(request)
        self.seconds = None if key is None else seconds_to_wait(self.scope, key)
        return self.seconds is None

    def wait(self):
        return self.seconds


class GuestThrottle(CallerThrottle):
    """By address, for callers without an account."""

    scope = "guest"

    def key_of(self, request):
        return None if request.user.is_authenticated else client_network(request)


class UserThrottle(CallerThrottle):
    """By account, for callers who have one."""

    scope = "user"

    def key_of(self, request):
        return str(request.user.pk) if request.user.is_authenticated else None
