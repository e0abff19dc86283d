from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0005_waitlisted_tickets'),
        ('bookings', '0005_fill_hours_and_waiting'),
    ]

    operations = [
        migrations.AddConstraint(
            model_name='event',
            constraint=models.CheckConstraint(condition=models.Q(('waitlisted_tickets__gte', models.F('waitlisted_count')), models.Q(('waitlisted_count__gte', 1), ('waitlisted_tickets', 0), _connector='OR')), name='event_waiting_want_tickets'),
        ),
    ]
