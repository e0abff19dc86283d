"""The migrations' fills of what is derived from bookings and the ledger. Each may run any number of times.

A server of an earlier version that is still running does not keep these values up to date. So the last migration that
fills, `events` 0006, runs all of them again.
"""

ENTRIES = 10_000
# Each is one statement for all events, which uses the indexes, so that it is quick with a million bookings too. Within
# MySQL's LOCK TABLES a statement may name a table only once.
COUNT_BOOKINGS = [
    "UPDATE events_event SET booking_count ="
    " (SELECT COUNT(*) FROM bookings_booking WHERE event_id = events_event.id)",
    "UPDATE events_event SET completed_count ="
    " (SELECT COUNT(*) FROM bookings_booking WHERE event_id = events_event.id AND status = 'completed')",
]
WAITED_FOR = """
UPDATE events_event SET waitlisted_tickets = (
  SELECT COALESCE(SUM(tickets_reserved), 0) FROM bookings_booking
  WHERE event_id = events_event.id AND status = 'waitlisted'
)
"""
# `bookings.line.ROOM` and `NUMBERS_A_PART` as they were then.
ROOM = 2**20
NUMBERS_A_PART = 256 * ROOM
# Only bookings that still have the number of their ledger entry, so that a second run does no harm.
GIVE_ROOM = f"""
UPDATE bookings_booking SET waitlist_number = waitlist_number * {ROOM}
WHERE waitlist_number %s {ROOM} AND EXISTS (
  SELECT 1 FROM bookings_ledgerentry
  WHERE booking_id = bookings_booking.id AND kind = 'waitlisted' AND sequence = waitlist_number
)
"""
COUNT_PARTS = f"""
INSERT INTO bookings_linepart (event_id, first_number, waiting)
SELECT event_id, waitlist_number - waitlist_number % {NUMBERS_A_PART}, COUNT(*) FROM bookings_booking
WHERE waitlist_number IS NOT NULL GROUP BY event_id, waitlist_number - waitlist_number % {NUMBERS_A_PART}
"""


def make_room(apps, schema_editor):
    """Numbers that followed one another get room between them.

    The large ones first: what they become is beyond all that was there, and so are then the others.
    """
    # Not the editor's execute, which takes it for a change of the schema and refuses within a transaction.
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(GIVE_ROOM % ">=")
        cursor.execute(GIVE_ROOM % "<")
        cursor.execute("DELETE FROM bookings_linepart")
        cursor.execute(COUNT_PARTS)


def fill_hours(apps, schema_editor):
    SalesHour = apps.get_model("bookings", "SalesHour")
    SalesHour.objects.all().delete()
    for event in apps.get_model("events", "Event").objects.order_by("pk").values_list("pk", flat=True):
        SalesHour.objects.bulk_create(hours_of(apps, event), batch_size=1000)


def hours_of(apps, event):
    LedgerEntry, SalesHour = apps.get_model("bookings", "LedgerEntry"), apps.get_model("bookings", "SalesHour")
    hours, total, last = {}, 0, 0
    while True:
        page = list(
            LedgerEntry.objects.filter(event=event, sequence__gt=last)
            .order_by("sequence")
            .values_list("sequence", "kind", "tickets", "available_after", "waitlisted_after", "created_at")[:ENTRIES]
        )
        for last, kind, tickets, available, waiting, moment in page:
            if kind in ("opened", "capacity_changed"):
                total += tickets
            if kind == "opened":
                continue
            begin = moment.replace(minute=0, second=0, microsecond=0)
            hour = hours.setdefault(begin, SalesHour(event_id=event, hour=begin, bookings=0, tickets=0))
            if kind in ("booked", "waitlisted"):
                hour.bookings += 1
                hour.tickets += tickets
            hour.held, hour.waiting = total - available, waiting
        if len(page) < ENTRIES:
            return hours.values()
