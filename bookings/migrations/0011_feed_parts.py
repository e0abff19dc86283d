from django.db import migrations, models


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0010_keys_of_every_write'),
    ]

    operations = [
        migrations.CreateModel(
            name='FeedPart',
            fields=[
                ('number', models.PositiveBigIntegerField(help_text='1, 2, 3 ... without gaps.', primary_key=True, serialize=False)),
                ('event_id', models.PositiveBigIntegerField()),
                ('first', models.PositiveBigIntegerField(help_text='The sequence of its first entry.')),
                ('last', models.PositiveBigIntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('event_id', 'first'), name='feed_part_unique'), models.CheckConstraint(condition=models.Q(('number__gte', 1)), name='feed_part_number_from_one'), models.CheckConstraint(condition=models.Q(('first__gte', 1), ('last__gte', models.F('first'))), name='feed_part_has_entries')],
            },
        ),
    ]
