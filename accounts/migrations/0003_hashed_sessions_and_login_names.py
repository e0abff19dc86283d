import logging
import unicodedata
from hashlib import sha256

import django.db.models.deletion
import ticks.db.fields
from django.conf import settings
from django.db import migrations, models
from django.db.models.functions import SHA256, Length

from ticks.db.migrations import LockedTables

log = logging.getLogger("ticks.migrations")
HASH_LENGTH = 64
ROWS = 1000
TABLES = ['accounts_user', 'accounts_loginname', 'accounts_browsersession', 'accounts_loginsession']


def login_key(name):
    """As `accounts.models.login_key` was when this migration was written."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFC", name.strip()).lower()).casefold()
    return sha256(folded.encode(errors="replace")).hexdigest()


def reserve_names(apps, schema_editor):
    """Usernames first: where one account's username is another's email, the account with the username keeps it."""
    User = apps.get_model("accounts", "User")
    LoginName = apps.get_model("accounts", "LoginName")
    for column in ("username", "email"):
        last = 0
        while True:
            named = User.objects.filter(pk__gt=last).exclude(**{column: None}).exclude(**{column: ""}).order_by("pk")
            names = [(pk, login_key(name)) for pk, name in named.values_list("pk", column)[:ROWS]]
            if not names:
                break
            LoginName.objects.bulk_create(
                [LoginName(key=key, user_id=pk) for pk, key in names], ignore_conflicts=True
            )
            owners = dict(LoginName.objects.filter(key__in=[key for _, key in names]).values_list("key", "user"))
            for pk, key in names:
                if owners.get(key, pk) != pk:
                    log.warning(
                        "The %s of account %s is a login name of account %s as well, and stays reserved for that. "
                        "Give account %s another %s.", column, pk, owners[key], pk, column,
                    )
            last = names[-1][0]


def hash_secrets(apps, schema_editor):
    """What is as long as a hash is one: after an interruption nothing is hashed twice."""
    for model, column in (("BrowserSession", "session_key"), ("LoginSession", "refresh_hash")):
        rows = apps.get_model("accounts", model).objects.annotate(length=Length(column))
        rows.filter(length__lt=HASH_LENGTH).update(**{column: SHA256(column)})


def end_logins(apps, schema_editor):
    """The way back: the secrets are not known, so all log in again."""
    for model in ("BrowserSession", "LoginSession"):
        apps.get_model("accounts", model).objects.all().delete()


class Migration(migrations.Migration):
    """Each operation can be run again: MariaDB and MySQL keep what was done before an interruption."""

    dependencies = [
        ('accounts', '0002_roles_and_browser_sessions'),
    ]

    operations = [
        migrations.RunSQL("DROP TABLE IF EXISTS accounts_loginname", migrations.RunSQL.noop),
        migrations.CreateModel(
            name='LoginName',
            fields=[
                ('key', ticks.db.fields.ExactCharField(max_length=64, primary_key=True, serialize=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='login_names', to=settings.AUTH_USER_MODEL)),
            ],
        ),
        migrations.AlterField(
            model_name='browsersession',
            name='session_key',
            field=ticks.db.fields.ExactCharField(max_length=64, primary_key=True, serialize=False, verbose_name='session key'),
        ),
        # The field gets another name, and its column keeps the old one: a rename cannot be run again.
        migrations.AlterField(
            model_name='loginsession',
            name='refresh_id',
            field=ticks.db.fields.ExactCharField(db_column='refresh_id', max_length=64),
        ),
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameField(model_name='loginsession', old_name='refresh_id', new_name='refresh_hash'),
            ],
        ),
        # A server of the version before registers accounts and opens logins until it is stopped.
        LockedTables(TABLES, [
            migrations.RunPython(reserve_names, migrations.RunPython.noop),
            migrations.RunPython(hash_secrets, end_logins),
        ]),
    ]
