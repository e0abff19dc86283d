"""Bearer tokens: simplejwt's, bound to a `LoginSession`."""

from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.exceptions import SessionEnded
from accounts.models import LoginSession, User
from accounts.services import end_session, open_session, rotate_session
from ticks.ids import MAX_ID

LIFETIME = api_settings.REFRESH_TOKEN_LIFETIME


def token_pair(session: LoginSession) -> dict[str, str]:
    refresh = RefreshToken.for_user(session.user)
    refresh["sid"] = session.pk
    refresh["jti"] = session.refresh_id
    access = AccessToken.for_user(session.user)
    access["sid"] = session.pk
    return {"token": str(access), "refreshToken": str(refresh)}


def log_in(user: User) -> dict[str, str]:
    return token_pair(open_session(user, lifetime=LIFETIME))


def refresh(token: str) -> dict[str, str]:
    """A new pair for a refresh token, which is good once. Raises `SessionEnded`."""
    claims = read_refresh_token(token)
    return token_pair(rotate_session(session_id=claims["sid"], refresh_id=claims["jti"], lifetime=LIFETIME))


def log_out(token: str) -> None:
    """Ends the session that a refresh token belongs to, its access tokens included. Raises `SessionEnded`."""
    end_session(session_id=read_refresh_token(token)["sid"])


def read_refresh_token(token: str) -> dict:
    try:
        claims = RefreshToken(token).payload
    # ValueError: a lone surrogate, which is in no token.
    except (TokenError, ValueError) as error:
        raise SessionEnded("The refresh token is invalid or expired; log in again.") from error
    if session_id(claims) is None:
        raise SessionEnded
    return claims


def session_id(claims: dict) -> int | None:
    """The session that a token names; None when it names none that could be: never what a database would convert."""
    sid = claims.get("sid")
    return sid if type(sid) is int and 0 < sid <= MAX_ID else None
