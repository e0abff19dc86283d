import datetime

import django.core.validators
from django.conf import settings
from django.db import migrations, models, transaction

import events.models


ROWS = 500


def take_default(apps, schema_editor):
    """The events that are there get the zone of the setting. Their moments stay as they are."""
    if settings.EVENT_TIME_ZONE != 'UTC':
        apps.get_model('events', 'Event').objects.update(time_zone=settings.EVENT_TIME_ZONE)


def add_time_zone(apps, schema_editor):
    """Nobody is told of the zone that an event has got by the upgrade."""
    last = -1
    while last is not None:
        last = add_to_next(apps.get_model('bookings', 'DeliveryPosition'), apps.get_model('events', 'Event'), last)


@transaction.atomic
def add_to_next(DeliveryPosition, Event, last):
    """Returns the event of the last position, or None if there are no more. A process that delivers may change what
    holders know, so the rows are locked."""
    rows = DeliveryPosition.objects.select_for_update().filter(pk__gt=last).order_by('pk')
    positions = list(rows[:ROWS])
    events = Event.objects.filter(pk__in=[position.pk for position in positions])
    zones = dict(events.values_list('pk', 'time_zone'))
    for position in positions:
        if position.pk in zones:
            position.known_values.setdefault('time_zone', zones[position.pk])
            position.save(update_fields=['known_values'])
    return positions[-1].pk if positions else None


class Migration(migrations.Migration):

    # Servers of the version before can go on. The events that they add meanwhile are in UTC, as all were for them.
    runs_beside_server = True

    dependencies = [
        ('bookings', '0014_names_of_columns'),
        ('events', '0008_person_limit'),
    ]

    operations = [
        migrations.AddField(
            model_name='event',
            name='time_zone',
            field=models.CharField(db_default='UTC', default=events.models.default_time_zone, max_length=64, validators=[events.models.validate_time_zone]),
        ),
        migrations.AlterField(
            model_name='event',
            name='date',
            field=models.DateTimeField(blank=True, db_index=True, help_text='Empty for events made by the one-ticket contract.', null=True, validators=[django.core.validators.MinValueValidator(datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 'Choose a time from the year 1900 on.'), django.core.validators.MaxValueValidator(datetime.datetime(9998, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc), 'Choose a time before the year 9999.')]),
        ),
        migrations.AlterField(
            model_name='event',
            name='sales_end',
            field=models.DateTimeField(blank=True, help_text='Empty: on sale until it is deleted.', null=True, validators=[django.core.validators.MinValueValidator(datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 'Choose a time from the year 1900 on.'), django.core.validators.MaxValueValidator(datetime.datetime(9998, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc), 'Choose a time before the year 9999.')]),
        ),
        migrations.AlterField(
            model_name='event',
            name='sales_start',
            field=models.DateTimeField(blank=True, help_text='Empty: on sale at once.', null=True, validators=[django.core.validators.MinValueValidator(datetime.datetime(1900, 1, 1, 0, 0, tzinfo=datetime.timezone.utc), 'Choose a time from the year 1900 on.'), django.core.validators.MaxValueValidator(datetime.datetime(9998, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc), 'Choose a time before the year 9999.')]),
        ),
        migrations.RunPython(take_default, migrations.RunPython.noop),
        migrations.RunPython(add_time_zone, migrations.RunPython.noop),
    ]
