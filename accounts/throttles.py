"""Limits on attempts at passwords and accounts, counted in the database: exact across workers."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NamedTuple

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from accounts.exceptions import SessionEnded
from accounts.models import AttemptCounter, User, hash_of, login_key
from accounts.tokens import read_refresh_token
from ticks.api.throttling import TooManyRequests, network_of, seconds_to_wait
from ticks.db.transactions import Busy, in_one_transaction

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


class CountedAttempt:
    """One attempt. The constructor counts it, exactly across workers, before anything else is done for the request."""

    def __init__(self, purpose: str, subject: str, *, limit: int = 0, seconds: int = MINUTE):
        self.seconds, self.now = seconds, timezone.now()
        key, window = attempt_key(purpose, subject), int(self.now.timestamp() // seconds)
        self.counter = AttemptCounter.objects.filter(key=key, window=window)
        self.count(key, window)
        self.is_allowed = self.counter.values_list("count", flat=True)[0] <= limit

    def count(self, key: str, window: int) -> None:
        expires_at = self.now + timedelta(seconds=self.seconds)
        if not self.counter.update(count=F("count") + 1, expires_at=expires_at):
            try:
                with transaction.atomic():
                    AttemptCounter.objects.create(key=key, window=window, count=1, expires_at=expires_at)
            except IntegrityError:
                self.counter.update(count=F("count") + 1)

    def wait(self) -> float:
        return self.seconds - self.now.timestamp() % self.seconds

    def forgive(self) -> None:
        """Takes the attempt back, since a right password is no guess."""
        self.counter.filter(count__gt=0).update(count=F("count") - 1)


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
        self.attempts: list[CountedAttempt] = []
        self.is_refused = False
        if request is not None and settings.THROTTLE_ENABLED:
            address, name = network_of(request.META), login_key(name)
            account = f"user {user.pk}" if user else f"name {name}"
            self.known = f"{address} {account}"
            by_name = self.count(address, name=name, account=account)
            if not by_name.is_allowed:
                raise TooManyRequests(by_name.wait())

    # This is one transaction, since the next login waits for each COMMIT of this one.
    @in_one_transaction
    def count(self, address: str, *, name: str, account: str) -> CountedAttempt:
        """Returns the count of the name. If that refuses, the account is not counted."""
        by_name = CountedAttempt("login-name", f"{address} {name}", limit=GUESSES_FROM_ADDRESS)
        if not by_name.is_allowed:
            return by_name
        known = AttemptCounter.objects.filter(key=attempt_key("login-known", self.known), expires_at__gt=by_name.now)
        pool = address if known.exists() else "elsewhere"
        at_account = [
            CountedAttempt("login-account", f"{address} {account}", limit=GUESSES_FROM_ADDRESS),
            CountedAttempt("login-account-hour", f"{pool} {account}", limit=GUESSES_AT_ACCOUNT, seconds=HOUR),
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
            # This counter has no limit: it is there as long as the address is known.
            CountedAttempt("login-known", self.known, seconds=KNOWN_SECONDS)


class Limit(NamedTuple):
    """At most `number` attempts in `seconds` for each of the subjects that a request names."""

    purpose: str
    subjects_of: Callable[[Any], list[str]]
    number: int
    seconds: int = MINUTE


@contextmanager
def limited(limits: Iterable[Limit], request, *, is_guess: bool = False) -> Iterator[None]:
    """Counts an attempt before it is made in the block. Raises `TooManyRequests`.

    It is uncounted if the block raises `Busy`, since then no password was checked. A guess is also uncounted if it was
    right, that is, if the block raises no error.
    """
    attempts: list[CountedAttempt] = []
    for limit in limits if settings.THROTTLE_ENABLED else ():
        new = [
            CountedAttempt(limit.purpose, subject, limit=limit.number, seconds=limit.seconds)
            for subject in limit.subjects_of(request)
        ]
        # The other limits do not count this attempt: an address that is refused must not fill the table of counters.
        if not all(attempt.is_allowed for attempt in new):
            raise TooManyRequests(new[0].wait())
        attempts += new
    is_forgiven = False
    try:
        yield
        is_forgiven = is_guess
    except Busy:
        is_forgiven = True
        raise
    finally:
        for attempt in attempts if is_forgiven else ():
            attempt.forgive()


@contextmanager
def limited_login(request) -> Iterator[None]:
    """Limits logins as `limited` does. Those with the right password count too, by address and in memory, since each
    takes some 20 ms of a core."""
    seconds = seconds_to_wait([("login", network_of(request.META))])
    if seconds is not None:
        raise TooManyRequests(seconds)
    with limited(LOGIN, request, is_guess=True):
        yield


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
        caller, _ = read_refresh_token(str(body_of(request).get("refreshToken", "")))
        return [str(caller.pk)]
    except SessionEnded:
        return []


def by_account(request) -> list[str]:
    return [str(request.user.pk)]


def by_own_email(request) -> list[str]:
    return [request.user.email] if request.user.email else []


def body_of(request) -> dict:
    # A page's request has a form. A body of JSON need not be an object.
    body = request.data if hasattr(request, "data") else request.POST
    return body if hasattr(body, "get") else {}


# Wrong passwords count by address, and so do requests that were no login at all.
LOGIN = [Limit("login-address", by_address, 30)]
REGISTER = [Limit("register-address", by_address, 30), Limit("register-name", by_names, 10)]
REFRESH = [Limit("refresh-address", by_address, 120), Limit("refresh-account", by_refresh_token, 30)]
# A person who finds a browser that is logged in must not get more guesses than anybody else.
PASSWORD = [
    Limit("password-account", by_account, 10),
    Limit("password-account-hour", by_account, GUESSES_AT_ACCOUNT, HOUR),
]
# A mail goes to whatever address a caller names. Whoever cannot ask again has five mails with good links already.
MAIL = [Limit("mail-address", by_address, 30), Limit("mail-to", by_names, 5, HOUR)]
# The former address gets a notice. It is counted beside the account, since a stranger can make many accounts with it.
CHANGE_EMAIL = [
    *MAIL,
    Limit("mail-account", by_account, 10, HOUR),
    Limit("mail-former", by_own_email, 10, HOUR),
]
LINK = [Limit("link-address", by_address, 30)]
