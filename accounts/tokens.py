"""Bearer tokens of simplejwt, each bound to a `LoginSession`."""

import secrets
import time
from functools import lru_cache

from rest_framework_simplejwt import state
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.exceptions import SessionEnded
from accounts.models import LoginSession, User
from accounts.services import end_session, open_session, rotate_session
from ticks.parsing import MAX_ID, parse_id

LIFETIME = api_settings.REFRESH_TOKEN_LIFETIME
# Each process keeps this many tokens whose signature is known to be good, of about a kilobyte each.
KNOWN_TOKENS = 8192
# These are the errors for a lone surrogate, which no token has, and for a time that is not valid though we signed it.
UNREADABLE = (TokenError, ValueError, TypeError, OverflowError)


def token_pair(session: LoginSession, *, refresh_id: str) -> dict[str, str]:
    refresh = RefreshToken.for_user(session.user)
    refresh["sid"] = session.pk
    refresh["jti"] = refresh_id
    return {"token": access_token(session), "refreshToken": str(refresh)}


def access_token(session: LoginSession) -> str:
    access = AccessToken.for_user(session.user)
    access["sid"] = session.pk
    return str(access)


def new_refresh_id() -> str:
    """128 random bits in hexadecimal. Only the token holds them; the database holds their hash."""
    return secrets.token_hex(16)


def log_in(user: User) -> dict[str, str]:
    refresh_id = new_refresh_id()
    return token_pair(open_session(user, refresh_id=refresh_id, lifetime=LIFETIME), refresh_id=refresh_id)


def refresh(token: str) -> dict[str, str]:
    """A new pair of tokens for a refresh token, which is valid only once. Raises `SessionEnded`."""
    claims = read_refresh_token(token)
    renewed = new_refresh_id()
    session = rotate_session(
        session_id=claims["sid"], refresh_id=str(claims["jti"]), renewed=renewed, lifetime=LIFETIME
    )
    return token_pair(session, refresh_id=renewed)


def log_out(token: str) -> None:
    """Ends the session that a refresh token belongs to, its access tokens included; no error if it has ended.

    Raises `SessionEnded`, also where the account was deleted or deactivated.
    """
    claims = read_refresh_token(token)
    end_session(session_id=claims["sid"])
    account = parse_id(str(claims.get("sub")))
    if not User.objects.filter(pk=account, is_active=True).exists():
        raise SessionEnded


def read_refresh_token(token: str) -> dict:
    try:
        claims = RefreshToken(token).payload
    except UNREADABLE as error:
        raise SessionEnded("The refresh token is invalid or expired; log in again.") from error
    if session_id(claims) is None:
        raise SessionEnded
    return claims


def read_access_token(token: str) -> dict:
    """The claims of an access token that we signed and that is valid at this time. Raises `InvalidToken`.

    The login may have ended; only `user_of_session` knows that.
    """
    try:
        claims, since, until = verified(token, state.token_backend.signing_key)
    except UNREADABLE as error:
        raise InvalidToken from error
    leeway = api_settings.LEEWAY.total_seconds()
    if not since - leeway <= time.time() < until + leeway:
        raise InvalidToken
    return claims.copy()


@lru_cache(maxsize=KNOWN_TOKENS)
def verified(token: str, signing_key: str) -> tuple[dict, int, int]:
    """The claims, and the times from which and until which they are valid. They are cached, since checking a signature
    costs more than the rest of a booking's authentication. Failures are not cached, so that nobody else can fill the
    memory.
    """
    claims = AccessToken(token).payload
    since = max(int(claims.get(name, 0)) for name in ("iat", "nbf"))
    return claims, since, int(claims["exp"])


def is_held_by(user: User, claims: dict) -> bool:
    """Whether the token's user is the user of the login that it names."""
    return str(user.pk) == claims.get("sub")


def session_id(claims: dict) -> int | None:
    """The session id in a token; None if no session can have it. It is always an integer."""
    sid = claims.get("sid")
    return sid if type(sid) is int and 0 < sid <= MAX_ID else None
