from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0004_booking_counts_hold'),
    ]

    # 0006 fills it, in one lock with the constraint that holds it to what it is.
    operations = [
        migrations.AlterModelOptions(
            name='event',
            options={'ordering': ['pk'], 'permissions': [('cancel_event', 'Can cancel event')]},
        ),
        migrations.AddField(
            model_name='event',
            name='waitlisted_tickets',
            field=models.PositiveBigIntegerField(default=0, editable=False, help_text='Tickets that the waiting bookings want.'),
        ),
    ]
