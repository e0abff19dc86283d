import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('bookings', '0003_counts_and_line'),
        ('events', '0005_waitlisted_tickets'),
    ]

    operations = [
        migrations.CreateModel(
            name='InventoryCheck',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sequence', models.PositiveBigIntegerField(default=0, help_text="The ledger's latest entry that was read.")),
                ('findings', models.JSONField(default=list)),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(help_text='Empty while it runs.', null=True)),
            ],
        ),
        migrations.CreateModel(
            name='SalesHour',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField(db_index=True, help_text='When it began.')),
                ('bookings', models.PositiveIntegerField()),
                ('tickets', models.PositiveBigIntegerField()),
                ('held', models.PositiveIntegerField()),
                ('waiting', models.PositiveIntegerField()),
            ],
        ),
        migrations.AlterModelOptions(
            name='booking',
            options={'ordering': ['-pk'], 'permissions': [('cancel_booking', 'Can cancel booking'), ('transfer_booking', 'Can move booking to another name'), ('reorder_waitlist', 'Can move waiting bookings and serve them out of turn'), ('export_booking', 'Can export bookings and ledger')]},
        ),
        migrations.RemoveConstraint(
            model_name='ledgerentry',
            name='ledger_kind_fits_booking',
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='note',
            field=models.CharField(blank=True, db_default='', default='', help_text='Why, or what was edited.', max_length=1000),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='place',
            field=models.PositiveBigIntegerField(help_text='The waitlist number that it was moved to.', null=True),
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='kind',
            field=models.CharField(choices=[('opened', 'Opened'), ('booked', 'Booked'), ('waitlisted', 'Waitlisted'), ('promoted', 'Promoted'), ('reduced', 'Reduced'), ('cancelled', 'Cancelled'), ('capacity_changed', 'Capacity changed'), ('event_cancelled', 'Event cancelled'), ('moved', 'Moved in the waitlist'), ('transferred', 'Moved to another name'), ('edited', 'Event edited')], max_length=20),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('booking__isnull', True), ('kind__in', ['opened', 'capacity_changed', 'event_cancelled', 'edited'])), models.Q(('booking__isnull', False), ('kind__in', ['booked', 'waitlisted', 'promoted', 'reduced', 'cancelled', 'moved', 'transferred']), ('tickets__gte', 1)), _connector='OR'), name='ledger_kind_fits_booking'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'moved'), ('place__isnull', False)), models.Q(models.Q(('kind', 'moved'), _negated=True), ('place__isnull', True)), _connector='OR'), name='ledger_place_of_moved'),
        ),
        migrations.AddField(
            model_name='inventorycheck',
            name='event',
            field=models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='inventory_check', to='events.event'),
        ),
        migrations.AddField(
            model_name='saleshour',
            name='event',
            field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='hours', to='events.event'),
        ),
        migrations.AddConstraint(
            model_name='saleshour',
            constraint=models.UniqueConstraint(fields=('event', 'hour'), name='sales_hour_unique'),
        ),
    ]
