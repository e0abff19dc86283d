"""The enumerations that the rules, the tables and the API share."""

from django.db.models import TextChoices


class BookingStatus(TextChoices):
    COMPLETED = "completed", "Completed: tickets held"
    WAITLISTED = "waitlisted", "Waitlisted"
    CANCELLED = "cancelled", "Cancelled"


class LedgerKind(TextChoices):
    OPENED = "opened", "Opened"
    BOOKED = "booked", "Booked"
    WAITLISTED = "waitlisted", "Waitlisted"
    PROMOTED = "promoted", "Promoted"
    REDUCED = "reduced", "Reduced"
    CANCELLED = "cancelled", "Cancelled"
    CAPACITY_CHANGED = "capacity_changed", "Capacity changed"
    EVENT_CANCELLED = "event_cancelled", "Event cancelled"
    # The following entries move no ticket.
    MOVED = "moved", "Moved in the waitlist"
    TRANSFERRED = "transferred", "Moved to another name"
    EDITED = "edited", "Event edited"


class TicketState(TextChoices):
    """What the code of a ticket is worth, with a sentence for the person at the door."""

    VALID = "valid", "This ticket is valid."
    UNKNOWN = "unknown", "There is no ticket with this code."
    EVENT_CANCELLED = "event_cancelled", "The event was cancelled."
    CANCELLED = "cancelled", "The booking was cancelled."
    VOIDED = "voided", "This ticket was voided; the booking has newer ones."
    GIVEN_BACK = "given_back", "This ticket was given back."


# Every new booking begins with one of these.
ARRIVALS = frozenset({LedgerKind.BOOKED, LedgerKind.WAITLISTED})


class FactKind(TextChoices):
    """What a mail tells. Kinds that are also kinds of ledger entries have the same names."""

    BOOKED = "booked", "Booked"
    WAITLISTED = "waitlisted", "On the waitlist"
    PROMOTED = "promoted", "Promoted"
    REDUCED = "reduced", "Tickets given back"
    CANCELLED = "cancelled", "Cancelled"
    EVENT_CANCELLED = "event_cancelled", "Event cancelled"
    TRANSFERRED = "transferred", "Moved to this name"
    TRANSFERRED_AWAY = "transferred_away", "Moved to another name"
    CORRECTED = "corrected", "Name or address corrected"
    VOIDED = "voided", "New ticket codes"
    EVENT_CHANGED = "event_changed", "Event changed"
    ANNOUNCED = "announced", "Written by staff"
