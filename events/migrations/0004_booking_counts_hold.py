from django.db import migrations, models

from events.migrations._fills import COUNT_BOOKINGS
from ticks.db.migrations import LockedTables


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0003_booking_counts'),
        ('bookings', '0003_counts_and_line'),
    ]

    operations = [
        LockedTables(['events_event', 'bookings_booking'], [
            migrations.RunSQL(COUNT_BOOKINGS, migrations.RunSQL.noop),
            migrations.AddConstraint(
                model_name='event',
                constraint=models.CheckConstraint(condition=models.Q(('booking_count__gte', models.F('completed_count') + models.F('waitlisted_count'))), name='event_counts_live_bookings'),
            ),
            migrations.AddConstraint(
                model_name='event',
                constraint=models.CheckConstraint(condition=models.Q(('total_tickets__gte', models.F('available_tickets') + models.F('completed_count'))), name='event_completed_within_held'),
            ),
        ]),
    ]
