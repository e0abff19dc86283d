import django.db.models.deletion
import django.utils.timezone
import ticks.db.fields
from django.db import migrations, models


ROWS = 500


def start_from_now_on(apps, schema_editor):
    """Nobody is told of what happened before the upgrade. A second run takes what an earlier one left away."""
    Event = apps.get_model('events', 'Event')
    DeliveryPosition = apps.get_model('bookings', 'DeliveryPosition')
    DeliveryPosition.objects.all().delete()
    last = 0
    while True:
        events = list(Event.objects.filter(pk__gt=last).order_by('pk')[:ROWS])
        if not events:
            return
        last = events[-1].pk
        DeliveryPosition.objects.bulk_create([
            DeliveryPosition(
                event_id=event.pk,
                sequence=event.ledger_sequence,
                # As `values_told` in bookings/services/news.py.
                told={'name': event.name, 'date': event.date and event.date.isoformat(), 'venue': event.venue},
            )
            for event in events
        ])


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0012_ticket_epoch'),
        ('events', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='DeliveryPosition',
            fields=[
                ('event', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='delivery_position', serialize=False, to='events.event')),
                ('sequence', models.PositiveBigIntegerField(default=0, help_text='The latest ledger entry that was read.')),
                ('told', models.JSONField(default=dict)),
                ('telling', models.JSONField(null=True)),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='FormerHolder',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveBigIntegerField(help_text='The ledger entry of the transfer.')),
                ('name', models.CharField(max_length=301)),
                ('email', ticks.db.fields.ExactEmailField(blank=True, max_length=254)),
                ('account', models.PositiveBigIntegerField(help_text='The id of the account that had the booking.', null=True)),
                ('created_at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('booking', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='former_holders', to='bookings.booking')),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('booking', 'sequence'), name='former_holder_unique')],
            },
        ),
        migrations.CreateModel(
            name='Mail',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveBigIntegerField(help_text="The event's ledger entry of the first fact.")),
                ('is_to_former', models.BooleanField(default=False)),
                ('name', models.CharField(max_length=301)),
                ('email', ticks.db.fields.ExactEmailField(max_length=254)),
                ('facts', models.JSONField(default=list)),
                ('happened_at', models.DateTimeField(help_text='When the first fact happened.')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sent', 'Sent'), ('given_up', 'Given up')], default='waiting', max_length=16)),
                ('due_at', models.DateTimeField()),
                ('give_up_at', models.DateTimeField(help_text='A mail that fails later than this is given up.')),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('repeats', models.PositiveIntegerField(default=0, help_text='How often staff sent it again.')),
                ('error', models.CharField(blank=True, max_length=200)),
                ('claim', ticks.db.fields.ExactCharField(max_length=32, null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('booking', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='mails', to='bookings.booking')),
            ],
            options={
                'default_permissions': (),
                'indexes': [models.Index(fields=['state', 'due_at'], name='mail_by_state_and_due')],
                'constraints': [models.UniqueConstraint(fields=('booking', 'sequence', 'is_to_former'), name='mail_unique'), models.CheckConstraint(condition=models.Q(models.Q(('sent_at__isnull', False), ('state', 'sent')), models.Q(('sent_at__isnull', True), ('state__in', ['waiting', 'given_up'])), _connector='OR'), name='mail_sent_has_time')],
            },
        ),
        migrations.RunPython(start_from_now_on, migrations.RunPython.noop),
    ]
