import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0015_language'),
        ('events', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='MailChoice',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('first', models.PositiveBigIntegerField(help_text='The sequence of the first entry.')),
                ('last', models.PositiveBigIntegerField()),
                ('note', models.TextField(blank=True, max_length=1000)),
                ('is_silent', models.BooleanField(default=False)),
                ('changes', models.JSONField(default=list)),
                ('event', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='mail_choices', to='events.event')),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('event', 'last'), name='mail_choice_unique'), models.CheckConstraint(condition=models.Q(('first__gte', 1), ('last__gte', models.F('first'))), name='mail_choice_has_entries')],
            },
        ),
    ]
