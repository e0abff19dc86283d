from django.db import migrations, models


class Migration(migrations.Migration):
    # A server of the version before leaves the column alone.
    runs_beside_server = True

    dependencies = [
        ('accounts', '0003_hashed_sessions_and_login_names'),
    ]

    operations = [
        migrations.AddField(
            model_name='loginsession',
            name='other_refresh_hashes',
            field=models.JSONField(null=True),
        ),
    ]
