import django.db.models.deletion
import ticks.db.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    # A server of the version before leaves the table alone.
    runs_beside_server = True

    dependencies = [
        ('accounts', '0006_language'),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('created', models.DateTimeField(auto_now_add=True, db_index=True)),
                ('name', models.CharField(default=None, help_text='A free-form name for the API key. Need not be unique. 50 characters max.', max_length=50)),
                ('revoked', models.BooleanField(blank=True, default=False, help_text='If the API key is revoked, clients cannot use it anymore. (This cannot be undone.)')),
                ('expiry_date', models.DateTimeField(blank=True, help_text='Once API key expires, clients cannot use it anymore.', null=True, verbose_name='Expires')),
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('prefix', ticks.db.fields.ExactCharField(editable=False, max_length=8, unique=True)),
                ('hashed_key', ticks.db.fields.ExactCharField(editable=False, max_length=150)),
                ('scopes', models.JSONField(help_text='What it may do, of `Scope`.')),
                ('event_ids', models.JSONField(help_text='The only events that it reaches. Empty: all, later ones too.', null=True)),
                ('last_used_at', models.DateTimeField(editable=False, null=True)),
                ('account', models.OneToOneField(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='api_key', to=settings.AUTH_USER_MODEL)),
                ('created_by', models.ForeignKey(editable=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API key',
                'verbose_name_plural': 'API keys',
                'ordering': ['-pk'],
                'permissions': [('revoke_apikey', 'Can revoke API key')],
                'abstract': False,
                'default_permissions': ['view', 'add'],
            },
        ),
    ]
