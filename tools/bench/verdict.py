"""Whether what clients were told is what is stored, and what is stored is what the counters say."""

from dataclasses import dataclass

from tools.bench.callers import Told

COUNTERS = (
    "SELECT COALESCE(SUM(total_tickets - available_tickets), 0), COALESCE(SUM(waitlisted_count), 0) FROM events_event"
)
NEW_ROWS = "SELECT status, COUNT(*), SUM(tickets_reserved) FROM bookings_booking WHERE id > %s GROUP BY status"
PROMOTED = "SELECT COUNT(*) FROM bookings_ledgerentry WHERE kind = 'promoted' AND booking_id > %s"


@dataclass(frozen=True)
class Mark:
    """How the tables stood before a run, which must touch only bookings that it made."""

    last_booking: int
    gone: int
    waiting: int


@dataclass(frozen=True)
class Stored:
    """What a run has left in the tables."""

    rows: int = 0
    held: int = 0
    waitlisted: int = 0
    cancelled: int = 0
    promoted: int = 0
    # By the events' counters.
    gone: int = 0
    waiting: int = 0


def mark(world) -> Mark:
    [[last]] = world.rows("SELECT COALESCE(MAX(id), 0) FROM bookings_booking")
    [[gone, waiting]] = world.rows(COUNTERS)
    return Mark(int(last), int(gone), int(waiting))


def stored_since(world, before: Mark) -> Stored:
    by_status = {
        status: (int(rows), int(tickets)) for status, rows, tickets in world.rows(NEW_ROWS, before.last_booking)
    }
    now = mark(world)
    [[promoted]] = world.rows(PROMOTED, before.last_booking)
    return Stored(
        rows=sum(rows for rows, _ in by_status.values()),
        held=by_status.get("completed", (0, 0))[1],
        waitlisted=by_status.get("waitlisted", (0, 0))[0],
        cancelled=by_status.get("cancelled", (0, 0))[0],
        promoted=promoted,
        gone=now.gone - before.gone,
        waiting=now.waiting - before.waiting,
    )


def findings(told: Told, stored: Stored, *, unanswered: int) -> list[str]:
    """2xx = rows = tickets gone, or what differs. A request without an answer makes the comparison impossible."""
    if unanswered:
        return [f"{unanswered} requests got no answer"]
    compared = [
        ("bookings were answered 201", told.booked, "are stored", stored.rows),
        ("bookings were cancelled with 200", told.cancelled, "are stored as cancelled", stored.cancelled),
        ("tickets are held by bookings", stored.held, "are gone by the events' counters", stored.gone),
        ("bookings wait", stored.waitlisted, "do by the events' counters", stored.waiting),
    ]
    # Cancellations give tickets back and serve who waits, so that only the tables can say who holds what.
    if not told.cancelled:
        compared += [
            ("tickets were sold with 201", told.tickets, "are gone", stored.gone),
            ("bookings were told to wait", told.waitlisted, "do", stored.waitlisted),
        ]
    return [f"{said} {what}, but {found} {where}" for what, said, where, found in compared if said != found]
