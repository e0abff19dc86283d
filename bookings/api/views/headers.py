"""Request headers with rules of their own, read from META: `request.headers` is built whole, for each request."""

import re

from rest_framework.exceptions import ValidationError

VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
EVENT_TAG = re.compile(r'"(\d{1,9})(?:\.\d+)?"')


def idempotency_key(request) -> str | None:
    given = request._request.META.get("HTTP_IDEMPOTENCY_KEY")
    return None if given is None else key_in(given)


def key_in(given: str) -> str:
    """The key that the header holds, quoted or bare; 400 when it is none."""
    key = given.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not VISIBLE.fullmatch(key):
        raise ValidationError({"Idempotency-Key": ["Send 1 to 255 visible characters without spaces."]})
    return key


def required_version(request) -> int | None:
    """The event's version that `If-Match` asks for; None when any will do.

    Only the part before the dot counts: a booking in between is no reason to refuse an edit.
    """
    given = request.META.get("HTTP_IF_MATCH")
    if given is None or given.strip() == "*":
        return None
    tag = EVENT_TAG.fullmatch(given.strip().removeprefix("W/"))
    # What is no tag of ours cannot be the current one.
    return int(tag[1]) if tag else 0
