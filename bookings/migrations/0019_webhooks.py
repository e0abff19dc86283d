import django.db.models.deletion
import django.utils.timezone
import ticks.db.fields
from bookings.roles import make_roles
from django.db import migrations, models


MANAGERS_MAY = [
    ('bookings', 'webhook', 'view_webhook'),
    ('bookings', 'webhook', 'manage_webhook'),
]


def let_managers(apps, schema_editor):
    make_roles(apps, {'Managers': MANAGERS_MAY})


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0018_link_requests'),
        ('events', '0005_waitlisted_tickets'),
    ]

    operations = [
        migrations.CreateModel(
            name='Webhook',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('url', ticks.db.fields.ExactCharField(max_length=500)),
                ('kinds', models.JSONField(default=list, help_text='Kinds of ledger entries; empty: all.')),
                ('state', models.CharField(choices=[('on', 'On'), ('off', 'Off'), ('failed', 'Switched off after failures')], default='on', max_length=16)),
                ('cursor_number', models.PositiveBigIntegerField(default=0)),
                ('cursor_sequence', models.PositiveBigIntegerField(default=0)),
                ('nonce', ticks.db.fields.ExactCharField(max_length=64)),
                ('former_nonce', ticks.db.fields.ExactCharField(blank=True, default='', max_length=64)),
                ('former_until', models.DateTimeField(help_text='Until then the former secret signs as well.', null=True)),
                ('secret_digest', ticks.db.fields.ExactCharField(help_text='The SHA-256 of the secret that was shown.', max_length=64)),
                ('failing_since', models.DateTimeField(help_text='The first failure after the latest success.', null=True)),
                ('off_reason', models.CharField(blank=True, default='', max_length=200)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('event', models.ForeignKey(db_constraint=False, help_text='Empty: all events.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='events.event')),
            ],
            options={
                'ordering': ['name'],
                'permissions': [('manage_webhook', 'Can manage webhooks')],
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='WebhookMessage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('state', models.CharField(choices=[('waiting', 'Waiting'), ('sent', 'Sent'), ('given_up', 'Given up')], default='waiting', max_length=16)),
                ('due_at', models.DateTimeField()),
                ('give_up_at', models.DateTimeField(help_text='A message that fails later than this is given up.')),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('repeats', models.PositiveIntegerField(default=0, help_text='How often staff sent it again.')),
                ('error', models.CharField(blank=True, max_length=200)),
                ('lease', ticks.db.fields.ExactCharField(max_length=32, null=True)),
                ('sent_at', models.DateTimeField(null=True)),
                ('lane', models.BigIntegerField(help_text='The booking; minus the event for what concerns the event itself; 0 for a ping.')),
                ('event_id', models.PositiveBigIntegerField()),
                ('sequence', models.PositiveBigIntegerField(help_text='Of the ledger entry within its event; for a ping its time.')),
                ('kind', models.CharField(choices=[('opened', 'Opened'), ('booked', 'Booked'), ('waitlisted', 'Waitlisted'), ('promoted', 'Promoted'), ('reduced', 'Reduced'), ('cancelled', 'Cancelled'), ('capacity_changed', 'Capacity changed'), ('event_cancelled', 'Event cancelled'), ('moved', 'Moved in the waitlist'), ('transferred', 'Moved to another name'), ('edited', 'Event edited'), ('ping', 'Ping')], max_length=20)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('webhook', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='messages', to='bookings.webhook')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.CreateModel(
            name='WebhookAttempt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(default=django.utils.timezone.now)),
                ('milliseconds', models.PositiveIntegerField()),
                ('status', models.PositiveIntegerField(help_text='Of the answer; empty if there was none.', null=True)),
                ('answer', models.TextField(blank=True, help_text='The first part of the answer, or why there was none.')),
                ('message', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='log', to='bookings.webhookmessage')),
            ],
            options={
                'default_permissions': (),
            },
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['on', 'off', 'failed'])), name='webhook_state_known'),
        ),
        migrations.AddConstraint(
            model_name='webhook',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('former_nonce', ''), ('former_until__isnull', True)), models.Q(models.Q(('former_nonce', ''), _negated=True), ('former_until__isnull', False)), _connector='OR'), name='webhook_former_secret_ends'),
        ),
        migrations.AddIndex(
            model_name='webhookmessage',
            index=models.Index(fields=['webhook', 'id'], name='webhook_message_by_webhook'),
        ),
        migrations.AddIndex(
            model_name='webhookmessage',
            index=models.Index(fields=['webhook', 'state', 'due_at'], name='webhook_message_by_due'),
        ),
        migrations.AddConstraint(
            model_name='webhookmessage',
            constraint=models.UniqueConstraint(fields=('lane', 'webhook', 'sequence'), name='webhook_message_unique'),
        ),
        migrations.AddConstraint(
            model_name='webhookmessage',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('sent_at__isnull', False), ('state', 'sent')), models.Q(('sent_at__isnull', True), ('state__in', ['waiting', 'given_up'])), _connector='OR'), name='webhookmessage_sent_has_time'),
        ),
        migrations.RunPython(let_managers, migrations.RunPython.noop),
    ]
