from django.db import migrations

import ticks.db.fields
from ticks.db.migrations import fill_search_text


def fill(apps, schema_editor):
    fill_search_text(apps.get_model("bookings", "Booking"), ("first_name", "last_name", "email"))


class Migration(migrations.Migration):

    # A server of the version before leaves it NULL, and `contains_words` finds those rows by their columns.
    runs_beside_server = True

    dependencies = [
        ('bookings', '0008_ascii_domains'),
    ]

    operations = [
        migrations.AddField(
            model_name='booking',
            name='search_text',
            field=ticks.db.fields.ExactTextField(editable=False, null=True),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop, atomic=False),
    ]
