from django.db import migrations, models

from events.migrations import _fills
from ticks.db.migrations import LockedTables

TABLES = ['events_event', 'bookings_booking', 'bookings_ledgerentry', 'bookings_linepart', 'bookings_saleshour']


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0005_waitlisted_tickets'),
        ('bookings', '0005_fill_hours_and_waiting'),
    ]

    # No later migration fills anything. So this one fills again whatever an old server has changed until now.
    operations = [
        LockedTables(TABLES, [
            migrations.RunSQL(_fills.COUNT_BOOKINGS, migrations.RunSQL.noop),
            migrations.RunSQL(_fills.WAITED_FOR, migrations.RunSQL.noop),
            migrations.RunPython(_fills.fill_hours, migrations.RunPython.noop),
            migrations.RunPython(_fills.make_room, migrations.RunPython.noop),
            migrations.AddConstraint(
                model_name='event',
                constraint=models.CheckConstraint(condition=models.Q(('waitlisted_tickets__gte', models.F('waitlisted_count')), models.Q(('waitlisted_count__gte', 1), ('waitlisted_tickets', 0), _connector='OR')), name='event_waiting_want_tickets'),
            ),
        ]),
    ]
