"""The tokens in the links of mails: signed, valid for an hour, and once.

A token is made when its mail is written out, and stored nowhere. It covers what its use changes, so that its use ends
it. Django's own generator of such tokens counts the hour from the moment when a token is made. That would be when the
mail leaves, which may be hours after somebody asked for it.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hmac import compare_digest
from typing import NamedTuple

from django.core.signing import BadSignature, Signer
from django.utils import timezone

from accounts.exceptions import LinkNotValid
from accounts.models import User, hash_of

LIFETIME = timedelta(hours=1)


class Purpose(StrEnum):
    """What a token lets its holder do."""

    RESET = "reset"
    VERIFY = "verify"
    CHANGE = "change"


class Link(NamedTuple):
    """What a valid token names: its account, and for a change of the address the new one."""

    user: User
    email: str


def make_token(purpose: Purpose, user: User, *, asked_at: datetime, email: str = "") -> str:
    return signer(purpose).sign_object([user.pk, int(asked_at.timestamp()), email, hash_of_state(purpose, user)])


def read_token(purpose: Purpose, token: str, *, is_locking: bool = False) -> Link:
    """What a token stands for. `is_locking` locks the account, so that of two uses at once only one finds it valid.

    Raises `LinkNotValid` for a token that was not made here, is too old, or was used.
    """
    try:
        pk, seconds, email, state = signer(purpose).unsign_object(token)
    except (BadSignature, ValueError) as error:
        # A `ValueError` is half a surrogate pair, which no token has.
        raise LinkNotValid from error
    if is_too_old(datetime.fromtimestamp(seconds, UTC)):
        raise LinkNotValid
    users = User.objects.select_for_update() if is_locking else User.objects
    user = users.filter(pk=pk, is_active=True).first()
    if user is None or not compare_digest(state, hash_of_state(purpose, user)):
        raise LinkNotValid
    return Link(user, email)


def is_too_old(asked_at: datetime) -> bool:
    return asked_at + LIFETIME <= timezone.now()


def signer(purpose: Purpose) -> Signer:
    # The separator needs no escape in a query string.
    return Signer(salt=f"accounts.link_tokens.{purpose}", sep=".")


def hash_of_state(purpose: Purpose, user: User) -> str:
    """A hash of what the use of a token changes, and of what makes it void if it changes otherwise."""
    covered = [user.email]
    if purpose != Purpose.VERIFY:
        covered.append(user.password)
    if purpose != Purpose.RESET:
        covered.append(str(user.email_verified_at))
    return hash_of("\0".join(text or "" for text in covered))[:32]
