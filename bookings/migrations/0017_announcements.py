import django.db.models.deletion
import django.utils.timezone
import ticks.db.fields
from django.conf import settings
from django.db import migrations, models

from bookings.roles import make_roles


def make(apps, schema_editor):
    make_roles(apps, {'Managers': [('bookings', 'announcement', 'write_to_holders')]})


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0016_mail_choices'),
        ('events', '0001_initial'),
        ('auth', '0012_alter_user_first_name_max_length'),
        ('contenttypes', '0002_remove_content_type_name'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='Announcement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveBigIntegerField(help_text='Its ledger entry.')),
                ('addressees', models.CharField(choices=[('holders', 'Everybody who holds tickets'), ('waiting', 'Everybody who waits'), ('all', 'Everybody who holds tickets or waits')], max_length=16)),
                ('subject', models.CharField(max_length=200)),
                ('text', models.TextField(max_length=5000)),
                ('digest', ticks.db.fields.ExactCharField(max_length=64, unique=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('position', models.PositiveBigIntegerField(default=0, help_text='The last booking that was looked at.')),
                ('mails', models.PositiveIntegerField(default=0, help_text='How many mails were made of it.')),
                ('finished_at', models.DateTimeField(db_index=True, help_text='When the last of its mails was made.', null=True)),
                ('stopped_at', models.DateTimeField(null=True)),
                ('final_sent', models.PositiveIntegerField(db_index=True, help_text='How many of its mails were sent; null until none waits any more.', null=True)),
                ('final_failed', models.PositiveIntegerField(help_text='How many of its mails were given up; null until none waits any more.', null=True)),
                ('author', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('event', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='announcements', to='events.event')),
            ],
            options={
                'permissions': [('write_to_holders', 'Can write to holders of an event')],
                'default_permissions': (),
            },
        ),
        migrations.AddField(
            model_name='mail',
            name='announcement',
            field=models.ForeignKey(db_constraint=False, db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='sent_as', to='bookings.announcement'),
        ),
        migrations.AddIndex(
            model_name='mail',
            index=models.Index(fields=['announcement', 'state', 'email'], name='mail_by_announcement'),
        ),
        migrations.AddConstraint(
            model_name='announcement',
            constraint=models.UniqueConstraint(fields=('event', 'sequence'), name='announcement_unique'),
        ),
        # If this migration is reversed, the permission stays: people may have it.
        migrations.RunPython(make, migrations.RunPython.noop),
    ]
