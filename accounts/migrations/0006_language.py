from django.db import migrations, models


class Migration(migrations.Migration):

    # Servers of the version before can go on.
    runs_beside_server = True

    dependencies = [
        ('accounts', '0005_ascii_domains'),
    ]

    operations = [
        migrations.AddField(
            model_name='user',
            name='language',
            field=models.CharField(blank=True, db_default='', default='', max_length=16),
        ),
    ]
