"""Bearer tokens of simplejwt, each bound to a `LoginSession`."""

import secrets
import time
from functools import lru_cache
from typing import NamedTuple

from rest_framework_simplejwt import state
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.exceptions import SessionEnded
from accounts.models import LoginSession, User
from accounts.services import open_session, rotate_session
from ticks.parsing import MAX_ID, parse_id

LIFETIME = api_settings.REFRESH_TOKEN_LIFETIME
# Each process keeps this many tokens whose signature is known to be good, of about a kilobyte each.
KNOWN_TOKENS = 8192
# These are the errors for a lone surrogate, which no token has, and for a time that is not valid though we signed it.
UNREADABLE = (TokenError, ValueError, TypeError, OverflowError)


class Caller(NamedTuple):
    """An account and its login, as a valid token names them. The login may have ended."""

    pk: int
    session_id: int
    # DRF asks whoever sends a request for these two.
    is_authenticated = True
    is_staff = False


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
    """A new pair of tokens for a refresh token, which can be exchanged once, and again soon after. Raises
    `SessionEnded`."""
    caller, refresh_id = read_refresh_token(token)
    renewed = new_refresh_id()
    session = rotate_session(session_id=caller.session_id, refresh_id=refresh_id, renewed=renewed, lifetime=LIFETIME)
    return token_pair(session, refresh_id=renewed)


def log_out(token: str) -> None:
    """Ends the session that a refresh token belongs to, its access tokens included; no error if it has ended.

    Raises `SessionEnded`, also where the account was deleted or deactivated.
    """
    caller, _ = read_refresh_token(token)
    LoginSession.objects.filter(pk=caller.session_id).delete()
    if not User.objects.filter(pk=caller.pk, is_active=True).exists():
        raise SessionEnded


def read_refresh_token(token: str) -> tuple[Caller, str]:
    """The caller and the id of a refresh token that we signed. Raises `SessionEnded`."""
    try:
        claims = RefreshToken(token).payload
    except UNREADABLE as error:
        raise SessionEnded("The refresh token is invalid or expired; log in again.") from error
    caller = named_caller(claims)
    if caller is None:
        raise SessionEnded
    return caller, str(claims["jti"])


def read_access_token(token: str) -> Caller:
    """The caller whom an access token names, if we signed it and it is valid at this time. Raises `TokenError`.

    The login may have ended; only `user_of_session` knows that.
    """
    try:
        caller, since, until = verified(token, state.token_backend.signing_key)
    except UNREADABLE as error:
        raise TokenError from error
    leeway = api_settings.LEEWAY.total_seconds()
    if not since - leeway <= time.time() < until + leeway:
        raise TokenError
    return caller


@lru_cache(maxsize=KNOWN_TOKENS)
def verified(token: str, signing_key: str) -> tuple[Caller, int, int]:
    """The caller, and the times from which and until which the token is valid.

    They are cached, since checking a signature costs more than the rest of a booking's authentication. Failures are not
    cached, so that nobody else can fill the memory.
    """
    claims = AccessToken(token).payload
    since = max(int(claims.get(name, 0)) for name in ("iat", "nbf"))
    caller = named_caller(claims)
    if caller is None:
        raise TokenError("The token names no login.")
    return caller, since, int(claims["exp"])


def named_caller(claims: dict) -> Caller | None:
    """The ids of the account and the session; None if no account or no session can have them."""
    pk, session_id = parse_id(str(claims.get("sub"))), claims.get("sid")
    # The id of the account is compared as text, since "07" names no user. That of the session is always a number.
    is_possible = str(pk) == claims.get("sub") and type(session_id) is int and 0 < session_id <= MAX_ID
    return Caller(pk, session_id) if is_possible else None
