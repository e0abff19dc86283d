"""The report for staff at the end: whether the buyers' answers agree with the stored rows, what happened, and what was
refused."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from bookings.models import Booking, LedgerEntry
from bookings.rehearsal.crowd import HALF, Crowd
from bookings.services.verification import verify_events
from events.models import Event
from ticks.formatting import counted
from ticks.load import Tally

LABEL, COLUMN = 22, 13


@dataclass(frozen=True, slots=True)
class Comparison:
    """The stored rows of the copy, compared with the buyers' answers."""

    held: int
    # Seconds until the last ticket was sold; None: it was not sold out.
    sold_out_after: float | None
    # Bookings by others than the buyers, and bookings whose buyers got no answer.
    by_others: int
    unanswered: int
    findings: list[str]


def compare(copy: Event, crowd: Crowd, *, began: datetime) -> Comparison:
    [verified] = verify_events(copy.pk)
    rows = list(Booking.objects.filter(event=copy).values_list("pk", "user_id", "tickets_reserved"))
    by_buyer = {order.user_id: order for order in crowd.orders}
    own = [row for row in rows if row[1] in by_buyer]
    sold_out = LedgerEntry.objects.filter(event=copy, available_after=0, kind="booked").order_by("sequence").first()
    return Comparison(
        held=verified.held,
        sold_out_after=(sold_out.created_at - began).total_seconds() if sold_out else None,
        by_others=len(rows) - len(own),
        unanswered=sum(by_buyer[user].booking_id is None for _, user, _ in own),
        findings=[*verified.findings, *broken_promises(own, by_buyer)],
    )


def broken_promises(rows: list[tuple], by_buyer: dict) -> list[str]:
    """The differences between a buyer's answers and the stored rows, counted by kind."""
    stored = {pk: (user, tickets) for pk, user, tickets in rows}
    answered = {order.booking_id: (user, order.tickets) for user, order in by_buyer.items() if order.booking_id}
    changed = sum(stored.get(pk, booking) != booking for pk, booking in answered.items())
    refused = sum(by_buyer[user].outcome == "refused" for _, user, _ in rows)
    counts = {
        "acknowledged bookings that are not stored": len(answered.keys() - stored.keys()),
        "bookings stored for another buyer or number of tickets than was answered": changed,
        "second bookings of a buyer who asked for one": len(rows) - len({user for _, user, _ in rows}),
        "bookings stored of buyers who were refused": refused,
    }
    return [f"{what}: {count:,}" for what, count in counts.items() if count]


def report(event: Event, crowd: Crowd, found: Comparison) -> str:
    parts = (headline(event, crowd), verdict(crowd, found), sales(event, crowd, found), times(crowd), refusals(crowd))
    return "\n\n".join("\n".join(lines) for lines in parts)


def headline(event: Event, crowd: Crowd) -> Iterator[str]:
    low, high = crowd.tickets
    sizes = counted(high, "ticket") if low == high else f"{low} to {high} tickets"
    waitlist = "with a waitlist" if event.waitlist_enabled else "without a waitlist"
    yield f"Rehearsal of event {event.pk}, {event.name}: {counted(event.total_tickets, 'ticket')}, {waitlist}."
    yield (
        f"{counted(len(crowd.orders), 'buyer')} came within {crowd.seconds} s, half of them in the first "
        f"{crowd.seconds * HALF:.1f} s, each for {sizes}."
    )


def verdict(crowd: Crowd, found: Comparison) -> Iterator[str]:
    if found.findings:
        yield "NOT IN ORDER"
        yield from (f"  {finding}" for finding in found.findings)
    else:
        acknowledged = sum(order.booking_id is not None for order in crowd.orders)
        yield f"IN ORDER: nothing oversold; {acknowledged:,} bookings acknowledged, and all of them stored."
    if found.unanswered:
        yield f"  {counted(found.unanswered, 'booking')} stored whose answer was lost on its way, every retry included."
    if found.by_others:
        yield f"  {counted(found.by_others, 'booking')} on the copy by others than the buyers; they do not stand."


def sales(event: Event, crowd: Crowd, found: Comparison) -> Iterator[str]:
    total, sold_out = event.total_tickets, found.sold_out_after
    yield row("Tickets sold", f"{found.held:,} of {total:,} ({100 * found.held / total:.0f} %)")
    yield row("Oversold", f"{max(found.held - total, 0):,}")
    wanted = sum(order.tickets for order in crowd.orders)
    not_sold_out = f"not sold out (the buyers wanted {wanted:,} tickets in all)"
    yield row("Sold out after", not_sold_out if sold_out is None else f"{sold_out:.1f} s")
    busiest = max(crowd.by_second.values(), default=0)
    yield row("Requests a second", f"{busiest:,} in the busiest second, {crowd.total.rate:,.0f} on average")
    yield row("Last answer after", f"{crowd.total.seconds:.1f} s")
    yield row("Buyers", f"{len(crowd.orders):,}")
    counts = Counter(order.outcome for order in crowd.orders)
    yield row("  got tickets", f"{counts['completed']:,}")
    yield row("  waitlisted", f"{counts['waitlisted']:,}")
    yield row("  refused", f"{counts['refused']:,}")
    if counts["trying"]:
        yield row("  still trying", f"{counts['trying']:,} (when the rehearsal stopped waiting)")


def times(crowd: Crowd) -> Iterator[str]:
    names = ("half (p50)", "95 % (p95)", "99 % (p99)", "the slowest")
    yield row("Answered within", "".join(f"{name:>{COLUMN}}" for name in names))
    yield row("  bookings", spread(crowd.bookings))
    yield row("  status", spread(crowd.looks))
    if any(order.attempts > 1 for order in crowd.orders):
        yield row("  bookings and retries", spread(crowd.waits))


def spread(tally: Tally) -> str:
    if not tally.latencies:
        return f"{'none':>{COLUMN}}"
    values = [tally.percentile(percent) for percent in (50, 95, 99, 100)]
    return "".join(f"{f'{1000 * value:.0f} ms' if value < 1 else f'{value:.1f} s':>{COLUMN}}" for value in values)


def refusals(crowd: Crowd) -> Iterator[str]:
    lost = crowd.total.unanswered
    yield "Refused requests" if crowd.refusals or lost else "No request was refused or lost."
    for (status, code), count in crowd.refusals.most_common():
        yield f"{count:>8,}  {status} {code}: {crowd.messages[status, code]}"
    if lost:
        yield f"{lost:>8,}  no answer: the connection broke, or ten seconds passed"


def row(label: str, value: str) -> str:
    return f"{label:<{LABEL}}{value}"
