"""Who will be notified of something by mail, as far as that is known before it happens."""

from collections.abc import Collection
from dataclasses import dataclass, field

from bookings.enums import BookingStatus
from bookings.models import LIVE, Booking
from bookings.outbox import DeliveryPosition
from bookings.services.inventory import EventWork
from bookings.services.notifications import HOLDER_COLUMNS, NOTIFIED_KINDS, Recipient, recipient
from events.models import Event

# So many bookings are looked at, of all events together. A page that read all those of a large event would take too
# long.
MAX_READ = 10_000


@dataclass(slots=True)
class Audience:
    """The people who will be notified: the name of each by address, so that nobody counts twice. Bookings without an
    address, those that were looked at, and those that were too many for it are counted."""

    people: dict[str, str] = field(default_factory=dict)
    without_address: int = 0
    unread: int = 0
    read: int = 0

    @property
    def left(self) -> int:
        """How many bookings may still be looked at."""
        return max(0, MAX_READ - self.read)

    def add(self, event: Event, people: Collection[Recipient], *, unread: int = 0) -> None:
        """Adds people who are notified of something about an event, unless nobody is notified of anything about it."""
        self.read += len(people)
        if is_muted(event):
            return
        for person in people:
            if person.email:
                self.people.setdefault(person.email, person.name)
            else:
                self.without_address += 1
        self.unread += unread

    def add_forecast(self, forecast: EventWork, *, new: Recipient | None = None) -> None:
        """Adds whoever is notified of the ledger entries that a preview foresees. `new` is for whom it books."""
        entries = (entry for outcome in forecast.outcomes for entry in outcome.entries)
        claims = {id(entry.claim): entry.claim for entry in entries if entry.kind in NOTIFIED_KINDS}.values()
        people = [present_holder(claim.booking) for claim in claims if claim.booking]
        people += [new for claim in claims if claim.id is None]
        # Of those that are only promoted, the rules know the ids.
        ids = [claim.id for claim in claims if claim.id and not claim.booking]
        read = ids[: self.left]
        if read:
            rows = Booking.objects.filter(pk__in=read).order_by("pk").values_list(*HOLDER_COLUMNS)
            people += [recipient(*row) for row in rows]
        if people:
            self.add(forecast.event, people, unread=len(ids) - len(read))

    def add_live(self, event: Event, statuses: Collection[BookingStatus] = LIVE) -> None:
        """Adds whoever has a live booking of an event."""
        counts = {BookingStatus.COMPLETED: event.completed_count, BookingStatus.WAITLISTED: event.waitlisted_count}
        live = Booking.objects.filter(event=event, status__in=statuses).order_by()
        left = self.left
        people = [recipient(*row) for row in live.values_list(*HOLDER_COLUMNS)[:left]] if left else []
        self.add(event, people, unread=max(0, sum(counts[status] for status in statuses) - left))


def present_holder(booking: Booking) -> Recipient:
    return recipient(*(getattr(booking, name) for name in HOLDER_COLUMNS))


def is_muted(event: Event) -> bool:
    """Whether nobody is notified of anything about an event."""
    return DeliveryPosition.objects.filter(event=event.pk, sequence=DeliveryPosition.NEVER).exists()
