import django.db.models.deletion
from django.db import migrations, models

# In sets: a statement for each event and one for all parts, by the indexes, with a million bookings too.
COUNT_BOOKINGS = """
UPDATE events_event SET
  booking_count = (SELECT COUNT(*) FROM bookings_booking WHERE event_id = events_event.id),
  completed_count = (SELECT COUNT(*) FROM bookings_booking WHERE event_id = events_event.id AND status = 'completed')
"""
# 256 is `bookings.line.NUMBERS_A_PART` as it was then.
COUNT_PARTS = """
INSERT INTO bookings_linepart (event_id, first_number, waiting)
SELECT event_id, waitlist_number - waitlist_number % 256, COUNT(*) FROM bookings_booking
WHERE waitlist_number IS NOT NULL GROUP BY event_id, waitlist_number - waitlist_number % 256
"""


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0002_drop_doubled_checks'),
        ('events', '0003_booking_counts'),
    ]

    operations = [
        migrations.RunSQL(COUNT_BOOKINGS, migrations.RunSQL.noop),
        migrations.CreateModel(
            name='LinePart',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('first_number', models.PositiveBigIntegerField()),
                ('waiting', models.IntegerField()),
                ('event', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='events.event')),
            ],
        ),
        migrations.AddConstraint(
            model_name='linepart',
            constraint=models.UniqueConstraint(fields=('event', 'first_number'), name='line_part_unique'),
        ),
        migrations.RunSQL(COUNT_PARTS, migrations.RunSQL.noop),
        migrations.RemoveConstraint(
            model_name='booking',
            name='booking_one_ticket_a_user',
        ),
        migrations.AddConstraint(
            model_name='booking',
            constraint=models.UniqueConstraint(fields=('one_ticket_holder', 'event'), name='booking_one_ticket_a_user'),
        ),
    ]
