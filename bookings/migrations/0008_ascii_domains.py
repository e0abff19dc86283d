import idna
from django.db import migrations
from django.db.models import Max

from ticks.db.migrations import LockedTables

ROWS = 10_000


def encode_domain(email):
    """The address with its domain in ASCII, as `ticks.text.normalise_email` had it when this migration was written."""
    mailbox, sign, domain = email.rpartition("@")
    try:
        return email if domain.isascii() else mailbox + sign + idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return email


def encode_domains(apps, schema_editor):
    bookings = apps.get_model("bookings", "Booking").objects.order_by("pk")
    last = bookings.aggregate(last=Max("pk"))["last"] or 0
    for low in range(0, last + 1, ROWS):
        for pk, email in bookings.filter(pk__gte=low, pk__lt=low + ROWS).values_list("pk", "email"):
            if encode_domain(email) != email:
                bookings.filter(pk=pk).update(email=encode_domain(email))


class Migration(migrations.Migration):
    """It can be run again after an interruption: what was encoded stays so."""

    dependencies = [
        ('bookings', '0007_roles'),
    ]

    operations = [
        # A server of the version before books until it is stopped.
        LockedTables(['events_event', 'bookings_booking'], [
            migrations.RunPython(encode_domains, migrations.RunPython.noop),
        ]),
    ]
