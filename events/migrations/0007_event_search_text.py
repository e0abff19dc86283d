from django.db import migrations

import ticks.db.fields
from ticks.db.migrations import fill_search_text


def fill(apps, schema_editor):
    fill_search_text(apps.get_model("events", "Event"), ("name", "venue", "description"))


class Migration(migrations.Migration):

    # A server of the version before leaves it NULL, and `contains_words` finds those rows by their columns.
    runs_beside_server = True

    dependencies = [
        ('events', '0006_waitlisted_tickets_hold'),
    ]

    operations = [
        migrations.AddField(
            model_name='event',
            name='search_text',
            field=ticks.db.fields.ExactTextField(editable=False, null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, atomic=False),
    ]
