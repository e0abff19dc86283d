from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('events', '0002_drop_doubled_checks'),
    ]

    # 0004 fills them, in one lock with the constraints that hold them to what they are.
    operations = [
        migrations.AddField(
            model_name='event',
            name='booking_count',
            field=models.PositiveIntegerField(default=0, editable=False, help_text='All bookings ever made, cancelled ones too.'),
        ),
        migrations.AddField(
            model_name='event',
            name='completed_count',
            field=models.PositiveIntegerField(default=0, editable=False, help_text='Bookings that hold tickets.'),
        ),
    ]
