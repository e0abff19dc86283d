from django.db import migrations, models


class Migration(migrations.Migration):

    # Servers of the version before can go on.
    runs_beside_server = True

    dependencies = [
        ('bookings', '0014_names_of_columns'),
    ]

    operations = [
        migrations.AddField(
            model_name='booking',
            name='language',
            field=models.CharField(blank=True, db_default='', default='', editable=False, max_length=16),
        ),
        migrations.AddField(
            model_name='formerholder',
            name='language',
            field=models.CharField(blank=True, db_default='', default='', max_length=16),
        ),
    ]
