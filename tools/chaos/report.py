"""What is shown: a bar while it runs, a table when it is over."""

import sys
import time
from collections import Counter
from dataclasses import dataclass

from tools.chaos.board import ANSWERED_SECONDS, BETWEEN, PROMISED_SECONDS, Board, Toll
from tools.chaos.faults import RETURNS
from tools.chaos.verification import Verdict

BAR_WIDTH = 30
LINE_SECONDS = 10
STATUSES = ("201", "200", "404", "409", "503", "none", "other")
COLUMNS = (
    "fault",
    "times",
    "held",
    "longest stall",
    "slowest answer",
    f"over {ANSWERED_SECONDS} s",
    "acknowledged",
    "lost",
    "duplicated",
    "oversold",
    *STATUSES,
    "books again",
    "ready again",
)


class Progress:
    """On a terminal one line that changes; else a line every ten seconds."""

    def __init__(self, *, bookings: int, faults: int):
        self.bookings, self.faults = bookings, faults
        self.began = self.told = time.monotonic()
        self.is_terminal = sys.stderr.isatty()

    def tell(self, board: Board, injected: int, *, at_last: bool = False) -> None:
        now = time.monotonic()
        if not self.is_terminal and not at_last and now - self.told < LINE_SECONDS:
            return
        self.told = now
        done = min(1, (board.acknowledged / self.bookings + injected / max(1, self.faults)) / 2)
        filled = int(BAR_WIDTH * done)
        line = (
            f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {now - self.began:4.0f} s"
            f"  {board.acknowledged} of {self.bookings} bookings, {injected} of {self.faults} faults  {board.fault}"
        )
        if self.is_terminal:
            sys.stderr.write(f"\r{line[:118]:<118}" + ("\n" if at_last else ""))
        else:
            sys.stderr.write(line + "\n")
        sys.stderr.flush()


LEGEND = """\
held            requests on their way when it struck, or failed while it lasted
longest stall   from a request's first try to its last answer, with the pauses that Retry-After asks for
slowest answer  of one try, whatever it was; over 3 s: how many took longer than that
404, 409        of cancellations that an earlier attempt had carried out, and of what is sold out
none            connection refused or reset, or no answer in time
books again     from the database's return, else from the fault, to the next booking; ready again: to /readyz 200
"""


@dataclass
class Line:
    fault: str
    toll: Toll
    lost: int
    duplicated: int

    def cells(self) -> list[str]:
        if self.toll.impossible:
            return [self.fault, f"not possible here: {self.toll.impossible}"]
        statuses = grouped(self.toll.answers)
        return [
            self.fault,
            str(self.toll.injected),
            str(len(self.toll.held)),
            f"{self.toll.longest_stall:.1f} s",
            f"{self.toll.slowest_answer:.1f} s",
            str(len(self.toll.late)),
            str(self.toll.acknowledged),
            str(self.lost),
            str(self.duplicated),
            str(self.toll.oversold),
            *(str(statuses[status]) for status in STATUSES),
            longest(self.toll.to_booking),
            longest(self.toll.to_ready),
        ]

    def facts(self) -> dict:
        return {
            "fault": self.fault,
            "impossible": self.toll.impossible,
            "times": self.toll.injected,
            "held": len(self.toll.held),
            "longest_stall": round(self.toll.longest_stall, 3),
            "slowest_answer": round(self.toll.slowest_answer, 3),
            "late_answers": self.toll.late,
            "acknowledged": self.toll.acknowledged,
            "lost": self.lost,
            "duplicated": self.duplicated,
            "oversold": self.toll.oversold,
            "answers": dict(sorted(self.toll.answers.items())),
            "books_again": [round(seconds, 3) for seconds in self.toll.to_booking],
            "ready_again": [round(seconds, 3) for seconds in self.toll.to_ready],
        }


def lines(board: Board, verdict: Verdict) -> list[Line]:
    """A line for each fault, one for the time between them, and the totals."""
    found = [
        Line(fault, toll, verdict.lost[fault], verdict.duplicated[fault])
        for fault, toll in sorted(board.tolls.items(), key=lambda item: (item[0] == BETWEEN, item[0]))
    ]
    tolls = list(board.tolls.values())
    total = Toll(
        injected=sum(toll.injected for toll in tolls),
        held=set().union(*(toll.held for toll in tolls)),
        longest_stall=max((toll.longest_stall for toll in tolls), default=0),
        slowest_answer=max((toll.slowest_answer for toll in tolls), default=0),
        late=[answer for toll in tolls for answer in toll.late],
        acknowledged=sum(toll.acknowledged for toll in tolls),
        answers=sum((toll.answers for toll in tolls), Counter()),
        to_booking=[seconds for toll in tolls for seconds in toll.to_booking],
        to_ready=[seconds for toll in tolls for seconds in toll.to_ready],
        oversold=max(verdict.oversold, sum(toll.oversold for toll in tolls)),
    )
    return [*found, Line("total", total, verdict.lost.total(), verdict.duplicated.total())]


def table(rows: list[list[str]]) -> str:
    full = [row for row in rows if len(row) == len(COLUMNS)]
    widths = [max(len(row[number]) for row in full) for number in range(len(COLUMNS))]
    widths[0] = max(len(row[0]) for row in rows)
    told = []
    for row in rows:
        first = row[0].ljust(widths[0])
        told.append("  ".join([first, *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False))]))
    rule = "-" * len(told[0])
    return "\n".join([told[0], rule, *told[1:-1], rule, told[-1]])


def grouped(answers: Counter) -> Counter:
    """By the bare status."""
    found: Counter = Counter()
    for label, count in answers.items():
        status = label.split()[0]
        found[status if status in STATUSES else "other"] += count
    return found


def longest(seconds: list[float]) -> str:
    return f"{max(seconds):.1f} s" if seconds else "-"


def promise(board: Board) -> str:
    """Whether Ticks booked and was ready in time whenever its database came back."""
    told = []
    for what, name in (("booked again", "to_booking"), ("was ready", "to_ready")):
        taken = [seconds for fault in RETURNS if fault in board.tolls for seconds in getattr(board.tolls[fault], name)]
        late = sum(seconds > PROMISED_SECONDS for seconds in taken)
        told.append(f"{what} in time {len(taken) - late} of {len(taken)} times, at most {longest(taken)}")
    tolls = [board.tolls[fault] for fault in RETURNS if fault in board.tolls]
    slowest = max((toll.slowest_answer for toll in tolls), default=0)
    return (
        f"Promised within {PROMISED_SECONDS} s of the database's return: {'; '.join(told)}.\n"
        f"Promised within {ANSWERED_SECONDS} s while it is away: an answer; the slowest took {slowest:.1f} s,"
        f" {sum(len(toll.late) for toll in tolls)} of {sum(toll.answers.total() for toll in tolls)} were late."
    )
