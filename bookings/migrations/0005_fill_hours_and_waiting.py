from django.db import migrations

ENTRIES = 10_000
WAITED_FOR = """
UPDATE events_event SET waitlisted_tickets = (
  SELECT COALESCE(SUM(tickets_reserved), 0) FROM bookings_booking
  WHERE event_id = events_event.id AND status = 'waitlisted'
)
"""


def fill_hours(apps, schema_editor):
    SalesHour = apps.get_model("bookings", "SalesHour")
    # Should it be run again after it was interrupted.
    SalesHour.objects.all().delete()
    for event in apps.get_model("events", "Event").objects.order_by("pk").values_list("pk", flat=True):
        SalesHour.objects.bulk_create(hours_of(apps, event), batch_size=1000)


def hours_of(apps, event):
    LedgerEntry, SalesHour = apps.get_model("bookings", "LedgerEntry"), apps.get_model("bookings", "SalesHour")
    hours, total, last = {}, 0, 0
    while True:
        page = list(
            LedgerEntry.objects.filter(event=event, sequence__gt=last)
            .order_by("sequence")
            .values_list("sequence", "kind", "tickets", "available_after", "waitlisted_after", "created_at")[:ENTRIES]
        )
        for last, kind, tickets, available, waiting, moment in page:
            if kind in ("opened", "capacity_changed"):
                total += tickets
            if kind == "opened":
                continue
            begin = moment.replace(minute=0, second=0, microsecond=0)
            hour = hours.setdefault(begin, SalesHour(event_id=event, hour=begin, bookings=0, tickets=0))
            if kind in ("booked", "waitlisted"):
                hour.bookings += 1
                hour.tickets += tickets
            hour.held, hour.waiting = total - available, waiting
        if len(page) < ENTRIES:
            return hours.values()


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0004_notes_hours_checks'),
    ]

    operations = [
        migrations.RunSQL(WAITED_FOR, migrations.RunSQL.noop),
        migrations.RunPython(fill_hours, migrations.RunPython.noop, atomic=True),
    ]
