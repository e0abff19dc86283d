"""The faults and requests of this moment, the cost of each kind of fault, and the table of costs."""

import time
from collections import Counter
from dataclasses import dataclass, field

BETWEEN = "between faults"
MAX_FINDINGS = 50
COLUMNS = (
    "fault",
    "times",
    "held",
    "longest stall",
    "slowest answer",
    "acknowledged",
    "lost",
    "duplicated",
    "oversold",
    "503",
    "none",
    "books again",
)
LEGEND = """\
held            requests on their way when it struck, or failed while it lasted
longest stall   from a request's first try to its last answer, with the pauses that Retry-After asks for
slowest answer  of one try, whatever it was; Ticks promises 3 s while its database is away
none            connection refused or reset, or no answer in time
books again     from the database's return, else from the fault, to the next booking; Ticks promises 2 s after a return
"""


@dataclass
class Cost:
    """The cost of one kind of fault, over all its occurrences."""

    injected: int = 0
    held: set[int] = field(default_factory=set)
    longest_stall: float = 0
    slowest_answer: float = 0
    acknowledged: int = 0
    answers: Counter = field(default_factory=Counter)
    # These are the seconds since the broken part was back.
    to_booking: list[float] = field(default_factory=list)
    oversold: int = 0


class Board:
    """The fault that lasts now, the requests on their way, and the costs so far."""

    def __init__(self):
        self.costs: dict[str, Cost] = {}
        self.fault = BETWEEN
        # For each request's number, this is the fault that it has met.
        self.in_flight: dict[int, str] = {}
        self.requests = 0
        self.acknowledged = 0
        # These are when the broken part came back, and the first booking of a request that was sent after that.
        self.returned_at: float | None = None
        self.booked_at: float | None = None
        self.findings: list[str] = []
        self.is_over = False

    def cost(self, fault: str) -> Cost:
        return self.costs.setdefault(fault, Cost())

    def begin_fault(self, fault: str) -> None:
        """Begins a fault. Requests that are on their way belong to it now."""
        self.fault = fault
        self.cost(fault).injected += 1
        for request, met in self.in_flight.items():
            if met == BETWEEN:
                self.in_flight[request] = fault
                self.cost(fault).held.add(request)

    def end_fault(self) -> None:
        self.fault = BETWEEN

    def note_return(self, at: float) -> None:
        self.returned_at, self.booked_at = at, None

    def begin_request(self) -> int:
        self.requests += 1
        self.in_flight[self.requests] = self.fault
        return self.requests

    def note_answer(self, request: int, label: str, *, seconds: float, is_failure: bool) -> None:
        now = time.monotonic()
        if label == "201" and self.booked_at is None and self.returned_at and now - seconds >= self.returned_at:
            self.booked_at = now
        # This is the fault that lasts, or else the one that the request has met.
        cost = self.cost(self.in_flight[request] if self.fault == BETWEEN else self.fault)
        cost.answers[label] += 1
        cost.slowest_answer = max(cost.slowest_answer, seconds)
        if is_failure:
            cost.held.add(request)

    def end_request(self, request: int, *, seconds: float) -> str:
        """The request has its last answer. Returns the fault that it met."""
        fault = self.in_flight.pop(request)
        self.cost(fault).longest_stall = max(self.cost(fault).longest_stall, seconds)
        return fault

    def acknowledge(self, fault: str) -> None:
        self.cost(fault).acknowledged += 1
        self.acknowledged += 1

    def find(self, finding: str) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)


def table(board: Board, *, lost: Counter, duplicated: Counter, oversold: int) -> str:
    """A line for each fault, one for the time between them, and the totals."""
    faults = sorted(board.costs, key=lambda fault: (fault == BETWEEN, fault))
    rows = [cells(fault, board.costs[fault], lost[fault], duplicated[fault]) for fault in faults]
    total = total_of(board)
    total.oversold = max(total.oversold, oversold)
    rows = [COLUMNS, *rows, cells("total", total, lost.total(), duplicated.total())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def total_of(board: Board) -> Cost:
    costs = list(board.costs.values())
    return Cost(
        injected=sum(cost.injected for cost in costs),
        held=set().union(*(cost.held for cost in costs)),
        longest_stall=max((cost.longest_stall for cost in costs), default=0),
        slowest_answer=max((cost.slowest_answer for cost in costs), default=0),
        acknowledged=sum(cost.acknowledged for cost in costs),
        answers=sum((cost.answers for cost in costs), Counter()),
        to_booking=[seconds for cost in costs for seconds in cost.to_booking],
        oversold=sum(cost.oversold for cost in costs),
    )


def cells(fault: str, cost: Cost, lost: int, duplicated: int) -> list[str]:
    refused = sum(count for label, count in cost.answers.items() if label.startswith("503"))
    return [
        fault,
        str(cost.injected or "-"),
        str(len(cost.held)),
        f"{cost.longest_stall:.1f} s",
        f"{cost.slowest_answer:.1f} s",
        *map(str, (cost.acknowledged, lost, duplicated, cost.oversold, refused, cost.answers["none"])),
        f"{max(cost.to_booking):.1f} s" if cost.to_booking else "-",
    ]
