import re

from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, Error, IntegrityError
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAcceptable, Throttled
from rest_framework_simplejwt.exceptions import TokenError

from accounts.exceptions import SessionEnded
from accounts.models import User
from accounts.services import user_of_session
from accounts.tokens import Caller, read_access_token
from ticks.api import errors
from ticks.api.throttling import take_back

BEARER = re.compile(r"\s*bearer +(\S+)\s*", re.ASCII | re.IGNORECASE)


class StatelessBearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`; anything else in that header is refused.

    A caller that meant to log in must not become a guest by mistake. The user is the `Caller` whom the token names. The
    login may have ended.
    """

    def authenticate(self, request):
        # This reads Django's request, since DRF's would first look for the attribute in vain.
        header = request._request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        caller = caller_of(header)
        return caller, caller

    def authenticate_header(self, request):
        return errors.BEARER_CHALLENGE


class BearerAuthentication(StatelessBearerAuthentication):
    """The user is the account. One query reads it with the session for each request, so logout, a new password and
    deactivation work at once."""

    def authenticate(self, request):
        named = super().authenticate(request)
        return named and (logged_in_user(named[0]), named[0])


def logged_in_user(caller: Caller) -> User:
    """The account of a caller whose login has not ended. Raises `AuthenticationFailed`."""
    user = user_of_session(caller.session_id, now=timezone.now())
    if user is None or user.pk != caller.pk:
        raise login_ended()
    return user


def login_ended() -> AuthenticationFailed:
    return AuthenticationFailed("This token is not valid, or no longer; log in again.", code="token_not_valid")


def caller_of(header: str) -> Caller:
    """The caller whose access token an `Authorization` header has. Raises `AuthenticationFailed`."""
    bearer = BEARER.fullmatch(header)
    if bearer is None:
        raise AuthenticationFailed(
            "The Authorization header must read: Bearer <access token>.", code="bad_authorization_header"
        )
    try:
        return read_access_token(bearer[1])
    except TokenError:
        raise login_ended() from None


class StatelessWrites:
    """Mixin of views whose POST and DELETE look the login up in the transaction of their writes, which saves a query.

    `request.user` of these is the `Caller` whom the token names, as `request.auth` is. A caller whose login has ended
    hears only that, whatever else is wrong, and the request does not count against the account.
    """

    def get_authenticators(self):
        # The schema knows one kind of bearer token.
        if self.request and self.request.method in ("POST", "DELETE") and not getattr(self, "swagger_fake_view", False):
            return [StatelessBearerAuthentication(), SessionAuthentication()]
        return super().get_authenticators()

    def account(self) -> User | AnonymousUser:
        """The caller's account. Raises `AuthenticationFailed`."""
        user = self.request.user
        return logged_in_user(user) if isinstance(user, Caller) else user

    def handle_exception(self, exc):
        request = self.request
        # What the client accepts is looked at before the token.
        is_refused = isinstance(exc, APIException | SessionEnded) and not isinstance(exc, NotAcceptable)
        if is_refused and isinstance(request.user, Caller):
            try:
                logged_in_user(request.user)
            except (AuthenticationFailed, Error) as error:
                if not isinstance(exc, Throttled):
                    take_back([("user", str(request.user.pk))])
                request.user, exc = AnonymousUser(), error
        return super().handle_exception(exc)


def answer_exception(error, context):
    """DRF's exception handler: 401 where a write failed because the caller's account was deleted meanwhile."""
    # Django raises a plain `DatabaseError` where a row to update is gone, and the database an `IntegrityError` where a
    # foreign key points to it.
    if (type(error) is DatabaseError or isinstance(error, IntegrityError)) and is_gone(context["request"].user):
        error = SessionEnded()
    return errors.answer_exception(error, context)


def is_gone(caller) -> bool:
    try:
        return caller.is_authenticated and not User.objects.filter(pk=caller.pk, is_active=True).exists()
    except Error:
        # The first error is the one to report.
        return False


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = "accounts.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema):
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
