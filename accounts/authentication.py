from django.db import DatabaseError, Error, IntegrityError
from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.exceptions import AuthenticationFailed
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken

from accounts.exceptions import SessionEnded
from accounts.models import User
from accounts.services import user_of_session
from accounts.tokens import is_held_by, read_access_token, session_id
from ticks.api import errors


class BearerAuthentication(JWTAuthentication):
    """`Authorization: Bearer <access token>`; anything else in that header is refused.

    A caller that meant to log in must not become a guest by mistake. One query reads the session and its user for each
    request, so logout, a new password and deactivation work at once.
    """

    www_authenticate_realm = "ticks"

    def authenticate(self, request):
        # This reads Django's request, since DRF's would first look for the attribute in vain.
        header = request._request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        try:
            claims = read_access_token(bearer_token(header))
        except InvalidToken:
            raise login_ended() from None
        return self.get_user(claims), claims

    def get_user(self, validated_token):
        sid = session_id(validated_token)
        user = sid and user_of_session(sid, now=timezone.now())
        if not user or not is_held_by(user, validated_token):
            raise login_ended()
        return user


def login_ended() -> AuthenticationFailed:
    return AuthenticationFailed("This token is not valid, or no longer; log in again.", code="token_not_valid")


def bearer_token(header: bytes | str) -> str:
    """The token in an `Authorization` header. Raises `AuthenticationFailed` if it has another scheme or is empty."""
    value = header if isinstance(header, bytes) else header.encode("latin-1", errors="replace")
    scheme, _, token = value.strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token or b" " in token:
        raise AuthenticationFailed(
            "The Authorization header must read: Bearer <access token>.", code="bad_authorization_header"
        )
    return token.decode("latin-1")


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
