"""One line a request, for machines (JSON) and for people. Never a password, token or mail address."""

import json
import logging
import random
import re
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted

from django.utils.functional import SimpleLazyObject

from ticks.moments import iso_milliseconds

request_id: ContextVar[str] = ContextVar("request_id", default="-")
log = logging.getLogger("ticks.request")
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
FACTS = ("method", "path", "status", "ms", "user")
# Characters of what a caller can choose. Else few requests with long addresses would rotate all old logs away.
METHOD_LENGTH = 20
PATH_LENGTH = 256
MESSAGE_LENGTH = 2000
TRACEBACK_LINE_LENGTH = 500
TRACEBACK_LENGTH = 16_000
# A database quotes what it refuses, be it somebody's mail address: "Duplicate entry 'ada@example.org' for key ...".
# Where the closing quote is missing, all that follows counts as quoted.
QUOTED = re.compile(
    r"""(?s)((?:Duplicate entry|[Ii]ncorrect [A-Za-z ]{0,30}value:?|Out of range value:?) )"""
    r"""'.*?(?:'(?= for | at row |"|$|\n)|\Z)"""
)


class RequestRecord(logging.LogRecord):
    """What a request's line says: plain values that stay as they are, so that they may be put into words later."""


BLANK_RECORD = log.makeRecord(log.name, logging.INFO, "", 0, "request", (), None).__dict__ | {
    "thread": None,
    "threadName": None,
}


class RequestLog:
    """Middleware: gives each request an id (`X-Request-ID`, taken over when harmless) and its log line."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        started = time.perf_counter()
        identity = identity_of(request.META.get("HTTP_X_REQUEST_ID", ""))
        token = request_id.set(identity)
        try:
            response = self.get_response(request)
            response["X-Request-ID"] = identity
            log_request(
                method=request.method,
                # The path alone: a query string may carry a guest's token.
                path=request.path,
                status=response.status_code,
                seconds=time.perf_counter() - started,
                user=user_id(request),
                identity=identity,
            )
            return response
        finally:
            request_id.reset(token)


def identity_of(given: str) -> str:
    """A request's id: the one that it came with, if that is harmless."""
    # A name, not a secret: the operating system need not be asked, which hands the interpreter to another thread.
    return given if ACCEPTABLE_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"


def log_request(*, method: str, path: str, status: int, seconds: float, user: int | None, identity: str) -> None:
    """The one line of a request."""
    if not log.isEnabledFor(logging.INFO):
        return
    record = RequestRecord.__new__(RequestRecord)
    now = time.time()
    # `log.info` would look through the stack for a place in the code that no line shows.
    record.__dict__ = {
        **BLANK_RECORD,
        "created": now,
        "msecs": int(now % 1 * 1000),
        "method": shortened(method, METHOD_LENGTH),
        "path": shortened(path, PATH_LENGTH),
        "status": status,
        "ms": round(seconds * 1000, 1),
        "user": user,
        "request_id": identity,
    }
    log.handle(record)


def user_id(request) -> int | None:
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):
        # Not looked up by the view: the log must not cost a query.
        user = getattr(request, "_cached_user", None)
    return getattr(user, "pk", None)


def request_id_of(record) -> str:
    return getattr(record, "request_id", None) or request_id.get()


class Discreet(logging.Formatter):
    """Keeps to itself what a database quotes in an error, and shortens what may quote a caller."""

    def message_of(self, record) -> str:
        return shortened(without_values(record.getMessage()), MESSAGE_LENGTH)

    def traceback_of(self, record) -> str | None:
        # What Django refuses is no fault of ours: the message says what it was, and anybody can cause many of them.
        if not record.exc_info or record.name.startswith("django.security."):
            return None
        return self.formatException(record.exc_info)

    def formatException(self, ei):  # noqa: N802 (logging's name)
        lines = without_values(super().formatException(ei)).split("\n")
        return shortened("\n".join(shortened(line, TRACEBACK_LINE_LENGTH) for line in lines), TRACEBACK_LENGTH)


def shortened(text: str, limit: int) -> str:
    """The text's beginning and end, if it has more characters than `limit`."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}...({len(text) - 2 * half} more)...{text[-half:]}"


def without_values(text: str) -> str:
    return QUOTED.sub(r"\1'...'", text)


class But503(logging.Filter):
    """While the database is away, ticks.api.errors says why and ticks.request that; a third line would bury both."""

    def filter(self, record):
        return getattr(record, "status_code", None) != 503


class JsonFormatter(Discreet):
    def format(self, record):
        if type(record) is RequestRecord:
            return request_line(record)
        line = {
            "time": moment_of(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self.message_of(record),
            "requestId": request_id_of(record),
        }
        line.update({name: getattr(record, name) for name in FACTS if hasattr(record, name)})
        traceback = self.traceback_of(record)
        if traceback:
            line["traceback"] = traceback
        # In ASCII: no separator of lines, control character or half a surrogate pair reaches the file.
        return json.dumps(line)


def request_line(record: RequestRecord) -> str:
    """As `json.dumps` writes it, at a third of the cost: it is the one line that every request has."""
    return (
        f'{{"time": "{moment_of(record.created)}", "level": "info", "logger": "{record.name}",'
        f' "message": "request", "requestId": {quoted(record.request_id)}, "method": {quoted(record.method)},'
        f' "path": {quoted(record.path)}, "status": {record.status}, "ms": {record.ms},'
        f' "user": {"null" if record.user is None else record.user}}}'
    )


def moment_of(created: float) -> str:
    return iso_milliseconds(datetime.fromtimestamp(created, UTC))


class ReadableFormatter(Discreet):
    def format(self, record):
        clock = clock_at(int(record.created))
        if record.name == log.name:
            user = f"user {record.user}" if record.user else "guest"
            said = f"{record.status} {record.method} {printable(record.path)} {record.ms} ms, {user}"
        else:
            said = f"{record.levelname} {record.name}: {self.message_of(record)}"
        line = f"{clock} {said} [{request_id_of(record)}]"
        traceback = self.traceback_of(record)
        return f"{line}\n{traceback}" if traceback else line


@lru_cache(maxsize=8)
def clock_at(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%H:%M:%S")


def printable(path: str) -> str:
    """A path that cannot start a second line or steer the terminal."""
    return path if path.isprintable() else ascii(path)
