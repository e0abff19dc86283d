"""API keys: making and revoking them, and looking up the key of a request."""

import re
import time
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q
from django.utils import timezone
from rest_framework_api_key.crypto import concatenate

from accounts.exceptions import ApiKeyRefused, ApiKeyRevoked
from accounts.models import ApiKey, Scope, User
from ticks.db.transactions import in_one_transaction

API_KEY_PATTERN = re.compile(r"[A-Za-z0-9]{8}\.[A-Za-z0-9]{32}")
NOT_OURS = "This API key is not valid: there is no such key."
EXPIRED = "This API key has expired. Ask for a new one."
REVOKED = "This API key was revoked. Ask for a new one."
# A key's last use is written at most this often.
USE_SECONDS = 60
# A process that has looked a key up knows for this long whose it is and what it may do, neither of which changes.
# Whether it is still valid is asked anew for each request.
KNOWN_SECONDS = 60
MAX_KNOWN = 8192
known: dict[str, tuple[float, ApiKey]] = {}


@in_one_transaction
def make_api_key(
    *,
    name: str,
    scopes: Collection[Scope],
    actor: User,
    event_ids: Collection[int] | None = None,
    expires_at: datetime | None = None,
    prefix: str | None = None,
) -> tuple[ApiKey, str]:
    """Makes a key, and returns it with its text, which is not stored. `event_ids` of None are all events.

    The text begins with the `prefix`, which may have been drawn before (`draw_prefix`). Raises `IntegrityError` if a
    key has it already.
    """
    generator = ApiKey.objects.key_generator
    prefix = prefix or draw_prefix()
    text = concatenate(prefix, generator.get_secret_key())
    # Nobody can log in with this account: it is not active, and has no password.
    account = User(username=f"api-key-{prefix}", first_name=name, is_active=False)
    account.set_unusable_password()
    account.save(force_insert=True)
    key = ApiKey(
        name=name,
        prefix=prefix,
        hashed_key=generator.hash(text),
        account=account,
        scopes=sorted(set(scopes)),
        event_ids=None if event_ids is None else sorted(set(event_ids)),
        expiry_date=expires_at,
        created_by=actor,
    )
    key.save(force_insert=True)
    return key, text


def draw_prefix() -> str:
    return ApiKey.objects.key_generator.get_prefix()


@in_one_transaction
def revoke_api_key(key: ApiKey) -> None:
    """Ends a key for good. Requests that begin afterwards are refused. Raises `ApiKeyRevoked`."""
    if not ApiKey.objects.filter(pk=key.pk, revoked=False).update(revoked=True):
        raise ApiKeyRevoked


def find_api_key(text: str) -> ApiKey:
    """The valid key with this text, with its account. Notes that it was used. Raises `ApiKeyRefused`."""
    if not API_KEY_PATTERN.fullmatch(text):
        raise ApiKeyRefused(NOT_OURS)
    key = ApiKey.objects.select_related("account").filter(prefix=text.partition(".")[0]).first()
    if key is None or not key.is_valid(text):
        raise ApiKeyRefused(NOT_OURS)
    if key.revoked or key.has_expired:
        known.pop(text, None)
        raise ApiKeyRefused(REVOKED if key.revoked else EXPIRED)
    note_use(key, now=timezone.now())
    if len(known) >= MAX_KNOWN:
        known.clear()
    known[text] = time.monotonic(), key
    return key


def note_use(key: ApiKey, *, now: datetime) -> None:
    earlier = now - timedelta(seconds=USE_SECONDS)
    if key.last_used_at is None or key.last_used_at <= earlier:
        # Of several workers that see the old time, one writes.
        is_due = Q(last_used_at=None) | Q(last_used_at__lte=earlier)
        ApiKey.objects.filter(is_due, pk=key.pk).update(last_used_at=now)


def was_found(text: str) -> bool:
    """Whether this process has looked up a key with this text, and it was valid at the last look."""
    return text in known


def known_api_key(text: str) -> ApiKey:
    """The key with this text, if this process has looked it up lately. It may have ended. Raises `ApiKeyRefused`.

    Once in a while it is not known, so that `find_api_key` notes its use.
    """
    looked_up_at, key = known.get(text, (float("-inf"), None))
    if looked_up_at < time.monotonic() - KNOWN_SECONDS:
        raise ApiKeyRefused
    return key


def valid_keys_query(key_ids: Collection[int], *, now: datetime) -> tuple[str, list]:
    """A statement that finds those of the keys that are valid, and its values, to be run together with others."""
    marks = ", ".join(["%s"] * len(key_ids))
    return f"{VALID_KEYS_SQL} ({marks})", [connection.ops.adapt_datetimefield_value(now), *key_ids]


VALID_KEYS_SQL = (
    f"SELECT id FROM {ApiKey._meta.db_table}"  # noqa: S608
    " WHERE revoked = 0 AND (expiry_date IS NULL OR expiry_date > %s) AND id IN"
)


def valid_api_keys(key_ids: Collection[int], *, now: datetime) -> set[int]:
    """Those of the keys that are valid; in one query for any number of keys."""
    if not key_ids:
        return set()
    with connection.cursor() as cursor:
        cursor.execute(*valid_keys_query(key_ids, now=now))
        return ids_in(cursor.fetchall())


def ids_in(rows: Sequence[tuple]) -> set[int]:
    return {key_id for (key_id,) in rows}
