from django.db import migrations, models

import ticks.db.fields


class Migration(migrations.Migration):
    """The fields have other names. The columns keep theirs, since a rename cannot be interrupted and run again."""

    runs_beside_server = True

    dependencies = [
        ('bookings', '0013_mails'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField('deliveryposition', 'told', 'known_values'),
                migrations.AlterField('deliveryposition', 'known_values', models.JSONField(db_column='told', default=dict)),
                migrations.RenameField('deliveryposition', 'telling', 'pending_change'),
                migrations.AlterField('deliveryposition', 'pending_change', models.JSONField(db_column='telling', null=True)),
                migrations.RenameField('mail', 'claim', 'lease'),
                migrations.AlterField('mail', 'lease', ticks.db.fields.ExactCharField(db_column='claim', max_length=32, null=True)),
                migrations.AlterField('mail', 'give_up_at', models.DateTimeField(help_text='A message that fails later than this is given up.')),
            ]
        ),
    ]
