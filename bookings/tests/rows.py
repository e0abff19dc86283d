"""An empty database after a test that committed, for a tenth of what Django's flush takes.

The flush makes every table anew, and then all permissions. It also takes away the groups that a migration made.
"""

from contextlib import contextmanager

from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connection, transaction

from bookings.roles import ROLES

# Made by migrations, and by nothing that Ticks does afterwards.
KEPT = {"django_content_type", "auth_permission", "auth_group", "auth_group_permissions"}


def delete_rows() -> None:
    models = apps.get_models(include_auto_created=True)
    tables = {model._meta.db_table for model in models if model._meta.managed} - KEPT
    with patience(), connection.constraint_checks_disabled(), transaction.atomic():
        for table in sorted(tables):
            with connection.cursor() as cursor:
                cursor.execute(f"DELETE FROM {connection.ops.quote_name(table)}")
        Group.objects.exclude(name__in=ROLES).delete()


@contextmanager
def patience():
    """A thread of the test may still be on its way out with a lock in its hands."""
    if connection.vendor == "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SESSION.innodb_lock_wait_timeout")
        [usual] = cursor.fetchone()
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 30")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = %s", [usual])
