"""What Django would fail on before any view: mended or made refusable while it is still a WSGI environment."""

import codecs
from functools import lru_cache

from django.utils.http import parse_header_parameters

CHARSETS = {"utf-8", "ascii", "iso8859-1", "cp1252"}
# No parser reads it: 415 where there is a body, nothing where there is none.
UNREADABLE = "application/octet-stream"


def made_readable(environ: dict) -> dict:
    if not is_readable(environ.get("CONTENT_TYPE", "")):
        environ["CONTENT_TYPE"] = UNREADABLE
    return environ


@lru_cache(maxsize=256)
def is_readable(content_type: str) -> bool:
    """Whether Django can read it, and decode by its charset; it decodes the query string by it as well.

    To Python "hex", "punycode" and "undefined" are charsets too, and each fails in a way of its own.
    """
    try:
        charset = parse_header_parameters(content_type)[1].get("charset")
        return charset is None or codecs.lookup(charset).name in CHARSETS
    except (LookupError, ValueError):
        return False
