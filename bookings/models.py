from itertools import accumulate, groupby, islice, pairwise

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import connection, models
from django.db.models import Q
from django.utils import timezone
from django.utils.functional import cached_property

from bookings.statuses import BookingStatus, LedgerKind
from events.models import Event
from ticks.columns import ExactCharField, ExactEmailField

LIVE = [BookingStatus.COMPLETED, BookingStatus.WAITLISTED]


class BookingQuerySet(models.QuerySet):
    def live(self):
        return self.filter(status__in=LIVE)

    def waitlisted(self):
        # Set exactly while waiting, and indexed in the waitlist's order; the status is not.
        return self.filter(waitlist_number__isnull=False)


class Booking(models.Model):
    """Some tickets of one event, held by or awaited for one person.

    Status, tickets and place in the waitlist change only in `bookings.services`.
    """

    # For people: said on the phone, printed, not guessable (services.references).
    reference = ExactCharField(max_length=16, unique=True, editable=False)
    event = models.ForeignKey(Event, models.PROTECT, related_name="bookings", editable=False)
    # Empty for guests.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="bookings", editable=False
    )
    # As long as an account's names, which the one-ticket contract takes over.
    first_name = models.CharField(max_length=150)
    last_name = models.CharField(max_length=150, blank=True)
    email = ExactEmailField(max_length=254, blank=True, db_index=True)
    tickets_reserved = models.PositiveIntegerField(
        editable=False,
        validators=[MinValueValidator(1)],
        help_text="Tickets held or waited for; once cancelled, how many it had.",
    )
    status = models.CharField(max_length=16, choices=BookingStatus.choices, editable=False)
    waitlist_number = models.PositiveBigIntegerField(
        null=True, editable=False, help_text="Orders the event's waitlist; set only while waiting."
    )
    # SHA-256 of the guest's token.
    token_hash = ExactCharField(max_length=64, null=True, editable=False)
    # Set only while the booking is live and was made by the one-ticket contract, where a user has at
    # most one an event. A nullable column, since MySQL has no conditional unique index.
    one_ticket_holder = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False, editable=False
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = BookingQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        # The orders of the lists; in InnoDB every index ends with the id.
        indexes = [
            # Said outright: InnoDB drops a foreign key's own index where another begins with its column.
            models.Index(fields=["event", "id"], name="booking_by_event"),
            models.Index(fields=["status"], name="booking_by_status"),
            models.Index(fields=["event", "status"], name="booking_by_event_and_status"),
            # The earliest waiting bookings of one size.
            models.Index(
                fields=["event", "status", "tickets_reserved", "waitlist_number"], name="booking_waiting_by_size"
            ),
        ]
        constraints = [
            # The waitlist in order, and a booking's position in it.
            models.UniqueConstraint(fields=["event", "waitlist_number"], name="booking_waitlist_number_unique"),
            models.UniqueConstraint(fields=["event", "one_ticket_holder"], name="booking_one_ticket_a_user"),
            models.CheckConstraint(condition=Q(tickets_reserved__gte=1), name="booking_has_tickets"),
            models.CheckConstraint(
                condition=Q(status__in=["completed", "waitlisted", "cancelled"]), name="booking_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status="waitlisted", waitlist_number__isnull=False)
                | Q(~Q(status="waitlisted"), waitlist_number__isnull=True),
                name="booking_number_while_waiting",
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=True) | Q(token_hash__isnull=True), name="booking_token_for_guests"
            ),
            models.CheckConstraint(
                condition=Q(one_ticket_holder__isnull=True) | ~Q(status="cancelled"),
                name="booking_one_ticket_while_live",
            ),
        ]

    def __str__(self):
        return f"{self.reference} ({self.first_name} {self.last_name})"

    @cached_property
    def waitlist_position(self) -> int | None:
        """Place in the line, from 1; None when not waiting. `attach_positions` spares lists the queries."""
        attach_positions([self])
        return self.waitlist_position


def attach_positions(bookings: list[Booking]) -> None:
    """Looks up the waitlist positions of several bookings in one query, none if nobody waits."""
    for booking in bookings:
        booking.waitlist_position = None
    waiting = [booking for booking in bookings if booking.waitlist_number is not None]
    waiting.sort(key=lambda booking: (booking.event_id, booking.waitlist_number))
    if not waiting:
        return
    # How many there are from one to the next: each entry of the index is counted once.
    one = f"SELECT COUNT(*) FROM {Booking._meta.db_table} WHERE event_id = %s AND waitlist_number BETWEEN %s AND %s"  # noqa: S608
    lines = [list(line) for _, line in groupby(waiting, key=lambda booking: booking.event_id)]
    spans = [
        value
        for line in lines
        for before, booking in pairwise([None, *line])
        for value in (booking.event_id, before.waitlist_number + 1 if before else 1, booking.waitlist_number)
    ]
    numbered = " UNION ALL ".join(f"SELECT {number}, ({one})" for number in range(len(waiting)))
    with connection.cursor() as cursor:
        cursor.execute(numbered, spans)
        counted = dict(cursor.fetchall())
    steps = iter(counted[number] for number in range(len(waiting)))
    for line in lines:
        for booking, position in zip(line, accumulate(islice(steps, len(line))), strict=True):
            booking.waitlist_position = position


class AppendOnly(Exception):
    """Ledger entries are written once; nothing updates or deletes them."""


class LedgerQuerySet(models.QuerySet):
    def update(self, **kwargs):
        raise AppendOnly

    def delete(self):
        raise AppendOnly


class LedgerEntry(models.Model):
    """One change of an event's tickets: written in the transaction that made it, never again."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="ledger", db_index=False)
    sequence = models.PositiveBigIntegerField(help_text="1, 2, 3 ... for each event, without gaps.")
    booking = models.ForeignKey(Booking, models.PROTECT, null=True, related_name="ledger")
    kind = models.CharField(max_length=20, choices=LedgerKind.choices)
    tickets = models.IntegerField(
        help_text="How many tickets it speaks of: the total when opened, the difference when the capacity changed."
    )
    available_after = models.PositiveIntegerField()
    waitlisted_after = models.PositiveIntegerField(help_text="Waiting bookings.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", help_text="Empty: a guest."
    )
    created_at = models.DateTimeField(default=timezone.now)

    objects = LedgerQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["event", "sequence"], name="ledger_sequence_unique"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="ledger_sequence_from_one"),
            models.CheckConstraint(
                condition=Q(kind__in=["opened", "capacity_changed", "event_cancelled"], booking__isnull=True)
                | Q(
                    kind__in=["booked", "waitlisted", "promoted", "reduced", "cancelled"],
                    booking__isnull=False,
                    tickets__gte=1,
                ),
                name="ledger_kind_fits_booking",
            ),
        ]

    def __str__(self):
        return f"{self.get_kind_display()} #{self.sequence}"

    def save(self, *args, **kwargs):
        if not self._state.adding:
            raise AppendOnly
        super().save(*args, **kwargs)

    def delete(self, *args, **kwargs):
        raise AppendOnly


class IdempotencyKey(models.Model):
    """A client's key for one booking: inserted in the booking's transaction, with its first answer."""

    # SHA-256 of the caller and the key.
    digest = ExactCharField(max_length=64, unique=True)
    # SHA-256 of the booking that was asked for.
    fingerprint = ExactCharField(max_length=64)
    booking = models.ForeignKey(Booking, models.CASCADE, related_name="+")
    answer = models.JSONField(help_text="The booking as it was first answered, without the guest's token.")
    # What the guest's token is derived from; worthless without SECRET_KEY.
    token_nonce = ExactCharField(max_length=64, null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self):
        return f"key of booking {self.booking_id}"
