"""Django as a WSGI application, and a request of the server in WSGI's terms."""

import codecs
import encodings
import encodings.aliases
import os
import pkgutil
from functools import lru_cache
from io import BytesIO
from pathlib import Path

from django.core.wsgi import get_wsgi_application
from django.http import FileResponse
from django.utils.http import parse_header_parameters

from ticks.server.bodies import MissingBody

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")

django_application = get_wsgi_application()

# CGI writes these two headers without HTTP_ before them.
PLAIN_HEADERS = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}
CHARSETS = {"utf-8", "ascii", "iso8859-1", "cp1252"}
# These are the names of all charsets that Python has, as `codecs` spells them.
CODECS = {module.name for module in pkgutil.iter_modules(encodings.__path__)} | encodings.aliases.aliases.keys()
# The time to read a content type grows with the square of its length: 8 seconds for one of 60 kB. The longest boundary
# of a multipart body has 70 characters.
MAX_CONTENT_TYPE = 256


def environ_of(scope, body: bytes | MissingBody = b"") -> dict:
    """The environ of an RSGI request, with all of WSGI's entries that Django reads."""
    server, _, port = scope.server.rpartition(":")
    environ = {
        "REQUEST_METHOD": scope.method,
        # WSGI carries bytes as text of one character each.
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string.encode().decode("latin-1"),
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.url_scheme": scope.scheme,
        **({"HTTP_HOST": scope.authority} if scope.authority else {}),
        **wsgi_headers(scope.headers),
    }
    if isinstance(body, MissingBody):
        environ["wsgi.input"] = body
        # Django does not read a body without a length: it would take it for an empty one.
        environ["CONTENT_LENGTH"] = environ.get("CONTENT_LENGTH") or "1"
    else:
        environ["wsgi.input"] = BytesIO(body)
        if "HTTP_TRANSFER_ENCODING" in environ:
            environ["CONTENT_LENGTH"] = str(len(body))
    return environ


def wsgi_headers(headers) -> dict[str, str]:
    """Headers in WSGI's spelling. Names with an underscore are left out: they would pass for a proxy's headers."""
    items = headers.items()
    named = dict(items)
    if not len(named) == len(items) == len(headers):
        # A header came twice, or has bytes beyond ASCII, which granian leaves out. It must not look as if the client
        # had not sent it.
        named = {
            name: (";" if name == "cookie" else ", ").join(headers.get_all(name) or [""])
            for name in headers.keys()  # noqa: SIM118 (not a dict)
        }
    return {
        PLAIN_HEADERS.get(name) or "HTTP_" + name.upper().replace("-", "_"): value
        for name, value in named.items()
        if "_" not in name
    }


def made_readable(environ: dict) -> dict:
    """Repairs what Django would fail on before any view, or changes it so that a view refuses it."""
    content_type = environ.get("CONTENT_TYPE", "")
    if len(content_type) > MAX_CONTENT_TYPE or not is_readable(content_type):
        # No parser reads this type. So a request with a body gets a 415, and a request without one is not affected.
        environ["CONTENT_TYPE"] = "application/octet-stream"
    if "\\" in environ.get("HTTP_COOKIE", ""):
        # No cookie of ours has a backslash. Python looks for the next escaped character from each of them on, to the
        # end of the cookie: one of 60 kB would take 17 seconds.
        environ["HTTP_COOKIE"] = environ["HTTP_COOKIE"].replace("\\", "")
    # WhiteNoise would read a part of a file into memory. Files are sent whole, as HTTP allows.
    environ.pop("HTTP_RANGE", None)
    return environ


@lru_cache(maxsize=256)
def is_readable(content_type: str) -> bool:
    """Whether Django can read the content type and decode by its charset. Django decodes the query string by it too.

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


def respond(environ: dict) -> tuple[int, list[tuple[str, str]], bytes | Path | int]:
    """Returns Django's whole answer, so that a client that reads it slowly holds no thread.

    A file stays on the disk, so that a slow client needs no memory for it. The body is then the file's path. If the
    file has no name, the body is a file descriptor, which the caller closes.
    """
    answer = []
    response = django_application(made_readable(environ), lambda status, headers: answer.extend((status, headers)))
    try:
        file = response.file_to_stream if isinstance(response, FileResponse) else None
        if file is None:
            body = b"".join(response)
        elif isinstance(file.name, str):
            body = Path(file.name)
        else:
            file.flush()
            body = os.dup(file.fileno())
    finally:
        # Here Django ends the request: it sends its signals and closes connections.
        response.close()
    status, headers = answer
    return int(status[:3]), headers, body
