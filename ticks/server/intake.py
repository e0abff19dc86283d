"""What Django would fail on before any view: mended or made refusable while it is still a WSGI environment."""

import codecs
import encodings
import encodings.aliases
import pkgutil
from functools import lru_cache

from django.utils.http import parse_header_parameters

CHARSETS = {"utf-8", "ascii", "iso8859-1", "cp1252"}
# Names of all charsets that Python has, as `codecs` spells them.
CODECS = {module.name for module in pkgutil.iter_modules(encodings.__path__)} | encodings.aliases.aliases.keys()
# Reading one takes time that grows with the square of its length: 8 seconds for one of 60 kB. The longest boundary of
# a multipart body has 70 characters.
MAX_CONTENT_TYPE = 256
# No parser reads it: 415 where there is a body, nothing where there is none.
UNREADABLE = "application/octet-stream"


def made_readable(environ: dict) -> dict:
    content_type = environ.get("CONTENT_TYPE", "")
    if len(content_type) > MAX_CONTENT_TYPE or not is_readable(content_type):
        environ["CONTENT_TYPE"] = UNREADABLE
    if "\\" in environ.get("HTTP_COOKIE", ""):
        # No cookie of ours has a backslash. Python looks for the next escaped character from each of them on, to the
        # end of the cookie: one of 60 kB would take 17 seconds.
        environ["HTTP_COOKIE"] = environ["HTTP_COOKIE"].replace("\\", "")
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


def known_codec(name: str) -> codecs.CodecInfo | None:
    return encodings.search_function(name) if name in CODECS else None


# Python's own search remembers each name that it does not find, and callers may name charsets in several headers.
codecs.unregister(encodings.search_function)
codecs.register(known_codec)
