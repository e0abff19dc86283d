import logging
import unicodedata
from hashlib import sha256

import idna
from django.db import migrations

from ticks.db.migrations import LockedTables

log = logging.getLogger("ticks.migrations")
ROWS = 1000


def encode_domain(email):
    """The address with its domain in ASCII, as `ticks.text.normalise_email` had it when this migration was written."""
    mailbox, sign, domain = email.rpartition("@")
    try:
        return email if domain.isascii() else mailbox + sign + idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return email


def login_key(name):
    """As `accounts.models.login_key` was when this migration was written; the domain of `name` is in ASCII."""
    mailbox, sign, domain = name.rpartition("@")
    try:
        name = mailbox + sign + idna.decode(domain) if "xn--" in domain else name
    except idna.IDNAError:
        pass
    return sha256(unicodedata.normalize("NFKC", name).casefold().encode(errors="replace")).hexdigest()


def encode_domains(apps, schema_editor):
    """Addresses and usernames that have a domain with other letters, or one that is encoded already."""
    User = apps.get_model("accounts", "User")
    LoginName = apps.get_model("accounts", "LoginName")
    last = 0
    while True:
        accounts = User.objects.filter(pk__gt=last).order_by("pk").values_list("pk", "username", "email")[:ROWS]
        accounts = list(accounts)
        for pk, username, email in accounts:
            names = [unicodedata.normalize("NFC", username).lower(), email or ""]
            encoded = [encode_domain(name) for name in names]
            if encoded == names and not any("@" in name and "xn--" in name for name in names):
                continue
            if encoded[1] != names[1]:
                if User.objects.filter(email=encoded[1]).exists():
                    log.warning("Account %s has the mail address of another one. Give account %s another one.", pk, pk)
                    continue
                User.objects.filter(pk=pk).update(email=encoded[1])
            keys = {login_key(name) for name in encoded if name}
            LoginName.objects.bulk_create([LoginName(key=key, user_id=pk) for key in sorted(keys)], ignore_conflicts=True)
            taken = LoginName.objects.filter(key__in=keys).exclude(user_id=pk)
            if taken.exists():
                log.warning("A login name of account %s is one of another account as well, and stays reserved for that. "
                            "Give account %s another one.", pk, pk)
            LoginName.objects.filter(user_id=pk).exclude(key__in=keys).delete()
        if not accounts:
            break
        last = accounts[-1][0]


class Migration(migrations.Migration):
    """It can be run again after an interruption: what was encoded stays so."""

    dependencies = [
        ('accounts', '0004_repeated_refresh'),
    ]

    operations = [
        # A server of the version before registers accounts until it is stopped.
        LockedTables(['accounts_user', 'accounts_loginname'], [
            migrations.RunPython(encode_domains, migrations.RunPython.noop),
        ]),
    ]
