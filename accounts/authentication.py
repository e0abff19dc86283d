import re
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

from django.contrib.auth.models import AnonymousUser
from django.db import DatabaseError, Error, IntegrityError
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAcceptable, PermissionDenied, Throttled
from rest_framework_api_key.permissions import KeyParser
from rest_framework_simplejwt.exceptions import TokenError

from accounts.api_keys import find_api_key, known_api_key, was_found
from accounts.exceptions import ApiKeyRefused, SessionEnded
from accounts.models import ApiKey, User
from accounts.services import user_of_session
from accounts.tokens import Caller, read_access_token
from ticks.api import errors
from ticks.api.throttling import scopes_of, seconds_to_wait, take_back

BEARER = re.compile(r"\s*bearer +(\S+)\s*", re.ASCII | re.IGNORECASE)


class StatelessBearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>`, or an API key; anything else in that header is refused.

    A caller that meant to log in must not become a guest by mistake. The user is the `Caller` whom the token names. The
    login may have ended. With an API key, the user is the key's own account, which owns nothing and may do nothing. So
    a view that does not know of keys (`request.auth`) gives them nothing.
    """

    def authenticate(self, request):
        # This reads Django's request, since DRF's would first look for the attribute in vain.
        header = request._request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        caller = caller_of(header, find_key=partial(find_counted_key, meta=request._request.META))
        if isinstance(caller, ApiKey):
            refuse_without_scope(caller, request.parser_context["view"])
            return caller.account, caller
        return caller, caller

    def authenticate_header(self, request):
        return errors.BEARER_CHALLENGE


class BearerAuthentication(StatelessBearerAuthentication):
    """The user is the account. One query reads it with the session for each request, so logout, a new password and
    deactivation work at once."""

    def authenticate(self, request):
        named = super().authenticate(request)
        if named and isinstance(named[1], Caller):
            return logged_in_user(named[1]), named[1]
        return named


def logged_in_user(caller: Caller) -> User:
    """The account of a caller whose login has not ended. Raises `AuthenticationFailed`."""
    user = user_of_session(caller.session_id, now=timezone.now())
    if user is None or user.pk != caller.pk:
        raise login_ended()
    return user


def login_ended() -> AuthenticationFailed:
    return AuthenticationFailed("This token is not valid, or no longer; log in again.", code="token_not_valid")


def caller_of(header: str, *, find_key: Callable[[str], ApiKey] = known_api_key) -> Caller | ApiKey:
    """The caller whose access token or API key an `Authorization` header has. Raises `AuthenticationFailed`.

    Without `find_key` it asks no database, so it knows only the keys that this process has looked up lately.
    """
    bearer = BEARER.fullmatch(header)
    if bearer is None:
        return key_in(header, find_key)
    try:
        return read_access_token(bearer[1])
    except TokenError:
        raise login_ended() from None


def key_in(header: str, find_key: Callable[[str], ApiKey]) -> ApiKey:
    text = KeyParser().get_from_authorization(SimpleNamespace(META={"HTTP_AUTHORIZATION": header}))
    if text is None:
        raise AuthenticationFailed(errors.BAD_AUTHORIZATION, code="bad_authorization_header")
    try:
        return find_key(text.strip())
    except ApiKeyRefused as refusal:
        raise AuthenticationFailed(refusal.message, code=refusal.code) from None


def find_counted_key(text: str, *, meta: dict) -> ApiKey:
    """`find_api_key`, which counts a refused key as a guest's request. Raises `Throttled` too.

    DRF counts requests only once it knows who calls, and the look-up reads the database. A key that was valid here
    before is not counted, so that a crowd of guests at its address does not lock it out.
    """
    if was_found(text):
        return find_api_key(text)
    counted = scopes_of(None, meta, is_booking=False)
    seconds = seconds_to_wait(counted)
    if seconds is not None:
        raise Throttled(wait=seconds)
    key = find_api_key(text)
    take_back(counted)
    return key


def refuse_without_scope(key: ApiKey, view) -> None:
    """Raises `PermissionDenied` if the view's action names no scope (`ticks.api.schema.describes`), or one that the key
    does not have."""
    # The action is None for a method that the route does not have, which is a 405.
    action = getattr(view, "action", "")
    scope = getattr(getattr(view, action or "", None), "key_scope", None)
    if action is None or scope in key.scopes:
        return
    if scope is None:
        raise PermissionDenied(errors.TAKES_NO_KEY, code="api_key_not_accepted")
    refusal = errors.MissingScope(scope)
    raise PermissionDenied(refusal.message, code=refusal.code)


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
    is_about_row = type(error) is DatabaseError or isinstance(error, IntegrityError)
    request = context["request"]
    # The account of an API key is never deleted, and never active.
    if is_about_row and not isinstance(request.auth, ApiKey) and is_gone(request.user):
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
    name = ["bearer", "apiKey"]

    def get_security_requirement(self, auto_schema):
        """Either of the two, where the action takes API keys (`key_scope`)."""
        action = getattr(auto_schema.view, auto_schema.view.action)
        return [{"bearer": []}, *([{"apiKey": []}] if getattr(action, "key_scope", None) else [])]

    def get_security_definition(self, auto_schema):
        bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
        # OpenAPI knows no scheme of `Authorization` but its own, so the value has the scheme too.
        key = {"type": "apiKey", "in": "header", "name": "Authorization", "description": "Enter: `Api-Key <key>`"}
        return [bearer, key]


def who_and_login(user: User | Caller | None, auth: Caller | ApiKey | None) -> tuple[dict, dict]:
    """Two sets of keyword arguments: who books (`BookingRequest`), and the login or API key that is checked again
    inside the transaction (`book_tickets`). What an API key books belongs to a guest."""
    if isinstance(auth, ApiKey):
        return {"actor": auth.account}, {"api_key_id": auth.pk}
    return {"user": user}, {"session_id": auth and auth.session_id}
