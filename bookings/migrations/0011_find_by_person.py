from django.db import migrations, models


class Migration(migrations.Migration):

    # Servers of the version before can go on.
    runs_beside_server = True

    dependencies = [
        ('bookings', '0010_keys_of_every_write'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='booking',
            index=models.Index(fields=['event', 'user', 'status', 'email'], name='booking_by_event_and_person'),
        ),
    ]
