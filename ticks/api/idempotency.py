"""The header `Idempotency-Key`: who takes it, how it is read, and how the schema describes it."""

import re

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError

from ticks.api.schema import SECONDS, sent_header

HEADER = "Idempotency-Key"
VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")
NO_KEY = "This request takes no Idempotency-Key; leave the header out."
# These are the codes of a 409, for the schema.
IN_FLIGHT = {"idempotency_key_in_flight": "A request with this Idempotency-Key is being worked on; send it again."}


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
        raise ValidationError({HEADER: ["Send 1 to 255 visible characters without spaces."]})
    return key


def replay_headers(is_replayed: bool) -> dict[str, str]:
    return {"Idempotent-Replayed": "true"} if is_replayed else {}


def key_headers(*statuses: int) -> list[OpenApiParameter]:
    """The headers of a keyed action in the schema. `statuses` are those of its successes."""
    return [
        OpenApiParameter(
            HEADER,
            {"type": "string", "pattern": r'^([\x21-\x7e]{1,255}|"[\x21-\x7e]{1,255}")$'},
            location="header",
            description=(
                "1 to 255 visible characters, drawn at random for each request: a guest's is as good as the token. "
                "The same key and request answer the same again, and are carried out once."
            ),
        ),
        sent_header(
            "Idempotent-Replayed",
            "This is the first answer to this key again.",
            on=list(statuses),
            required=False,
            schema={"const": "true"},
        ),
        sent_header(
            "Retry-After", "Seconds; with `idempotency_key_in_flight`.", on=[409], required=False, schema=SECONDS
        ),
    ]
