"""One line of JSON for each request and each message. No line has a password, a token or a mail address in it."""

import json
import logging
import random
import re
import sys
import time
import traceback
from contextlib import suppress
from contextvars import ContextVar
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from logging.handlers import WatchedFileHandler

from django.utils.functional import SimpleLazyObject

request_id: ContextVar[str] = ContextVar("request_id", default="-")
log = logging.getLogger("ticks.request")
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# This limits the characters of what a caller can choose. Without a limit, a few requests with long addresses could fill
# the disk.
METHOD_LENGTH = 20
PATH_LENGTH = 256
MESSAGE_LENGTH = 2000
TRACEBACK_LINE_LENGTH = 500
TRACEBACK_LENGTH = 16_000
# A `kill -9` of a worker loses the lines that were not written yet.
BATCH_LINES = 1000
# A database quotes the value that it refuses, which may be somebody's mail address: "Duplicate entry 'ada@example.org'
# for key ...". If the closing quote is missing, everything after the opening quote counts as quoted.
QUOTED = re.compile(
    r"""(?s)((?:Duplicate entry|[Ii]ncorrect [A-Za-z ]{0,30}value:?|Out of range value:?) )"""
    r"""'.*?(?:'(?= for | at row |"|$|\n)|\Z)"""
)


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
                # Only the path is logged, since a query string may contain a guest's token.
                path=request.path,
                status=response.status_code,
                seconds=time.perf_counter() - started,
                user=user_id(request),
                identity=identity,
            )
            return response
        finally:
            request_id.reset(token)


def identity_of(value: str) -> str:
    """The id of a request. If the request came with a harmless id, that one is used."""
    # The id is no secret. The operating system's random numbers would hand the interpreter to another thread.
    return value if ACCEPTABLE_ID.fullmatch(value) else f"{random.getrandbits(128):032x}"


def user_id(request) -> int | None:
    user = getattr(request, "user", None)
    if isinstance(user, SimpleLazyObject):
        # The view has not looked the user up, and the log must not cost a query.
        user = getattr(request, "_cached_user", None)
    return getattr(user, "pk", None)


def log_request(*, method: str, path: str, status: int, seconds: float, user: int | None, identity: str) -> None:
    """Logs the one line of a request."""
    if not log.isEnabledFor(logging.INFO):
        return
    record = RequestRecord()
    record.created = time.time()
    record.msecs = record.created % 1 * 1000
    record.method = shortened(method, METHOD_LENGTH)
    record.path = shortened(path, PATH_LENGTH)
    record.status = status
    record.ms = round(seconds * 1000, 1)
    record.user = user
    record.request_id = identity
    log.handle(record)


class RequestRecord(logging.LogRecord):
    """A request's record, which has only what its line shows. The standard one also looks up the thread, the process
    and the caller's file, and takes as long as the line itself."""

    name, levelno, levelname, msg, args = log.name, logging.INFO, "INFO", "request", ()
    pathname = filename = module = ""
    lineno = 0
    funcName = exc_info = exc_text = stack_info = None  # noqa: N815 (logging's names)

    def __init__(self):
        pass


def json_line(record) -> str:
    """The line of a record. It has no value that a database quotes in an error, and texts that may contain a caller's
    input are shortened. It is ASCII, so no control character, line separator or half a surrogate pair is written."""
    moment = f"{iso_second(int(record.created))}.{int(record.msecs):03d}Z"
    if record.name == log.name:
        # This is what `json.dumps` would write, at a third of the cost: every request has such a line.
        return (
            f'{{"time": "{moment}", "level": "info", "logger": "{record.name}",'
            f' "message": "request", "requestId": {quoted(record.request_id)}, "method": {quoted(record.method)},'
            f' "path": {quoted(record.path)}, "status": {record.status}, "ms": {record.ms},'
            f' "user": {"null" if record.user is None else record.user}}}'
        )
    line = {
        "time": moment,
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": shortened(without_values(record.getMessage()), MESSAGE_LENGTH),
        "requestId": getattr(record, "request_id", None) or request_id.get(),
    }
    # A request that Django refuses is no fault of ours, and anybody can send many. So there is no traceback; the
    # message has the reason.
    if record.exc_info and not record.name.startswith("django.security."):
        lines = without_values("".join(traceback.format_exception(*record.exc_info)).rstrip("\n")).split("\n")
        lines = [shortened(line, TRACEBACK_LINE_LENGTH) for line in lines]
        line["traceback"] = shortened("\n".join(lines), TRACEBACK_LENGTH)
    return json.dumps(line)


@lru_cache(maxsize=2)
def iso_second(timestamp: int) -> str:
    """The text is cached, since thousands of lines may be written in a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(timestamp))


def terminal_line(record, line: str) -> str:
    """The line for a person at a terminal: short for a request, otherwise that of the file."""
    if record.name != log.name:
        return line
    method, path = (quoted(text)[1:-1] for text in (record.method, record.path))
    return f"{time.strftime('%H:%M:%S')} {record.status} {method} {path} {record.ms} ms"


def shortened(text: str, limit: int) -> str:
    """The text's beginning and end, if it has more characters than `limit`."""
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}...({len(text) - 2 * half} more)...{text[-half:]}"


def without_values(text: str) -> str:
    return QUOTED.sub(r"\1'...'", text)


class Skip503(logging.Filter):
    """While the database is away, `ticks.api.errors` and `ticks.request` log a line each. Django's would be a third."""

    def filter(self, record):
        return getattr(record, "status_code", None) != 503


class LogHandler(logging.Handler):
    """Writes each line to the log file, which several processes append to, and to stderr.

    A worker of the server writes the lines of a moment in one go: a write for each line would hand the interpreter to
    another thread. An error is written at once, and so is the line that makes the batch full. No request fails because
    its line cannot be written.
    """

    def __init__(self, filename: str):
        super().__init__()
        # The file is opened with the first line. The main process of the server writes none, and would keep a file open
        # that was rotated away.
        self.targets = [WatchedFileHandler(filename, encoding="utf-8", delay=True), logging.StreamHandler()]
        self.is_terminal = sys.stderr.isatty()
        # Each entry has a line for each target.
        self.lines: list[tuple[str, str]] = []
        self.most_lines = 1

    def emit(self, record):
        try:
            line = json_line(record)
            self.lines.append((line, terminal_line(record, line) if self.is_terminal else line))
        except Exception:
            self.handleError(record)
        else:
            if record.levelno >= logging.ERROR or len(self.lines) >= self.most_lines:
                self.flush()

    def flush(self):
        with self.lock:
            batch, self.lines = self.lines, []
            if not batch:
                return
            for target, lines in zip(self.targets, zip(*batch, strict=True), strict=True):
                # The file is opened outside of the standard library's own `try`.
                with suppress(OSError):
                    target.handle(logging.makeLogRecord({"msg": "\n".join(lines)}))


def write_in_batches() -> LogHandler:
    """Makes this process, a worker of the server, write its lines in batches, whenever it flushes the handler."""
    # No line shows these facts, and each record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False
    [handler] = [handler for handler in logging.getLogger().handlers if isinstance(handler, LogHandler)]
    handler.most_lines = BATCH_LINES
    return handler
