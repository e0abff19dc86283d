from django.db import migrations

from events.migrations._fills import make_room
from ticks.db.migrations import LockedTables


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0005_fill_hours_and_waiting'),
    ]

    # There is no way back, since who was moved in between would have somebody else's number.
    operations = [
        LockedTables(['events_event', 'bookings_booking', 'bookings_ledgerentry', 'bookings_linepart'], [
            migrations.RunPython(make_room),
        ]),
    ]
