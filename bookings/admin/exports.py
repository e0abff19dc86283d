"""What an exported list has in its columns: the lists' words, and everything that they show and more."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bookings.enums import LedgerKind
from bookings.models import Booking, LedgerEntry
from events.models import Event, state_of
from ticks.sheets import Cell

POLICIES = {value: label.partition(":")[0] for value, label in Event.WaitlistPolicy.choices}
KINDS = dict(LedgerKind.choices)


@dataclass(frozen=True)
class Column:
    """A title, the values that it needs by their names in queries, and how a cell is made of them."""

    title: str
    needs: tuple[str, ...]
    cell: Callable[..., Cell] | None = None


class Export:
    def __init__(self, name: str, columns: Sequence[Column]):
        self.name, self.columns = name, columns
        self.titles = [column.title for column in columns]
        self.needs = list(dict.fromkeys(need for column in columns for need in column.needs))
        places = {need: place for place, need in enumerate(self.needs)}
        self.cells = [(column.cell, [places[need] for need in column.needs]) for column in columns]

    def row(self, values: Sequence) -> list[Cell]:
        """`values` of what it needs, in that order."""
        return [
            cell(*[values[place] for place in places]) if cell else values[places[0]] for cell, places in self.cells
        ]


def plain(title: str, name: str) -> Column:
    return Column(title, (name,))


BOOKINGS = Export(
    "bookings",
    [
        plain("Reference", "reference"),
        plain("First name", "first_name"),
        plain("Last name", "last_name"),
        plain("Email", "email"),
        plain("Tickets", "tickets_reserved"),
        Column("Status", ("status",), str.capitalize),
        plain("Waitlist number", "waitlist_number"),
        plain("Event", "event__name"),
        plain("Event date (UTC)", "event__date"),
        plain("User", "user__username"),
        plain("Created at (UTC)", "created_at"),
        plain("Updated at (UTC)", "updated_at"),
    ],
)
# What the import of events reads has the same titles there.
EVENTS = Export(
    "events",
    [
        plain("Id", "pk"),
        plain("Name", "name"),
        plain("Date (UTC)", "date"),
        plain("Venue", "venue"),
        Column("State", ("deleted_at", "sales_start", "sales_end", "available_tickets"), state_of),
        plain("Total tickets", "total_tickets"),
        Column("Held", ("total_tickets", "available_tickets"), lambda total, available: total - available),
        plain("Available", "available_tickets"),
        plain("Waiting bookings", "waitlisted_count"),
        plain("Waiting tickets", "waitlisted_tickets"),
        plain("Bookings ever", "booking_count"),
        plain("Max tickets per booking", "max_tickets_per_booking"),
        plain("Sales start (UTC)", "sales_start"),
        plain("Sales end (UTC)", "sales_end"),
        plain("Waitlist enabled", "waitlist_enabled"),
        Column("Waitlist policy", ("waitlist_policy",), POLICIES.get),
        plain("Description", "description"),
        plain("Created at (UTC)", "created_at"),
    ],
)
LEDGER = Export(
    "ledger",
    [
        plain("Created at (UTC)", "created_at"),
        plain("Event", "event__name"),
        plain("Event id", "event_id"),
        plain("#", "sequence"),
        Column("Kind", ("kind",), KINDS.get),
        plain("Tickets", "tickets"),
        plain("Booking", "booking__reference"),
        Column("By", ("actor__username",), lambda name: name or "a guest"),
        plain("Left", "available_after"),
        plain("Waiting", "waitlisted_after"),
        plain("Note", "note"),
    ],
)
EXPORTS = {Booking: BOOKINGS, Event: EVENTS, LedgerEntry: LEDGER}
