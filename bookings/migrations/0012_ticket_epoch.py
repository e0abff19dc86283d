import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0011_feed_parts'),
    ]

    operations = [
        migrations.CreateModel(
            name='TicketEpoch',
            fields=[
                ('booking', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='ticket_epoch', serialize=False, to='bookings.booking')),
                ('epoch', models.PositiveIntegerField()),
            ],
        ),
    ]
