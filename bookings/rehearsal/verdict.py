"""Whether what the buyers were told is what the database holds, and nothing was oversold."""

from dataclasses import dataclass, field
from datetime import datetime

from bookings.models import Booking, LedgerEntry
from bookings.rehearsal.crowd import Crowd, Fate
from bookings.services.verification import verify_events
from events.models import Event


@dataclass(slots=True)
class Verdict:
    total: int
    held: int
    waiting: int
    # Seconds until the last ticket was sold.
    sold_out_after: float | None
    # Bookings on the copy by others than the rehearsal's buyers.
    by_others: int
    # Made, though their buyers got no answer that said so.
    untold: int
    findings: list[str] = field(default_factory=list)

    @property
    def oversold(self) -> int:
        return max(self.held - self.total, 0)


def judge(copy: Event, crowd: Crowd, *, began: datetime) -> Verdict:
    [report] = verify_events(copy.pk)
    rows = list(Booking.objects.filter(event=copy).order_by("pk").values_list("pk", "user_id", "tickets_reserved"))
    by_buyer = {order.buyer.user_id: order for order in crowd.orders}
    own = [row for row in rows if row[1] in by_buyer]
    untold = sum(by_buyer[user].booking_id is None for _, user, _ in own)
    return Verdict(
        copy.total_tickets,
        report.held,
        report.waiting,
        sold_out_after(copy, began=began),
        len(rows) - len(own),
        untold,
        [*report.findings, *broken_promises(own, by_buyer)],
    )


def broken_promises(rows: list[tuple], by_buyer: dict) -> list[str]:
    """Whatever a buyer was told (201) and is not so, in words."""
    stored = {pk: (user, tickets) for pk, user, tickets in rows}
    told = [order for order in by_buyer.values() if order.booking_id is not None]
    gone = sum(order.booking_id not in stored for order in told)
    twice = len(rows) - len({user for _, user, _ in rows})
    refused = sum(by_buyer[user].fate is Fate.REFUSED for _, user, _ in rows)
    changed = sum(
        stored.get(order.booking_id, (order.buyer.user_id, order.tickets)) != (order.buyer.user_id, order.tickets)
        for order in told
    )
    counted = (
        ("acknowledged bookings that are not stored", gone),
        ("bookings stored for another buyer or number of tickets than was answered", changed),
        ("second bookings of a buyer who asked for one", twice),
        ("bookings stored of buyers who were refused", refused),
    )
    return [f"{what}: {count:,}" for what, count in counted if count]


def sold_out_after(copy: Event, *, began: datetime) -> float | None:
    sold_out = LedgerEntry.objects.filter(event=copy, available_after=0, kind="booked").order_by("sequence").first()
    return (sold_out.created_at - began).total_seconds() if sold_out else None
