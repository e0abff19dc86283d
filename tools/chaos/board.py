"""What goes on at this moment: which fault lasts, which requests are on their way, and what each fault cost."""

import time
from collections import Counter
from dataclasses import dataclass, field

BETWEEN = "between faults"
MAX_FINDINGS = 50
BOOKED = "201"
# Within this time after its return the database is used again.
PROMISED_SECONDS = 2
# Within this time an answer comes while it is away: DB_SECONDS, and a second for what else is done.
ANSWERED_SECONDS = 3


@dataclass
class Toll:
    """What one kind of fault cost, all its times together."""

    injected: int = 0
    held: set[int] = field(default_factory=set)
    longest_stall: float = 0
    slowest_answer: float = 0
    # Answers that took longer than Ticks promises, with what they were and how long each took.
    late: list[tuple[str, float]] = field(default_factory=list)
    acknowledged: int = 0
    answers: Counter = field(default_factory=Counter)
    # Seconds from the moment at which what was broken was back.
    to_booking: list[float] = field(default_factory=list)
    to_ready: list[float] = field(default_factory=list)
    oversold: int = 0
    impossible: str = ""


class Board:
    def __init__(self):
        self.tolls: dict[str, Toll] = {}
        self.fault = BETWEEN
        self.in_flight: dict[int, str] = {}
        self.acknowledged = 0
        # When what was broken came back, and the first booking of a request that was sent after it.
        self.returned_at: float | None = None
        self.booked_at: float | None = None
        self.findings: list[str] = []
        self.found = 0
        self.is_over = False
        self.requests = 0

    def toll(self, fault: str) -> Toll:
        return self.tolls.setdefault(fault, Toll())

    def strike(self, fault: str) -> None:
        """A fault begins: whoever is on the way belongs to it now."""
        self.fault = fault
        self.toll(fault).injected += 1
        for request, under in self.in_flight.items():
            if under == BETWEEN:
                self.in_flight[request] = fault
                self.toll(fault).held.add(request)

    def calm(self) -> None:
        self.fault = BETWEEN

    def note_return(self, at: float) -> None:
        self.returned_at, self.booked_at = at, None

    def set_out(self) -> int:
        self.requests += 1
        self.in_flight[self.requests] = self.fault
        return self.requests

    def note_answer(self, request: int, label: str, *, seconds: float, failed: bool) -> None:
        now = time.monotonic()
        if label == BOOKED and self.booked_at is None and self.returned_at and now - seconds >= self.returned_at:
            self.booked_at = now
        # What lasts now, else what the request has suffered from since it set out.
        toll = self.toll(self.in_flight[request] if self.fault == BETWEEN else self.fault)
        toll.answers[label] += 1
        toll.slowest_answer = max(toll.slowest_answer, seconds)
        if seconds > ANSWERED_SECONDS:
            toll.late.append((label, round(seconds, 2)))
        if failed:
            toll.held.add(request)

    def arrive(self, request: int, *, seconds: float) -> str:
        """The request has its last answer; the fault that it came under."""
        fault = self.in_flight.pop(request)
        self.toll(fault).longest_stall = max(self.toll(fault).longest_stall, seconds)
        return fault

    def acknowledge(self, fault: str) -> None:
        self.toll(fault).acknowledged += 1
        self.acknowledged += 1

    def find(self, finding: str) -> None:
        self.found += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
