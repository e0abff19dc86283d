from django.db import migrations

# `bookings.line.ROOM` and `NUMBERS_A_PART` as they were then.
ROOM = 2**20
NUMBERS_A_PART = 256 * ROOM
# Who has the number of its ledger entry yet. So it does no harm should it be run again: MySQL notes only after the
# transaction that a migration is done.
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


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0005_fill_hours_and_waiting'),
    ]

    # In one transaction. There is no way back, since who was moved in between would have somebody else's number.
    operations = [
        migrations.RunPython(make_room, atomic=True),
    ]
