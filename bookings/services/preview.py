"""Shows what would happen: the same rules on the present state, and nothing is written."""

from collections.abc import Iterable, Sequence

from django.utils import timezone

from bookings.commands import Cancel, Claim, Command
from bookings.models import Booking
from bookings.services.inventory import EventWork, ask_rules
from events.models import Event


def simulate(event: Event, commands: Sequence[Command]) -> EventWork:
    """Asks the rules without a lock. A change may come in between, so the report says what really happened."""
    work = EventWork(event, commands)
    ask_rules([work], now=timezone.now(), is_locking=False)
    return work


def simulate_cancellations(bookings: Iterable[Booking]) -> list[EventWork]:
    """Cancels several bookings in this order. Each event is one piece of work."""
    ids_by_event: dict[int, list[int]] = {}
    for booking in bookings:
        ids_by_event.setdefault(booking.event_id, []).append(booking.pk)
    events = Event.objects.in_bulk(list(ids_by_event))
    return [simulate(events[pk], list(map(Cancel, ids))) for pk, ids in ids_by_event.items()]


def bookings_of(claims: Sequence[Claim], *, at_most: int) -> list[Booking]:
    """The bookings of promoted claims, in the order of the claims. Tickets and status are the database's."""
    ids = [claim.id for claim in claims[:at_most]]
    found = Booking.objects.in_bulk(ids)
    return [found[pk] for pk in ids if pk in found]
