import django.db.models.deletion
from django.db import migrations, models


class AlterColumn(migrations.AlterField):
    """Django would drop the column's foreign key and make it again, for which MariaDB copies the table, and servers
    wait. If the migration was interrupted in between, its second run would leave the foreign key out."""

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        if schema_editor.connection.vendor == 'mysql':
            schema_editor.execute('ALTER TABLE bookings_idempotencykey MODIFY booking_id bigint NULL')
        else:
            super().database_forwards(app_label, schema_editor, from_state, to_state)


class Migration(migrations.Migration):

    runs_beside_server = True

    dependencies = [
        ('bookings', '0009_booking_search_text'),
    ]

    operations = [
        AlterColumn(
            model_name='idempotencykey',
            name='booking',
            field=models.ForeignKey(help_text='Made or cancelled; empty for events.', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='bookings.booking'),
        ),
        migrations.AlterField(
            model_name='idempotencykey',
            name='answer',
            field=models.JSONField(help_text="The booking or event as it was first answered, without the guest's token."),
        ),
    ]
