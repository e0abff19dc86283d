"""Limits on attempts at passwords and accounts, counted in the database: exact across workers."""

import math
from collections.abc import Callable
from functools import partial

from django.conf import settings
from django.utils import timezone
from rest_framework.throttling import BaseThrottle

from accounts.exceptions import SessionEnded
from accounts.models import User, hash_of, login_key
from accounts.services import count_attempt, forgive_attempt, was_counted
from accounts.tokens import read_refresh_token
from ticks.api.throttling import CallerThrottle, TooManyRequests, network_of
from ticks.db.transactions import in_one_transaction

MINUTE, HOUR, DAY = 60, 3600, 24 * 3600
# Wrong passwords a minute for one name, or for one account, from one address: more than anybody mistypes.
GUESSES_FROM_ADDRESS = 10
# Wrong passwords an hour for one account. NIST SP 800-63B, section 5.2.2, allows 100 in a row; but a limit that time
# does not lift would let anybody keep an owner out for good. These are 876,000 a year, if somebody keeps at it. There
# are 209 billion passwords of eight small letters, so one in 240,000 of them is found in that year; the common ones,
# which are tried first, cannot be set.
GUESSES_AT_ACCOUNT = 100
# After a login from an address, the address counts as known for the account for this long.
KNOWN_SECONDS = 30 * DAY


class Attempt:
    """One attempt. The constructor counts it before anything else is done for the request."""

    def __init__(self, purpose: str, subject: str, *, limit: int, seconds: int = MINUTE):
        self.key, self.seconds, self.now = attempt_key(purpose, subject), seconds, timezone.now()
        self.is_allowed = count_attempt(self.key, window_seconds=seconds, now=self.now) <= limit

    def wait(self) -> float:
        return self.seconds - self.now.timestamp() % self.seconds

    def forgive(self) -> None:
        forgive_attempt(self.key, window_seconds=self.seconds, now=self.now)


def attempt_key(purpose: str, subject: str) -> str:
    # The name is hashed, so that the table of counters holds no mail address.
    return f"{purpose}:{hash_of(subject)}"


class LoginAttempt:
    """A password that is tried for a name. It is counted before it is checked, for every kind of login.

    It counts three times: for the name as it was typed and for the account that it finds, each from this address, and
    for the account from all addresses. A name without an account is an account of its own.

    Only the first count refuses openly (429, `TooManyRequests`): it tells callers what they have done themselves.
    The other two would tell that a username and a mail address are one account, what others have tried, and where the
    owner logs in. So beyond those `is_refused` is set, and the login is answered as a wrong password is, after the
    same work, even if the password is right.

    Addresses from which the account has logged in lately are not counted with all others, but each by itself (NIST SP
    800-63B, section 5.2.2, has the same idea). So a stranger elsewhere does not keep an owner out at a known address.
    """

    def __init__(self, request, *, name: str, user: User | None):
        self.attempts: list[Attempt] = []
        self.is_refused = False
        if request is not None and settings.THROTTLE_ENABLED:
            address, name = network_of(request.META), login_key(name)
            account = f"user {user.pk}" if user else f"name {name}"
            self.known_key = attempt_key("login-known", f"{address} {account}")
            by_name = self.count(address, name=name, account=account)
            if not by_name.is_allowed:
                raise TooManyRequests(math.ceil(by_name.wait()))

    # This is one transaction, since the next login waits for each COMMIT of this one.
    @in_one_transaction
    def count(self, address: str, *, name: str, account: str) -> Attempt:
        """Returns the count of the name. If that refuses, the account is not counted."""
        by_name = Attempt("login-name", f"{address} {name}", limit=GUESSES_FROM_ADDRESS)
        if not by_name.is_allowed:
            return by_name
        pool = address if was_counted(self.known_key, now=by_name.now) else "elsewhere"
        at_account = [
            Attempt("login-account", f"{address} {account}", limit=GUESSES_FROM_ADDRESS),
            Attempt("login-account-hour", f"{pool} {account}", limit=GUESSES_AT_ACCOUNT, seconds=HOUR),
        ]
        self.attempts = [by_name, *at_account]
        self.is_refused = not all(attempt.is_allowed for attempt in at_account)
        return by_name

    @in_one_transaction
    def forgive(self) -> None:
        """The password was right: the attempt is uncounted, and the address is known from now on."""
        for attempt in self.attempts:
            attempt.forgive()
        if self.attempts:
            count_attempt(self.known_key, window_seconds=KNOWN_SECONDS, now=timezone.now())


class AttemptThrottle(BaseThrottle):
    """Allows at most `limit` attempts in `seconds` for each of the subjects that a request names."""

    def __init__(self, purpose: str, subjects_of: Callable, *, limit: int, seconds: int = MINUTE):
        self.purpose, self.subjects_of, self.limit, self.seconds = purpose, subjects_of, limit, seconds
        self.attempts: list[Attempt] = []

    def allow_request(self, request, view):
        if settings.THROTTLE_ENABLED:
            self.attempts = [
                Attempt(self.purpose, subject, limit=self.limit, seconds=self.seconds)
                for subject in self.subjects_of(request)
            ]
        return all(attempt.is_allowed for attempt in self.attempts)

    def wait(self):
        return self.attempts[0].wait()

    def forgive(self):
        for attempt in self.attempts:
            attempt.forgive()


class LoginThrottle(CallerThrottle):
    """Counts right passwords too, by address and in memory, since each takes some 20 ms of a core."""

    scope = "login"

    def get_cache_key(self, request, view):
        return network_of(request.META)

    def forgive(self):
        """Does nothing, since a right password was work as well."""


def by_address(request) -> list[str]:
    return [network_of(request.META)]


def by_names(request) -> list[str]:
    """Every name in the request. So an invented second name does not give the caller a new counter."""
    body = body_of(request)
    names = [body[field] for field in ("username", "email") if isinstance(body.get(field), str)]
    return sorted({login_key(name) for name in names if name.strip()})


def by_refresh_token(request) -> list[str]:
    """The account of a genuine token. So nobody else can use up its attempts."""
    try:
        return [str(read_refresh_token(str(body_of(request).get("refreshToken", "")))["sub"])]
    except SessionEnded:
        return []


def by_user(request) -> list[str]:
    return [str(request.user.pk)]


def body_of(request) -> dict:
    # A body of JSON need not be an object.
    return request.data if hasattr(request.data, "get") else {}


# Wrong passwords count by address, and so do requests that were no login at all.
LOGIN = (LoginThrottle, partial(AttemptThrottle, "login-address", by_address, limit=30))
REGISTER = (
    partial(AttemptThrottle, "register-address", by_address, limit=30),
    partial(AttemptThrottle, "register-name", by_names, limit=10),
)
REFRESH = (
    partial(AttemptThrottle, "refresh-address", by_address, limit=120),
    partial(AttemptThrottle, "refresh-account", by_refresh_token, limit=30),
)
# A person who finds a browser that is logged in must not get more guesses than anybody else.
PASSWORD = (
    partial(AttemptThrottle, "password-account", by_user, limit=10),
    partial(AttemptThrottle, "password-account-hour", by_user, limit=GUESSES_AT_ACCOUNT, seconds=HOUR),
)
