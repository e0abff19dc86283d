from django.db import migrations


class Migration(migrations.Migration):
    """Not beside a running server: one of the version before reads and writes the table."""

    dependencies = [
        ('ticks', '0001_initial'),
    ]

    operations = [
        migrations.DeleteModel(name='RefusalMinute'),
    ]
