"""Log lines written in batches, by one thread a process: a request waits for no file and no lock of other workers.

A line is written at most `WINDOW_SECONDS` after it is logged; with an error, at once. So kill -9 loses the lines of
that window, and nothing else does: what ends by itself writes all of it. A request's line is put into words by who
writes it, any other where it is logged.
"""

import logging
import multiprocessing.util
import os
import threading
import time
from collections import deque
from weakref import WeakSet

from concurrent_log_handler import ConcurrentRotatingFileHandler

from ticks.logging import RequestRecord

WINDOW_SECONDS = 0.05
# Of each handler. Whoever finds more waiting writes them, and waits for the disk as all did before.
MAX_LINES = 10_000


class Writer:
    """The thread that writes what has gathered, and the lock of whoever writes."""

    def __init__(self):
        self.handlers: WeakSet[InBatches] = WeakSet()
        self.start_anew()

    def start_anew(self) -> None:
        self.writing = threading.RLock()
        self.starting = threading.Lock()
        self.wanted = threading.Event()
        self.thread: threading.Thread | None = None

    def after_fork_in_child(self) -> None:
        """What has gathered is the parent's to write, and the parent's thread is not here."""
        self.start_anew()
        for handler in self.handlers:
            handler.lines.clear()

    def want(self) -> None:
        if self.wanted.is_set():
            return
        if self.thread is None and not self.start():
            self.write_out()
            return
        self.wanted.set()

    def start(self) -> bool:
        with self.starting:
            if self.thread is None:
                thread = threading.Thread(target=self.run, name="log-writer", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    # No thread is to be had, as while the interpreter ends.
                    return False
                # Workers are multiprocessing's, which end without what `atexit` would do (`logging.shutdown`).
                multiprocessing.util.Finalize(None, self.write_out, exitpriority=0)
                self.thread = thread
        return True

    def run(self) -> None:
        while True:
            self.wanted.wait()
            time.sleep(WINDOW_SECONDS)
            # Before they are written: a line that comes meanwhile wants the next batch.
            self.wanted.clear()
            self.write_out()

    def write_out(self) -> None:
        for handler in list(self.handlers):
            handler.flush()


writer = Writer()
# No fork in the midst of a batch: the child would have the half of it that is still in the file's buffer.
os.register_at_fork(
    before=lambda: writer.writing.acquire(),
    after_in_parent=lambda: writer.writing.release(),
    after_in_child=writer.after_fork_in_child,
)


class InBatches(logging.Handler):
    """Gathers lines for another handler, which writes several as if they were one."""

    def __init__(self, target: logging.Handler):
        super().__init__()
        self.target = target
        self.lines: deque[str | RequestRecord] = deque()
        self.is_closed = False
        self.writer = writer
        writer.handlers.add(self)

    def emit(self, record):
        try:
            self.lines.append(record if type(record) is RequestRecord else self.format(record))
        except Exception:
            self.handleError(record)
            return
        if record.levelno >= logging.ERROR or self.is_closed or len(self.lines) > MAX_LINES:
            self.flush()
        else:
            self.writer.want()

    def flush(self):
        with self.writer.writing:
            waiting = [self.lines.popleft() for _ in range(len(self.lines))]
            lines = [line for line in map(self.worded, waiting) if line is not None]
            if lines:
                self.target.emit(logging.makeLogRecord({"msg": "\n".join(lines)}))

    def worded(self, line: str | RequestRecord) -> str | None:
        """None where it cannot be, which `logging` reports and which takes no other line with it."""
        if type(line) is str:
            return line
        try:
            return self.format(line)
        except Exception:
            self.handleError(line)
            return None

    def close(self):
        self.is_closed = True
        self.flush()
        self.target.close()
        super().close()


class Console(InBatches):
    def __init__(self):
        super().__init__(logging.StreamHandler())


class RotatingFile(InBatches):
    """A file that the worker processes write and rotate together."""

    def __init__(self, **options):
        super().__init__(ConcurrentRotatingFileHandler(**options))
