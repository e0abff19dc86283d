"""What staff read at the end, the verdict first: what happened, what buyers felt, what was refused."""

from collections.abc import Iterator

from bookings.rehearsal.crowd import HALF, Crowd, Fate
from bookings.rehearsal.plan import Plan
from bookings.rehearsal.run import Outcome
from ticks.formatting import counted
from ticks.load import Tally

LABEL, COLUMN = 22, 13
# By status and code, where the answer's own words are for buyers rather than for staff.
MEANINGS = {
    (409, "sold_out"): "sold out, and the event has no waitlist",
    (409, "idempotency_key_in_flight"): "asked again while the first was still being carried out",
    (429, "throttled"): "one account asked more often than THROTTLE_USER allows",
    (503, "busy"): "too many at once; nothing was booked",
    (503, "database_unavailable"): "the database did not answer; nothing was booked",
    (503, "outcome_unknown"): "the database was lost while it saved; the next try settles it",
    (401, "token_not_valid"): "the buyer's account is gone; was a clean-up run meanwhile?",
    (404, "event_not_found"): "the copy was cancelled while the rehearsal ran",
}
FATES = (
    (Fate.SOLD, "got tickets"),
    (Fate.WAITLISTED, "waitlisted"),
    (Fate.REFUSED, "refused"),
    (Fate.TRYING, "still trying"),
    (Fate.NOT_BEGUN, "never had a turn"),
)
WHY = {
    Fate.TRYING: " (when the rehearsal stopped waiting)",
    Fate.NOT_BEGUN: " (all connections were busy with others until the rehearsal stopped waiting)",
}
# What every deployment should have none of is left out where there is none.
ONLY_IF_ANY = (Fate.TRYING, Fate.NOT_BEGUN)


def report(plan: Plan, outcome: Outcome) -> str:
    parts = (
        headline(plan),
        verdict(outcome),
        sales(outcome),
        times(outcome.crowd),
        refusals(outcome.crowd),
    )
    return "\n\n".join("\n".join(lines) for lines in parts)


def headline(plan: Plan) -> Iterator[str]:
    event = plan.event
    low, high = plan.tickets
    sizes = counted(high, "ticket") if low == high else f"{low} to {high} tickets"
    waitlist = "with a waitlist" if event.waitlist_enabled else "without a waitlist"
    yield f"Rehearsal of event {event.pk}, {event.name}: {counted(event.total_tickets, 'ticket')}, {waitlist}."
    yield (
        f"{counted(plan.buyers, 'buyer')} came within {plan.seconds} s, half of them in the first "
        f"{plan.seconds * HALF:.1f} s, each for {sizes}."
    )


def verdict(outcome: Outcome) -> Iterator[str]:
    found = outcome.verdict
    if found.findings:
        yield "NOT IN ORDER"
        yield from (f"  {finding}" for finding in found.findings)
    else:
        acknowledged = sum(order.booking_id is not None for order in outcome.crowd.orders)
        yield f"IN ORDER: nothing oversold; {acknowledged:,} bookings acknowledged, and all of them stored."
    if found.untold:
        yield f"  {counted(found.untold, 'booking')} stored whose answer was lost on its way, every retry included."
    if found.by_others:
        yield f"  {counted(found.by_others, 'booking')} on the copy by others than the buyers; they do not stand."


def sales(outcome: Outcome) -> Iterator[str]:
    found, crowd = outcome.verdict, outcome.crowd
    yield line("Tickets sold", f"{found.held:,} of {found.total:,} ({100 * found.held / found.total:.0f} %)")
    yield line("Oversold", f"{found.oversold:,}")
    yield line("Sold out after", sold_out(outcome))
    yield line(
        "Requests a second",
        f"{max(crowd.by_second.values(), default=0):,} in the busiest second, {outcome.tally.rate:,.0f} on average",
    )
    yield line("Last answer after", f"{outcome.tally.seconds:.1f} s")
    yield line("Buyers", f"{len(crowd.orders):,}")
    for fate, words in FATES:
        count = sum(order.fate is fate for order in crowd.orders)
        if count or fate not in ONLY_IF_ANY:
            yield line(f"  {words}", f"{count:,}{WHY.get(fate, '')}")


def sold_out(outcome: Outcome) -> str:
    if outcome.verdict.sold_out_after is not None:
        return f"{outcome.verdict.sold_out_after:.1f} s"
    wanted = sum(order.tickets for order in outcome.crowd.orders)
    return f"not sold out (the buyers wanted {wanted:,} tickets in all)"


def times(crowd: Crowd) -> Iterator[str]:
    names = ("half (p50)", "95 % (p95)", "99 % (p99)", "the slowest")
    yield line("Answered within", "".join(f"{name:>{COLUMN}}" for name in names))
    yield line("  bookings", spread(crowd.bookings))
    yield line("  status", spread(crowd.looks))
    if any(order.attempts > 1 for order in crowd.orders):
        yield line("  bookings and retries", spread(crowd.waits))


def spread(tally: Tally) -> str:
    if not tally.latencies:
        return f"{'none':>{COLUMN}}"
    return "".join(f"{moment(tally.percentile(percent)):>{COLUMN}}" for percent in (50, 95, 99, 100))


def moment(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def refusals(crowd: Crowd) -> Iterator[str]:
    if not crowd.refusals and not crowd.lost:
        yield "No request was refused or lost."
        return
    yield "Refused requests"
    for refusal, count in crowd.refusals.most_common():
        said = MEANINGS.get(refusal) or crowd.sayings.get(refusal, "no answer of Ticks; of a proxy, perhaps")
        yield f"{count:>8,}  {refusal[0]} {refusal[1]}: {said}{afterwards(crowd, refusal)}"
    if crowd.lost:
        yield f"{crowd.lost:>8,}  no answer: the connection broke, or ten seconds passed{afterwards(crowd, None)}"


def afterwards(crowd: Crowd, refusal: tuple[int, str] | None) -> str:
    """What became of those who were to try again."""
    if refusal is not None and refusal[0] not in (429, 503):
        return ""
    left = sum(order.fate is Fate.TRYING and order.refusal == refusal for order in crowd.orders)
    return f" ({counted(left, 'buyer')} still without an answer)" if left else " (every retry was answered)"


def line(what: str, said: str) -> str:
    return f"{what:<{LABEL}}{said}"
