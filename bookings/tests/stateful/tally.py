"""Counts the outcomes of a run, for the report, since a suite that only sees refusals proves little."""

import time
from collections import Counter


class Tally:
    def __init__(self):
        self.began = time.monotonic()
        self.examples = 0
        self.seed = 0
        self.requests = Counter()
        self.statuses = Counter()
        self.refusals = Counter()
        self.happened = Counter()

    def count(self, rule: str, status: int, code: str) -> None:
        self.requests[rule] += 1
        self.statuses[status] += 1
        if status >= 400:
            self.refusals[rule] += 1
            self.happened[f"{status} {code}"] += 1

    def progress(self) -> str:
        return f"seed {self.seed}: {self.requests.total()} steps, {time.monotonic() - self.began:.0f} s\n"

    def report(self) -> str:
        steps, refused = self.requests.total(), self.refusals.total()
        lines = [
            f"{self.examples} examples, {steps} steps, {refused} of them refused ({100 * refused // max(steps, 1)} %),"
            f" {time.monotonic() - self.began:.0f} s",
            f"the last round again: pytest bookings/tests/stateful/test_stateful.py --hypothesis-seed={self.seed}",
            "by status: " + ", ".join(f"{status}: {count}" for status, count in sorted(self.statuses.items())),
            *(f"{count:7} {rule}, {self.refusals[rule]} refused" for rule, count in self.requests.most_common()),
            "what came about:",
            *(f"{count:7} {happening}" for happening, count in self.happened.most_common()),
        ]
        return "\n".join(lines) + "\n"
