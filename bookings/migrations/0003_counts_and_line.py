import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0002_drop_doubled_checks'),
        ('events', '0003_booking_counts'),
    ]

    # `events` 0004 and 0006 of this application count the bookings and the parts.
    operations = [
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
        migrations.RemoveConstraint(
            model_name='booking',
            name='booking_one_ticket_a_user',
        ),
        migrations.AddConstraint(
            model_name='booking',
            constraint=models.UniqueConstraint(fields=('one_ticket_holder', 'event'), name='booking_one_ticket_a_user'),
        ),
    ]
