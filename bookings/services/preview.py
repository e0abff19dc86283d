"""What would happen: the same rules on the state of now, and nothing is written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from bookings.models import Booking
from bookings.rules import Cancel, Claim, Command, Inventory, Outcome, allocate
from bookings.services.inventory import booking_id, claim_of, inventory_of, load_queue
from events.models import Event
from ticks.exceptions import Refusal


@dataclass(slots=True)
class Forecast:
    """An event as it stands, its counts as they would be, and what would become of each command."""

    event: Event
    inventory: Inventory
    outcomes: list[Outcome] = field(default_factory=list)

    @property
    def refusal(self) -> Refusal | None:
        return next((outcome.error for outcome in self.outcomes if outcome.error), None)

    @property
    def served(self) -> list[Claim]:
        return [claim for outcome in self.outcomes for claim in outcome.promoted]


def foresee(event: Event, commands: Sequence[Command]) -> Forecast:
    """Without a lock: whoever comes in between changes what will really happen, and the report says what did."""
    inventory = inventory_of(event)
    load_queue(inventory, event, commands)
    return Forecast(event, inventory, allocate(inventory, commands, now=timezone.now()))


def foresee_cancellations(bookings: Iterable[Booking], *, tickets: int | None = None) -> list[Forecast]:
    """Of several bookings in this order, one forecast an event."""
    by_event: dict[int, list[Booking]] = {}
    for booking in bookings:
        by_event.setdefault(booking.event_id, []).append(booking)
    events = Event.objects.in_bulk(list(by_event))
    return [
        foresee(events[pk], [Cancel(claim_of(booking), tickets) for booking in some]) for pk, some in by_event.items()
    ]


def bookings_of(claims: Sequence[Claim], *, at_most: int) -> list[Booking]:
    """Of served claims, in their order; their tickets and status are the database's."""
    ids = [booking_id(claim) for claim in claims[:at_most]]
    found = Booking.objects.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]
