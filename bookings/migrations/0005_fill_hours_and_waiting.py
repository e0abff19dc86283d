from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0004_notes_hours_checks'),
    ]

    # `events` 0006 fills them, in one lock with the constraint.
    operations = []
