"""DRF's parsers with a limit on the body, and JSON that cannot take the server down."""

import json
import math
import re

from django.conf import settings
from rest_framework import parsers
from rest_framework.exceptions import ParseError, UnsupportedMediaType

from ticks.api.errors import TooLarge

# The pattern matches a string, which is kept, or a comma between a value and a closing bracket. It is possessive, so
# that a long string costs neither memory nor a second look.
TRAILING_COMMA = re.compile(r"""(?s)("(?:[^"\\]++|\\.)*+"?)|(?<![{\[,\s]),(\s*+[}\]])""")
JSON_AS_FORM = "The body looks like JSON; send it with the header Content-Type: application/json."
MAX_MENDED = 64 * 1024


def accepted_length(parser_context: dict) -> int:
    """The length of the body, before it is read. Raises `TooLarge`."""
    length = int(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
    if length > settings.BODY_LIMIT:
        raise TooLarge
    return length


class JSONParser(parsers.JSONParser):
    """Parses JSON of at most 1 MB. If an object has a name twice, it is refused; the last one is not simply taken."""

    def parse(self, stream, media_type=None, parser_context=None):
        length, body = accepted_length(parser_context), stream.read()
        if len(body) < length:
            # The part that has come so far may be valid JSON with another meaning.
            raise ParseError("The body is shorter than its Content-Length.")
        try:
            text = body.decode()
            try:
                return parse(text)
            except json.JSONDecodeError:
                # Two bodies that the first reference prints end with such a comma, and they must work as printed. They
                # are short, and 1 MB of quotes would keep Python busy for half a second.
                if len(text) > MAX_MENDED:
                    raise
                return parse(TRAILING_COMMA.sub(r"\1\2", text))
        except RecursionError as error:
            raise ParseError("JSON parse error: it is nested too deeply.") from error
        except UnicodeDecodeError as error:
            raise ParseError("JSON parse error: it is not UTF-8.") from error
        except ValueError as error:
            raise ParseError(f"JSON parse error: {error}") from error


class LimitedBody:
    def parse(self, stream, media_type=None, parser_context=None):
        accepted_length(parser_context)
        return super().parse(stream, media_type, parser_context)


class FormParser(LimitedBody, parsers.FormParser):
    """Parses a form of at most 1 MB. Raises `UnsupportedMediaType` for JSON that is sent as a form.

    Some clients name a form as the type of every body, if nobody tells them its type.
    """

    def parse(self, stream, media_type=None, parser_context=None):
        form = super().parse(stream, media_type, parser_context)
        if next(iter(form), "").lstrip().startswith(("{", "[")):
            raise UnsupportedMediaType(media_type, JSON_AS_FORM)
        return form


class MultiPartParser(LimitedBody, parsers.MultiPartParser):
    """Parses a form of at most 1 MB, files included."""


def parse(text: str):
    if text.startswith("\ufeff"):
        # This is the sentence of `json.loads`.
        raise json.JSONDecodeError("Unexpected UTF-8 BOM (decode using utf-8-sig)", text, 0)
    return DECODER.decode(text)


def parse_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        # Python reads 1e400 as infinite. A field that accepts text would store it as "inf".
        raise ValueError("a number is too large.")
    return number


def refuse_constant(name: str):
    raise ValueError(f"{name} is not a JSON number.")


def refuse_duplicates(pairs: list[tuple]) -> dict:
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("an object has the same name twice.")
    return named


# The decoder is built once, since building it takes as long as reading a booking.
DECODER = json.JSONDecoder(parse_constant=refuse_constant, parse_float=parse_float, object_pairs_hook=refuse_duplicates)
