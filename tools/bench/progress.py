"""A bar with the time left on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

WIDTH = 24


class Progress:
    def __init__(self, expected_seconds: float, *, stream=sys.stderr):
        self.expected, self.stream = expected_seconds, stream
        self.is_terminal = stream.isatty()
        self.done = 0.0
        self.began = time.monotonic()

    @contextmanager
    def step(self, label: str, seconds: float) -> Iterator[Callable]:
        """Announces what takes so long now, and yields what `drive` may call while it lasts."""
        self.show(label, 0.0)
        yield lambda passed, tally: self.show(label, min(passed, seconds))
        self.done += seconds

    def show(self, label: str, passed: float) -> None:
        if not self.is_terminal:
            return
        done = self.done + passed
        share = min(done / self.expected, 1.0) if self.expected else 1.0
        # What was slower than expected so far will go on to be.
        elapsed = time.monotonic() - self.began
        left = max(self.expected - done, 0.0) * (elapsed / done if done > 1 else 1.0)
        bar = "#" * int(share * WIDTH)
        self.stream.write(
            f"\r\x1b[2K[{bar:<{WIDTH}}] {share:4.0%}  {int(left // 60)}:{int(left % 60):02} left  {label}"
        )
        self.stream.flush()

    def say(self, line: str) -> None:
        """A line that stays, also where nobody watches a bar."""
        if self.is_terminal:
            self.stream.write("\r\x1b[2K")
        self.stream.write(line + "\n")
        self.stream.flush()

    def end(self) -> None:
        if self.is_terminal:
            self.stream.write("\r\x1b[2K")
            self.stream.flush()
