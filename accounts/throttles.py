"""Limits on attempts at passwords and accounts, counted in the database: exact across workers."""

from hashlib import sha256

from django.conf import settings
from django.utils import timezone
from rest_framework.throttling import BaseThrottle

from accounts.exceptions import SessionEnded
from accounts.models import User, normalise_email, username_key
from accounts.services import count_attempt, forgive_attempt
from accounts.tokens import read_refresh_token
from ticks.errors import sendable
from ticks.throttling import client_network

WINDOW_SECONDS = 60


class AttemptThrottle(BaseThrottle):
    """At most `limit` attempts a minute by one caller, as `subject` tells callers apart."""

    purpose: str
    limit: int

    def subject(self, request) -> str | None:
        raise NotImplementedError

    def allow_request(self, request, view):
        subject = self.subject(request)
        if not settings.THROTTLE_ENABLED or subject is None:
            return True
        # Hashed: no mail address lies in a table that nobody thinks of.
        self.key = f"{self.purpose}:{sha256(subject.encode(errors='replace')).hexdigest()}"
        self.now = timezone.now()
        return count_attempt(self.key, window_seconds=WINDOW_SECONDS, now=self.now) <= self.limit

    def wait(self):
        return WINDOW_SECONDS - self.now.timestamp() % WINDOW_SECONDS

    def forgive(self):
        if hasattr(self, "key"):
            forgive_attempt(self.key, window_seconds=WINDOW_SECONDS, now=self.now)


class ByAddress(AttemptThrottle):
    def subject(self, request):
        return client_network(request)


class ByAccount(AttemptThrottle):
    """By the account that the request names, whether it exists or not."""

    fields: tuple[str, ...]

    def subject(self, request):
        # A form's request has no `data`; a body of JSON need not be an object.
        body = getattr(request, "data", request.POST)
        body = body if hasattr(body, "get") else {}
        named = next((body[name] for name in self.fields if isinstance(body.get(name), str)), None)
        # Every spelling that finds the same account counts together.
        return sendable(username_key(normalise_email(named) or "")) or None


class LoginByAddress(ByAddress):
    purpose, limit = "login-address", 30


class LoginByAccount(ByAccount):
    """By the account that logs in, whichever of its names is used; by the name where there is none."""

    purpose, limit, fields = "login-account", 10, ("email", "username")

    def subject(self, request):
        named = super().subject(request)
        known = named and User.objects.bearing(named).values_list("pk", flat=True).first()
        return f"user {known}" if known else named


class RegisterByAddress(ByAddress):
    purpose, limit = "register-address", 30


class RegisterByAccount(ByAccount):
    purpose, limit, fields = "register-account", 10, ("email", "username")


class RefreshByAddress(ByAddress):
    purpose, limit = "refresh-address", 120


class RefreshByAccount(AttemptThrottle):
    """By the account of a genuine token: nobody else can use up its attempts."""

    purpose, limit = "refresh-account", 30

    def subject(self, request):
        body = request.data if hasattr(request.data, "get") else {}
        try:
            return str(read_refresh_token(str(body.get("refreshToken", "")))["sub"])
        except SessionEnded:
            return None


class PasswordByAccount(AttemptThrottle):
    purpose, limit = "password-account", 10

    def subject(self, request):
        return str(request.user.pk)


LOGIN = (LoginByAddress, LoginByAccount)
REGISTER = (RegisterByAddress, RegisterByAccount)
REFRESH = (RefreshByAddress, RefreshByAccount)
