"""Limits on requests by caller, counted in this process's memory: each worker counts its own."""

import math
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from threading import Lock

from django.conf import settings
from django.utils.translation import ngettext
from rest_framework.settings import api_settings
from rest_framework.throttling import BaseThrottle

from ticks.exceptions import Refusal

PERIODS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
# Each scope remembers this many callers. If there are more, those who were silent longest are forgotten first.
MAX_CALLERS = 100_000
# An IP address is shorter. A proxy may pass on any text as an address; a longer one is counted by its beginning.
MAX_KEY = 64
clock = time.monotonic


class TooManyRequests(Refusal):
    status = 429
    code = "throttled"

    def __init__(self, seconds: float):
        self.retry_after = math.ceil(seconds)
        text = ngettext(
            "Too many requests; try again in %(seconds)d second.",
            "Too many requests; try again in %(seconds)d seconds.",
            self.retry_after,
        )
        super().__init__(text % {"seconds": self.retry_after})


class MovingWindow:
    """The times of each caller's requests in the last period, oldest first. It counts exactly under threads.

    Not the `limits` library: its storage in memory starts a thread every ten milliseconds, which goes through all
    callers. A hit took 9 us more CPU with 64 callers, and 35 us more with 10,000.
    """

    def __init__(self):
        self.lock = Lock()
        # The callers are ordered; the one who came last is at the end.
        self.callers: OrderedDict[str, list[float]] = OrderedDict()

    def hit(self, key: str, *, limit: int, period: int) -> float | None:
        """Counts a request. Returns how many seconds to wait instead, if it is one too many."""
        key = key[:MAX_KEY]
        with self.lock:
            now = clock()
            times = self.callers.setdefault(key, [])
            self.callers.move_to_end(key)
            del times[: bisect_right(times, now - period)]
            if len(times) >= limit:
                return times[-limit] + period - now
            times.append(now)
            # At most two callers are forgotten here. That is faster than new callers come, and no request pays for
            # many.
            for _ in range(2):
                oldest, its_times = next(iter(self.callers.items()))
                if len(self.callers) > MAX_CALLERS or not its_times or its_times[-1] <= now - period:
                    del self.callers[oldest]
        return None

    def take_back(self, key: str) -> None:
        """Uncounts the caller's last request."""
        with self.lock:
            key = key[:MAX_KEY]
            times = self.callers.get(key)
            if times:
                times.pop()
            if not times:
                self.callers.pop(key, None)


MOVING_WINDOWS = {scope: MovingWindow() for scope in ("guest", "user", "guest_booking", "login", "api_key")}


@lru_cache(maxsize=64)
def parse_rate(rate: str) -> tuple[int, int]:
    number, _, period = rate.partition("/")
    return int(number), PERIODS[period[0]]


def seconds_to_wait(counted: Sequence[tuple[str, str]]) -> float | None:
    """Counts a request in these scopes, each with the caller's key.

    If it is one too many in one of them, it is counted in none. Returns how many seconds to wait then, otherwise None.
    """
    if not settings.THROTTLE_ENABLED:
        return None
    waits = []
    for scope, key in counted:
        limit, period = parse_rate(api_settings.DEFAULT_THROTTLE_RATES[scope])
        waits.append(MOVING_WINDOWS[scope].hit(key, limit=limit, period=period))
    if all(wait is None for wait in waits):
        return None
    take_back([place for place, wait in zip(counted, waits, strict=True) if wait is None])
    return max(wait for wait in waits if wait is not None)


def take_back(counted: Sequence[tuple[str, str]]) -> None:
    """Uncounts a request in these scopes."""
    for scope, key in counted:
        MOVING_WINDOWS[scope].take_back(key)


def forget_all() -> None:
    for window in MOVING_WINDOWS.values():
        window.callers.clear()


def scopes_of(user_id: int | None, meta: dict, *, is_booking: bool, caller=None) -> list[tuple[str, str]]:
    """The scopes that a caller's request counts in, each with the caller's key: the account, or a guest's address.

    The account of an API key has a scope of its own (`throttle_scope` of the caller). A guest's booking counts in one
    of its own too, so that nobody without an account takes all tickets of an event.
    """
    if user_id is not None:
        return [(getattr(caller, "throttle_scope", "user"), str(user_id))]
    network = network_of(meta)
    return [("guest", network), ("guest_booking", network)] if is_booking else [("guest", network)]


def network_of(meta: dict) -> str:
    """The address that a caller is counted by, trusting `TRUSTED_PROXIES` forwarding hops.

    An IPv6 caller owns at least a /64, so the /64 counts, not the address. A text that is no address counts as the
    peer, the nearest proxy, so that no spelling makes a new caller.
    """
    peer, forwarded = meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR")
    address = None
    if api_settings.NUM_PROXIES and forwarded is not None:
        # DRF takes the same hop.
        hops = forwarded.split(",")
        address = parse_address(hops[-min(api_settings.NUM_PROXIES, len(hops))])
    address = address or parse_address(peer)
    if address is None:
        # The peer of a unix socket has no address.
        return "no address"
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        # This is a dual-stack socket's spelling of IPv4. As a /64, all of them would be one caller.
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"


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
    """Counts the requests to a view. `booking_actions` of the view are those that book tickets."""

    def allow_request(self, request, view):
        is_booking = getattr(view, "action", None) in getattr(view, "booking_actions", ())
        counted = scopes_of(request.user.pk, request.META, is_booking=is_booking, caller=request.auth)
        self.seconds = seconds_to_wait(counted)
        return self.seconds is None

    def wait(self):
        return self.seconds
