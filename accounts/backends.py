"""Checks passwords: the login by username or email, and the hash."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.hashers import Argon2PasswordHasher

from accounts.models import User, username_key
from accounts.throttles import LoginAttempt
from ticks.db.transactions import Busy
from ticks.text import composed, normalise_email

log = logging.getLogger("ticks.logins")
# A hash takes a core for some 20 ms, and bookings want the cores. Beside 32 callers who logged in all the time, a
# booking took 646 ms at the median without a limit, 119 ms with one hash at a time in each worker, and 48 ms with one
# login at a time, its queries included (73 ms with two).
hashing = threading.RLock()
# A request that waits for its turn occupies a thread, so no more than half of a worker's threads may wait.
waiting = threading.BoundedSemaphore(max(1, settings.THREADS // 2))
WAIT_SECONDS = 2


@contextmanager
def hashing_slot() -> Iterator[None]:
    """Lets one thread of this process hash at a time; that thread may enter again.

    Raises `Busy` after `WAIT_SECONDS`, and at once if enough threads wait already.
    """
    if not hashing.acquire(blocking=False):
        if not waiting.acquire(blocking=False):
            raise Busy
        try:
            if not hashing.acquire(timeout=WAIT_SECONDS):
                raise Busy
        finally:
            waiting.release()
    try:
        yield
    finally:
        hashing.release()


def spellings(password: str) -> list[str]:
    """The password in NFC, as it is hashed, and as it was typed, as older hashes have it. Keyboards type one letter in
    several forms (RFC 8265, section 4.2)."""
    return list(dict.fromkeys([composed(password), password]))


class OwaspArgon2(Argon2PasswordHasher):
    """argon2id with 19 MiB, two passes, one lane: the minimum of OWASP's Password Storage Cheat Sheet.

    Every password is hashed and checked here, so its normal form and the limit to how many are hashed at once are here
    too.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password, *args, **kwargs):
        with hashing_slot():
            return super().encode(composed(password), *args, **kwargs)

    def verify(self, password, encoded):
        with hashing_slot():
            return any(super(OwaspArgon2, self).verify(spelling, encoded) for spelling in spellings(password))


class NameOrEmailBackend(ModelBackend):
    """Finds the account by username or email; an unknown one costs a password hash as well.

    Every login comes through here, so guesses are counted here, by the name that is actually looked up.
    """

    def authenticate(self, request, username=None, password=None, email=None, **kwargs):
        """Raises `TooManyRequests`, and `Busy` if many log in at once."""
        if password is None or (username is None and email is None):
            return None
        # The queries are inside the slot too: the queries of many logins at once would delay bookings as their hashes
        # do.
        with hashing_slot():
            user = find_user(username=username, email=email)
            attempt = LoginAttempt(request, name=email if username is None else username, user=user)
            if not self.is_right(password, user):
                return None
            if attempt.is_refused:
                log.warning("User %d was refused with the right password: too many wrong ones were tried.", user.pk)
                return None
            attempt.forgive()
            return user

    def is_right(self, password: str, user: User | None) -> bool:
        if user is None:
            # The hashes take as long as for a wrong password, so that the time does not tell which names exist.
            for spelling in spellings(password):
                User().set_password(spelling)
            return False
        return user.check_password(password) and self.user_can_authenticate(user)


def find_user(*, username: str | None, email: str | None) -> User | None:
    if username is not None:
        key = username_key(username)
        # If two accounts have the name after all, the username counts.
        return min(User.objects.bearing(username), key=lambda user: user.username_key != key, default=None)
    email = normalise_email(email)
    return User.objects.filter(email=email).first() if email else None
