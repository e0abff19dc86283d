"""The header `Idempotency-Key`: who takes it, and how it is read."""

import re

from rest_framework.exceptions import ValidationError

HEADER = "Idempotency-Key"
VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
BAD_KEY = "Send 1 to 255 visible characters without spaces."
NO_KEY = "This request takes no Idempotency-Key; leave the header out."


class KeyedActions:
    """Mixin of views. An action that is not in `keyed_actions` refuses a key, since it would not keep its promise."""

    keyed_actions: tuple[str, ...] = ()

    def initial(self, request, *args, **kwargs):
        super().initial(request, *args, **kwargs)
        # The action is None for a method that the route does not have, which is a 405.
        if "HTTP_IDEMPOTENCY_KEY" in request.META and getattr(self, "action", "") not in (None, *self.keyed_actions):
            raise ValidationError({HEADER: [NO_KEY]})

    def sent_key(self) -> str | None:
        """The request's key. Raises `ValidationError`."""
        # `request.headers` would build all headers for each booking.
        return idempotency_key(self.request.META.get("HTTP_IDEMPOTENCY_KEY"))


def idempotency_key(header: str | None) -> str | None:
    """The key that an `Idempotency-Key` header holds, quoted or bare. Raises `ValidationError`."""
    if header is None:
        return None
    key = header.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if not VISIBLE.fullmatch(key):
        raise ValidationError({HEADER: [BAD_KEY]})
    return key


def replay_headers(is_replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if is_replayed else {}
