"""Django as a WSGI application, and a request of the server in WSGI's terms."""

import os
import sys
from pathlib import Path

from django.core.wsgi import get_wsgi_application
from whitenoise.middleware import WhiteNoiseFileResponse

from ticks.server.downloads import PERMIT, Download, OpenFile
from ticks.server.intake import made_readable

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "ticks.settings")

django_application = get_wsgi_application()


def application(environ, start_response):
    return django_application(made_readable(environ), start_response)


FIXED = {
    "SCRIPT_NAME": "",
    "wsgi.errors": sys.stderr,
    "wsgi.multiprocess": True,
    "wsgi.multithread": True,
    "wsgi.run_once": False,
    "wsgi.version": (1, 0),
}
# Of their own in CGI, without HTTP_ before them.
PLAIN_HEADERS = {"content-type": "CONTENT_TYPE", "content-length": "CONTENT_LENGTH"}


def environ_of(scope) -> dict:
    """The environ of an RSGI request, all but its body."""
    server, _, port = scope.server.rpartition(":")
    return {
        **FIXED,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": latin(scope.path),
        "QUERY_STRING": latin(scope.query_string),
        "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0].strip("[]"),
        "wsgi.url_scheme": scope.scheme,
        **({"HTTP_HOST": scope.authority} if scope.authority else {}),
        **headers_of(scope.headers),
    }


def headers_of(headers) -> dict[str, str]:
    """Without names that have an underscore: in WSGI's spelling they would pass for what a proxy has set."""
    items = headers.items()
    named = dict(items)
    if len(named) == len(items) == len(headers):
        return {variable(name): value for name, value in named.items() if "_" not in name}
    # A header came twice, or has bytes beyond ASCII, which granian leaves out: it must not look as if unsent.
    return {
        variable(name): (";" if name == "cookie" else ",").join(headers.get_all(name) or [""])
        for name in headers.keys()  # noqa: SIM118 (not a dict)
        if "_" not in name
    }


def variable(header: str) -> str:
    return PLAIN_HEADERS.get(header) or "HTTP_" + header.upper().replace("-", "_")


def latin(text: str) -> str:
    """Bytes as WSGI carries them: one character each."""
    return text if text.isascii() else text.encode().decode("latin-1")


def respond(environ: dict) -> tuple[int, list[tuple[str, str]], bytes | OpenFile | Path]:
    """Django's whole answer: a client that reads it slowly holds no thread.

    A static file is left on the disk, so that each slow client does not cost as much memory as it has bytes.
    An open file only for who has a permit to make one, and who must close it.
    """
    answer = []

    def start_response(status, headers, exc_info=None):
        answer[:] = int(status[:3]), headers

    parts = application(environ, start_response)
    try:
        is_file = isinstance(parts, Download) and environ.get(PERMIT)
        if is_file:
            body = parts.handed_over()
        elif isinstance(parts, WhiteNoiseFileResponse) and parts.file_to_stream:
            body = Path(parts.file_to_stream.name)
        else:
            body = b"".join(parts)
    finally:
        # Django ends the request here: signals, connections.
        parts.close()
    return answer[0], answer[1], body
