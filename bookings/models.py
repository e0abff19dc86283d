from datetime import datetime, timedelta
from functools import cache
from itertools import groupby
from operator import itemgetter

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import connection, models
from django.db.models import F, Q
from django.db.models.base import ModelState
from django.utils import timezone
from django.utils.functional import cached_property

from bookings import outbox, webhooks  # noqa: F401 (Django finds more models there)
from bookings.enums import BookingStatus, LedgerKind
from bookings.rules import part_of_waitlist
from events.models import Event
from ticks.db.fields import ExactCharField, ExactEmailField, ExactTextField
from ticks.languages import MAX_LANGUAGE
from ticks.text import MISLEADING

MAX_NOTE = 1000
# The note of the entries of bookings that were cancelled with their event.
CANCELLED_WITH_EVENT = "the event was cancelled"
# A ledger entry of a transfer whose note begins with this text marks voided tickets. A name has no line break, so no
# other note begins like this.
VOIDED_NOTE = "old codes voided:\n"
# The note of an entry that only says that staff wrote to holders. No summary of an edit begins so.
WROTE_NOTE = "wrote to "
LIVE = [BookingStatus.COMPLETED, BookingStatus.WAITLISTED]


class BookingQuerySet(models.QuerySet):
    def live(self):
        return self.filter(status__in=LIVE)

    def waitlisted(self):
        # The number is set exactly while a booking waits, and it is indexed in the waitlist's order. The status is not.
        return self.filter(waitlist_number__isnull=False)

    # Each filter has a second value that no row has. For one value MariaDB uses the index as a look-up, and then skips
    # row after row to a position. For two values it reads ranges, which begin at the position if the order begins with
    # the column.
    def of_event(self, event_id: int):
        return self.filter(event_id__in=[event_id, -1])

    def with_status(self, status: str):
        bookings = self.filter(status__in=[status, ""])
        if status not in LIVE:
            return bookings
        # Those of a cancelled event are about to be cancelled. This is neither a join nor EXISTS, for which MariaDB
        # would read all events first.
        event = Event.objects.filter(pk=models.OuterRef("event")).order_by()
        deleted_at = models.Subquery(event.values("deleted_at"))
        return bookings.alias(event_deleted_at=deleted_at).filter(event_deleted_at=None)


class Booking(models.Model):
    """Some tickets of one event, held by or awaited for one person.

    Status, tickets and place in the waitlist change only in `bookings.services`.
    """

    # People use it: it is spoken on the phone and printed, and it cannot be guessed (services.references).
    reference = ExactCharField(max_length=16, unique=True, editable=False)
    event = models.ForeignKey(Event, models.PROTECT, related_name="bookings", editable=False)
    # Guests have no user.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="bookings", editable=False
    )
    # These are as long as an account's names, which the one-ticket contract copies.
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
    # This is the SHA-256 of the guest's token.
    token_hash = ExactCharField(max_length=64, null=True, editable=False)
    # The names and the mail address, folded for search (`ticks.search`). It must be written whenever they are.
    search_text = ExactTextField(null=True, editable=False)
    # This is set only while the booking is live and was made by the one-ticket contract, under which a user has at most
    # one booking of an event. It is a nullable column, since MySQL has no conditional unique index.
    one_ticket_holder = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+", db_index=False, editable=False
    )
    # Empty, if the request that booked asked for none that mails can be written in.
    language = models.CharField(max_length=MAX_LANGUAGE, blank=True, default="", db_default="", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = BookingQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        permissions = [
            ("cancel_booking", "Can cancel booking"),
            ("transfer_booking", "Can move booking to another name"),
            ("reorder_waitlist", "Can move waiting bookings and serve them out of turn"),
            ("export_booking", "Can export bookings and ledger"),
        ]
        # These are the orders of the lists. In InnoDB every index ends with the id.
        indexes = [
            # This index is declared, since InnoDB drops a foreign key's own index if another index begins with its
            # column.
            models.Index(fields=["event", "id"], name="booking_by_event"),
            models.Index(fields=["status"], name="booking_by_status"),
            models.Index(fields=["event", "status"], name="booking_by_event_and_status"),
            # This index finds the earliest waiting bookings of one size.
            models.Index(
                fields=["event", "status", "tickets_reserved", "waitlist_number"], name="booking_waiting_by_size"
            ),
        ]
        constraints = [
            # This index has the waitlist in order, and gives a booking's position in it.
            models.UniqueConstraint(fields=["event", "waitlist_number"], name="booking_waitlist_number_unique"),
            # The user is first, so that this also serves as the foreign key's index. Otherwise MySQL would make
            # another.
            models.UniqueConstraint(fields=["one_ticket_holder", "event"], name="booking_one_ticket_a_user"),
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
        return f"{self.reference} ({f'{self.first_name} {self.last_name}'.strip()})"

    @property
    def full_name(self) -> str:
        """The text as staff read it, without characters that reverse the text around them or that are invisible."""
        name = MISLEADING.sub("", f"{self.first_name} {self.last_name}").strip()
        return name or self.reference

    @property
    def holder_language(self) -> str:
        """The language of what the holder gets: the account's, if it has one. It reads the account."""
        of_account = self.user.language if self.user_id else ""
        return of_account or self.language or settings.DEFAULT_LANGUAGE

    @classmethod
    def drafted(cls, **values) -> "Booking":
        """A new booking with these values; it has no dates unless they are given. Django's constructor is ten times
        slower."""
        booking = cls.__new__(cls)
        booking.__dict__ = {**blank_columns(), **values, "_state": ModelState()}
        return booking

    @cached_property
    def waitlist_position(self) -> int | None:
        """Place in the waitlist, from 1; None when not waiting. For lists, `attach_positions` needs fewer queries."""
        attach_positions([self])
        return self.waitlist_position


@cache
def blank_columns() -> dict:
    blank = Booking(created_at=None, updated_at=None)
    return {field.attname: getattr(blank, field.attname) for field in Booking._meta.concrete_fields}


class LinePart(models.Model):
    """How many bookings wait with a number of this part of an event's waitlist (`bookings.rules`)."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="+", db_index=False)
    first_number = models.PositiveBigIntegerField()
    # The number is signed and has no CHECK, since a booking that leaves is an insertion of -1 that finds its row
    # (`sql.add_counts`).
    waiting = models.IntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "first_number"], name="line_part_unique")]

    def __str__(self):
        return f"{self.event_id} from {self.first_number}: {self.waiting}"


# The numbers in one part of a waitlist up to the last one that is asked for, and how many wait in the parts before.
PLACES = (
    "SELECT event_id, (SELECT COALESCE(SUM(waiting), 0)"  # noqa: S608
    f" FROM {LinePart._meta.db_table} WHERE event_id = %s AND first_number < %s), waitlist_number"
    f" FROM {Booking._meta.db_table} WHERE event_id = %s AND waitlist_number BETWEEN %s AND %s"
)


def attach_positions(bookings: list[Booking]) -> None:
    """Looks up the waitlist positions of several bookings in one query, none if nobody waits."""
    waiting = [booking for booking in bookings if booking.waitlist_number is not None]
    last: dict[tuple[int, int], int] = {}
    for booking in waiting:
        part = booking.event_id, part_of_waitlist(booking.waitlist_number)
        last[part] = max(booking.waitlist_number, last.get(part, 0))
    values = [value for (event_id, part), number in last.items() for value in (event_id, part, event_id, part, number)]
    positions = {}
    if waiting:
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join([PLACES] * len(last)), values)
            rows = sorted(cursor.fetchall())
        for (event_id, ahead), places in groupby(rows, key=itemgetter(0, 1)):
            for position, place in enumerate(places, int(ahead) + 1):
                positions[event_id, place[2]] = position
    for booking in bookings:
        booking.waitlist_position = positions.get((booking.event_id, booking.waitlist_number))


def show_cancelled(bookings: list[Booking]) -> None:
    """Gives live bookings of cancelled events the state that they are about to get.

    If an event has many bookings, their rows are changed part by part after the event is cancelled.
    """
    live = [booking for booking in bookings if booking.status in LIVE]
    models.prefetch_related_objects(live, models.Prefetch("event", Event.objects.only("deleted_at")))
    for booking in live:
        if booking.event.deleted_at:
            booking.status, booking.waitlist_number = BookingStatus.CANCELLED, None
            booking.updated_at = booking.event.deleted_at


class TicketEpoch(models.Model):
    """How often the tickets of a booking were voided. A booking without a row is in epoch 0, as almost all are: so a
    new booking writes nothing here."""

    booking = models.OneToOneField(Booking, models.CASCADE, primary_key=True, related_name="ticket_epoch")
    epoch = models.PositiveIntegerField()

    def __str__(self):
        return f"{self.booking_id} in epoch {self.epoch}"


class SalesHour(models.Model):
    """The totals of one hour of an event's sales, so that charts and the day's numbers need not read bookings.

    They follow from the ledger. `bookings` are those made in the hour, and `tickets` what they asked for, including
    waitlisted ones. `held` tickets and `waiting` bookings are the counts at the hour's latest entry.
    """

    event = models.ForeignKey(Event, models.PROTECT, related_name="hours", db_index=False)
    hour = models.DateTimeField(db_index=True, help_text="When it began.")
    bookings = models.PositiveIntegerField()
    tickets = models.PositiveBigIntegerField()
    held = models.PositiveIntegerField()
    waiting = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "hour"], name="sales_hour_unique")]

    def __str__(self):
        return f"{self.event_id} at {self.hour:%Y-%m-%d %H}:00"


class InventoryCheck(models.Model):
    """The latest comparison of an event's counts, bookings and ledger: its time, and the differences."""

    event = models.OneToOneField(Event, models.CASCADE, related_name="inventory_check")
    sequence = models.PositiveBigIntegerField(default=0, help_text="The ledger's latest entry that was read.")
    findings = models.JSONField(default=list)
    started_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, help_text="Empty while it runs.")

    # If a check has not ended after this time, its worker is lost. A check of 1,000,000 bookings takes a few minutes.
    STALE = timedelta(minutes=10)

    def __str__(self):
        return f"check of event {self.event_id}"

    def is_running(self, now: datetime) -> bool:
        return self.finished_at is None and self.started_at >= now - self.STALE


class AppendOnly(Exception):
    """Ledger entries are written once; nothing updates or deletes them."""


class LedgerQuerySet(models.QuerySet):
    def update(self, **kwargs):
        raise AppendOnly

    def delete(self):
        raise AppendOnly


class LedgerEntry(models.Model):
    """One change of an event's tickets: it is written in the transaction that made the change, and never changed."""

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
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        help_text="Empty: a holder without a login.",
    )
    note = models.CharField(
        max_length=MAX_NOTE, blank=True, db_default="", default="", help_text="Why, or what was edited."
    )
    place = models.PositiveBigIntegerField(null=True, help_text="The waitlist number that it was moved to.")
    created_at = models.DateTimeField(default=timezone.now)

    objects = LedgerQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "ledger entries"
        constraints = [
            models.UniqueConstraint(fields=["event", "sequence"], name="ledger_sequence_unique"),
            models.CheckConstraint(condition=Q(sequence__gte=1), name="ledger_sequence_from_one"),
            models.CheckConstraint(
                condition=Q(kind__in=["opened", "capacity_changed", "event_cancelled", "edited"], booking__isnull=True)
                | Q(
                    kind__in=["booked", "waitlisted", "promoted", "reduced", "cancelled", "moved", "transferred"],
                    booking__isnull=False,
                    tickets__gte=1,
                ),
                name="ledger_kind_fits_booking",
            ),
            models.CheckConstraint(
                condition=Q(kind="moved", place__isnull=False) | (~Q(kind="moved") & Q(place__isnull=True)),
                name="ledger_place_of_moved",
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
    """A client's key for one request that writes: inserted in the request's transaction, with its first answer."""

    # This is the SHA-256 of the caller and the key.
    digest = ExactCharField(max_length=64, unique=True)
    # This is the SHA-256 of what was asked for.
    fingerprint = ExactCharField(max_length=64)
    booking = models.ForeignKey(
        Booking, models.CASCADE, null=True, related_name="+", help_text="Made or cancelled; empty for events."
    )
    answer = models.JSONField(help_text="The booking or event as it was first answered, without the guest's token.")
    # A new booking's token is derived from this nonce, which is worthless without SECRET_KEY.
    token_nonce = ExactCharField(max_length=64, null=True)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self):
        return f"key of booking {self.booking_id}" if self.booking_id else "key of an event"


class FeedPart(models.Model):
    """Some consecutive ledger entries of one event, and their place in the change feed (`bookings.services.changes`).

    Numbers rise in the order in which parts are committed, which ids of ledger entries do not.
    """

    number = models.PositiveBigIntegerField(primary_key=True, help_text="1, 2, 3 ... without gaps.")
    # This is no foreign key. To insert a part, that would lock the event's row, which bookings wait for. And a part
    # outlives a rehearsal's event, so that its number is not given out again.
    event_id = models.PositiveBigIntegerField()
    first = models.PositiveBigIntegerField(help_text="The sequence of its first entry.")
    last = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event_id", "first"], name="feed_part_unique"),
            models.CheckConstraint(condition=Q(number__gte=1), name="feed_part_number_from_one"),
            models.CheckConstraint(condition=Q(first__gte=1, last__gte=F("first")), name="feed_part_has_entries"),
        ]

    def __str__(self):
        return f"{self.number}: entries {self.first} to {self.last} of event {self.event_id}"
