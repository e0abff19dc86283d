"""One line of JSON for each request and each message. No line has a password, a token or a mail address in it."""

import json
import logging
import multiprocessing.util
import random
import re
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii as quoted
from logging.handlers import MemoryHandler, WatchedFileHandler

from django.utils.functional import SimpleLazyObject

from ticks.formatting import iso_milliseconds

request_id: ContextVar[str] = ContextVar("request_id", default="-")
log = logging.getLogger("ticks.request")
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
FACTS = ("method", "path", "status", "ms", "user")
# This limits the characters of what a caller can choose. Without a limit, a few requests with long addresses could fill
# the disk.
METHOD_LENGTH = 20
PATH_LENGTH = 256
MESSAGE_LENGTH = 2000
TRACEBACK_LINE_LENGTH = 500
TRACEBACK_LENGTH = 16_000
# A worker writes a line at most this long after it was logged. A `kill -9` loses the lines that were not written yet.
BATCH_SECONDS = 0.05
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
    # `log.info` would also look through the stack for the caller's file and line, which no line shows.
    record = logging.LogRecord(log.name, logging.INFO, "", 0, "request", (), None)
    record.__dict__.update(
        method=shortened(method, METHOD_LENGTH),
        path=shortened(path, PATH_LENGTH),
        status=status,
        ms=round(seconds * 1000, 1),
        user=user,
        request_id=identity,
    )
    log.handle(record)


class JsonFormatter(logging.Formatter):
    """Removes the values that a database quotes in an error, and shortens texts that may contain a caller's input."""

    def format(self, record):
        # The console and the file write the same line. It is kept as `logging` keeps `exc_text`.
        if not hasattr(record, "json"):
            record.json = request_line(record) if record.name == log.name else self.message_line(record)
        return record.json

    def message_line(self, record) -> str:
        line = {
            "time": iso_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": shortened(without_values(record.getMessage()), MESSAGE_LENGTH),
            "requestId": getattr(record, "request_id", None) or request_id.get(),
        }
        # A request that Django refuses is no fault of ours, and anybody can send many. So there is no traceback; the
        # message has the reason.
        if record.exc_info and not record.name.startswith("django.security."):
            line["traceback"] = self.formatException(record.exc_info)
        # The line is ASCII, so no control character, line separator or half a surrogate pair reaches the file.
        return json.dumps(line)

    def formatException(self, ei):  # noqa: N802 (logging's name)
        lines = without_values(super().formatException(ei)).split("\n")
        return shortened("\n".join(shortened(line, TRACEBACK_LINE_LENGTH) for line in lines), TRACEBACK_LENGTH)


def request_line(record) -> str:
    """The line as `json.dumps` would write it, at a third of the cost: every request has one."""
    return (
        f'{{"time": "{iso_time(record.created)}", "level": "info", "logger": "{record.name}",'
        f' "message": "request", "requestId": {quoted(record.request_id)}, "method": {quoted(record.method)},'
        f' "path": {quoted(record.path)}, "status": {record.status}, "ms": {record.ms},'
        f' "user": {"null" if record.user is None else record.user}}}'
    )


def iso_time(timestamp: float) -> str:
    return iso_milliseconds(datetime.fromtimestamp(timestamp, UTC))


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


class LogFile(WatchedFileHandler):
    """A log file that several processes append to. No request fails because its line cannot be written."""

    def emit(self, record):
        try:
            super().emit(record)
        except OSError:
            # The file is opened outside of the standard library's own `try`.
            self.handleError(record)


class BatchHandler(MemoryHandler):
    """Joins lines into one write for each of its targets, which have the same formatter. A write for each line would
    hand the interpreter to another thread.

    An error is written at once, and so is the line that makes the batch full.
    """

    def __init__(self, capacity: int, targets: list[logging.Handler]):
        super().__init__(capacity)
        self.targets = targets

    def emit(self, record):
        try:
            # This is done here and not in `flush`, since the context variable with the request's id is only valid now.
            self.targets[0].format(record)
        except Exception:
            self.handleError(record)
        else:
            super().emit(record)

    def flush(self):
        with self.lock:
            if self.buffer:
                lines = logging.makeLogRecord({"json": "\n".join(record.json for record in self.buffer)})
                self.buffer.clear()
                for target in self.targets:
                    target.handle(lines)


def write_in_batches(loop) -> None:
    """Makes this process, a worker of the server, write its lines in batches, by its event loop."""
    # No line shows these facts, and each record would look them up.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = logging.logAsyncioTasks = False
    root = logging.getLogger()
    batches = BatchHandler(BATCH_LINES, root.handlers)
    root.handlers = [batches]

    def tick():
        batches.flush()
        loop.call_later(BATCH_SECONDS, tick)

    tick()
    # A worker is a process of `multiprocessing`. Such a process does not run `atexit`, so `logging.shutdown` is not
    # called.
    multiprocessing.util.Finalize(None, batches.flush, exitpriority=0)
