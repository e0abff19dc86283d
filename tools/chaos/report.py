"""The fault of this moment, the cost of each kind of fault, and the table of costs."""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tools.service import columns

BETWEEN = "between faults"
MAX_FINDINGS = 50
COLUMNS = ("fault", "times", "acknowledged", "lost", "duplicated", "503", "none", "slowest answer", "books again")
LEGEND = """\
none            connection refused or reset, or no answer in time
slowest answer  of one try, whatever it was; Ticks promises 3 s while its database is away
books again     from the database's return, else from the fault, to the next booking; Ticks promises 2 s after a return
"""


@dataclass
class Cost:
    """The cost of one kind of fault, over all its occurrences."""

    injected: int = 0
    acknowledged: int = 0
    slowest_answer: float = 0
    # The answers by status and code.
    answers: Counter = field(default_factory=Counter)
    books_again: float = 0

    @property
    def refused(self) -> int:
        return sum(count for label, count in self.answers.items() if label.startswith("503"))


class Board:
    """The fault that lasts now, and the costs so far."""

    def __init__(self):
        self.costs: dict[str, Cost] = defaultdict(Cost)
        self.fault = BETWEEN
        self.acknowledged = 0
        # These are when the broken part came back, and the first booking of a request that was sent after that.
        self.returned_at: float | None = None
        self.booked_at: float | None = None
        self.findings: list[str] = []
        self.is_over = False

    def begin_fault(self, fault: str) -> None:
        self.fault, self.returned_at, self.booked_at = fault, None, None
        self.costs[fault].injected += 1

    def note_return(self) -> None:
        self.returned_at = time.monotonic()

    def end_fault(self) -> None:
        cost = self.costs[self.fault]
        if self.booked_at is not None:
            cost.books_again = max(cost.books_again, self.booked_at - self.returned_at)
        self.fault = BETWEEN

    def fault_since(self, earlier: str) -> str:
        """The fault that lasts, or else the one at an earlier moment."""
        return earlier if self.fault == BETWEEN else self.fault

    def note_answer(self, label: str, *, seconds: float, fault: str) -> None:
        now = time.monotonic()
        if label == "201" and self.returned_at and self.booked_at is None and now - seconds >= self.returned_at:
            self.booked_at = now
        cost = self.costs[self.fault_since(fault)]
        cost.answers[label] += 1
        cost.slowest_answer = max(cost.slowest_answer, seconds)

    def acknowledge(self, fault: str) -> None:
        self.costs[fault].acknowledged += 1
        self.acknowledged += 1

    def find(self, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


def table(board: Board, *, lost: Counter, duplicated: Counter) -> str:
    """A line for each fault, one for the time between them, and the totals."""
    faults = sorted(board.costs, key=lambda fault: (fault == BETWEEN, fault))
    costs = [board.costs[fault] for fault in faults]
    total = Cost(
        injected=sum(cost.injected for cost in costs),
        acknowledged=board.acknowledged,
        slowest_answer=max((cost.slowest_answer for cost in costs), default=0),
        answers=sum((cost.answers for cost in costs), Counter()),
        books_again=max((cost.books_again for cost in costs), default=0),
    )
    rows = [cells(fault, board.costs[fault], lost[fault], duplicated[fault]) for fault in faults]
    return columns([COLUMNS, *rows, cells("total", total, lost.total(), duplicated.total())])


def cells(fault: str, cost: Cost, lost: int, duplicated: int) -> list[str]:
    counts = (cost.injected, cost.acknowledged, lost, duplicated, cost.refused, cost.answers["none"])
    return [fault, *map(str, counts), f"{cost.slowest_answer:.1f} s", f"{cost.books_again:.1f} s"]
