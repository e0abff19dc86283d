"""Compares the clients' answers with the stored rows, by SQL that does not use Ticks' code."""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tools.chaos.clients import ACKNOWLEDGED, REFUSED, UNANSWERED, UNKNOWN, Booked, Cancelled, Journal

Ask = Callable[[str], list[tuple]]

OVERSOLD = """
SELECT e.id, GREATEST(0, CAST(COALESCE(SUM(b.tickets_reserved), 0) AS SIGNED) - CAST(e.total_tickets AS SIGNED))
FROM events_event e LEFT JOIN bookings_booking b ON b.event_id = e.id AND b.status = 'completed' GROUP BY e.id
"""
# Each entry is a finding, and a query for the rows that have it.
MUST_BE_EMPTY = [
    (
        "counter of available tickets",
        "SELECT e.id, e.available_tickets, e.total_tickets - COALESCE(SUM(b.tickets_reserved), 0) AS leaves"
        " FROM events_event e LEFT JOIN bookings_booking b ON b.event_id = e.id AND b.status = 'completed'"
        " GROUP BY e.id HAVING e.available_tickets <> leaves",
    ),
    (
        "counter of waiting bookings",
        "SELECT e.id, e.waitlisted_count, COUNT(b.id) AS wait FROM events_event e"
        " LEFT JOIN bookings_booking b ON b.event_id = e.id AND b.status = 'waitlisted'"
        " GROUP BY e.id HAVING e.waitlisted_count <> wait",
    ),
    (
        "gap in the ledger",
        "SELECT e.id, e.ledger_sequence, COUNT(l.id), MIN(l.sequence), MAX(l.sequence) FROM events_event e"
        " LEFT JOIN bookings_ledgerentry l ON l.event_id = e.id GROUP BY e.id"
        " HAVING COUNT(l.id) <> e.ledger_sequence OR MIN(l.sequence) <> 1 OR MAX(l.sequence) <> e.ledger_sequence",
    ),
    (
        "ledger's last entry",
        "SELECT e.id, l.available_after, e.available_tickets, l.waitlisted_after, e.waitlisted_count"
        " FROM events_event e JOIN bookings_ledgerentry l ON l.event_id = e.id AND l.sequence = e.ledger_sequence"
        " WHERE l.available_after <> e.available_tickets OR l.waitlisted_after <> e.waitlisted_count",
    ),
    (
        "booking without its first ledger entry",
        "SELECT b.id FROM bookings_booking b LEFT JOIN bookings_ledgerentry l"
        " ON l.booking_id = b.id AND l.kind IN ('booked', 'waitlisted') GROUP BY b.id HAVING COUNT(l.id) <> 1",
    ),
    (
        "booking with two idempotency keys",
        "SELECT booking_id, COUNT(*) FROM bookings_idempotencykey GROUP BY booking_id HAVING COUNT(*) > 1",
    ),
]


@dataclass(frozen=True)
class Row:
    id: int
    reference: str
    event: int
    user: int | None
    tickets: int
    status: str
    has_key: bool


@dataclass
class Verdict:
    """Counts by fault: acknowledged bookings that are not stored as answered, and requests that are stored twice."""

    lost: Counter = field(default_factory=Counter)
    duplicated: Counter = field(default_factory=Counter)
    oversold: int = 0
    stored: int = 0
    unknown: int = 0
    unknown_stored: int = 0
    findings: list[str] = field(default_factory=list)


def verify(journal: Journal, ask: Ask) -> Verdict:
    verdict = Verdict()
    cancellations: dict[int, list[Cancelled]] = defaultdict(list)
    for entry in journal:
        if isinstance(entry, Cancelled):
            cancellations[entry.booking].append(entry)
    stored = stored_rows(ask)
    verdict.stored = sum(map(len, stored.values()))
    for entry in journal:
        if isinstance(entry, Booked):
            compare(entry, stored.pop(entry.mark, []), cancellations, verdict)
    verdict.findings += [f"stored, but nobody asked for it: {mark} {rows}" for mark, rows in stored.items()]
    verdict.oversold = oversold(ask)
    verdict.findings += contradictions(ask)
    return verdict


def stored_rows(ask: Ask) -> dict[str, list[Row]]:
    """The stored bookings by their request's mark. A seat has no mail address of its own, but its account."""
    rows = ask(
        "SELECT b.id, b.reference, b.event_id, b.user_id, b.tickets_reserved, b.status, k.id IS NOT NULL, b.email"
        " FROM bookings_booking b LEFT JOIN (SELECT booking_id, MIN(id) AS id FROM bookings_idempotencykey"
        " GROUP BY booking_id) k ON k.booking_id = b.id"
    )
    found = defaultdict(list)
    for *facts, has_key, email in rows:
        row = Row(*facts, bool(has_key))
        is_marked = email.startswith("r") and email.endswith("@chaos.example.org")
        found[email if is_marked else f"seat {row.user} {row.event}"].append(row)
    return dict(found)


def compare(entry: Booked, rows: list[Row], cancellations: dict[int, list[Cancelled]], verdict: Verdict) -> None:
    name = f"{entry.mark} ({entry.outcome}, {entry.fault})"
    if len(rows) > 1 or (rows and entry.outcome == REFUSED):
        verdict.duplicated[entry.fault] += 1
        verdict.findings.append(f"duplicated, or stored though refused: {name} is stored as {rows}")
    elif entry.outcome == UNANSWERED:
        verdict.findings.append(f"never answered: {name}")
    elif entry.outcome == UNKNOWN:
        verdict.unknown += 1
        verdict.unknown_stored += len(rows)
    elif entry.outcome == ACKNOWLEDGED:
        wrong = difference(entry, rows[0], cancellations[rows[0].id]) if rows else "it is not there"
        if wrong:
            verdict.lost[entry.fault] += 1
            verdict.findings.append(f"lost: {name}: {wrong}")


def difference(entry: Booked, row: Row, cancellations: list[Cancelled]) -> str:
    """The differences between an acknowledged booking and its stored row; empty if there are none."""
    expected = {"event": entry.event, "user": entry.user, "has_key": entry.has_key}
    # A booking that a 409 acknowledged has neither of these.
    expected |= {name: value for name in ("id", "reference") if (value := getattr(entry, name)) is not None}
    wrong = [
        f"{name} is {getattr(row, name)!r} and not {value!r}"
        for name, value in expected.items()
        if getattr(row, name) != value
    ]
    parts = Counter(each.outcome for each in cancellations if each.tickets)
    most = entry.tickets - parts[ACKNOWLEDGED]
    least = most - parts[UNKNOWN]
    if not least <= row.tickets <= most:
        wrong.append(f"it has {row.tickets} tickets, and not {least} to {most}")
    # A waiting booking may have been promoted since. A 409 does not tell which of the two states the booking has.
    allowed = {"completed"} if entry.status == "completed" else {"completed", "waitlisted"}
    whole = {each.outcome for each in cancellations if each.tickets is None}
    if whole:
        allowed = {"cancelled"} if ACKNOWLEDGED in whole else allowed | {"cancelled"}
    if row.status not in allowed:
        wrong.append(f"it is {row.status}, and not {' or '.join(sorted(allowed))}")
    return "; ".join(wrong)


def oversold(ask: Ask) -> int:
    return sum(int(tickets) for _, tickets in ask(OVERSOLD))


def contradictions(ask: Ask) -> list[str]:
    """The contradictions within the database."""
    return [f"{what}: {row}" for what, query in MUST_BE_EMPTY for row in ask(query)]
