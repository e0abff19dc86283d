"""The tables of what is told to the holders of bookings, which `manage.py deliver` reads and writes.

No foreign key of theirs is one of the database. It would have each row here lock its event or booking, so that bookings
would wait for deliveries.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef
from django.utils import timezone

from bookings.enums import BookingStatus
from ticks.db.fields import ExactCharField, ExactEmailField
from ticks.db.outgoing import Outgoing, OutgoingQuerySet
from ticks.languages import MAX_LANGUAGE
from ticks.text import MAX_SUBJECT

MAX_MAIL_NOTE = 1000
MAX_ANNOUNCEMENT = 5000
# If one of these changes, all live bookings of the event are notified.
NOTIFIED_FIELDS = ("name", "date", "time_zone", "venue")


def json_value(value) -> Any:
    """The value of one of these fields as JSON keeps it: a time in UTC, so that the same time is the same text."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value


class DeliveryPosition(models.Model):
    """How far an event's ledger has been turned into mails.

    An event that was never looked at has no row, and is read from its first entry on. `known_values` are the event's
    values that holders know, since the ledger has old and new values only as text for people. While many holders are
    notified of a change, `pending_change` has the change and the last booking that was notified.
    """

    # An event with this position is never read.
    NEVER = 2**62

    event = models.OneToOneField(
        "events.Event", models.CASCADE, primary_key=True, db_constraint=False, related_name="delivery_position"
    )
    sequence = models.PositiveBigIntegerField(default=0, help_text="The latest ledger entry that was read.")
    # The columns have the names that the fields had in an earlier version.
    known_values = models.JSONField(default=dict, db_column="told")
    pending_change = models.JSONField(null=True, db_column="telling")

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"event {self.event_id}, read to entry {self.sequence}"


class FormerHolder(models.Model):
    """Who held a booking until a ledger entry moved it to another person. The ledger has no mail addresses, since
    nobody can erase an entry; these rows are pruned."""

    booking = models.ForeignKey(
        "bookings.Booking", models.CASCADE, db_constraint=False, db_index=False, related_name="former_holders"
    )
    sequence = models.PositiveBigIntegerField(help_text="The ledger entry of the transfer.")
    name = models.CharField(max_length=301)
    email = ExactEmailField(max_length=254, blank=True)
    language = models.CharField(max_length=MAX_LANGUAGE, blank=True, default="", db_default="")
    account = models.PositiveBigIntegerField(null=True, help_text="The id of the account that had the booking.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["booking", "sequence"], name="former_holder_unique")]

    def __str__(self):
        return f"booking {self.booking_id} until entry {self.sequence}"


class MailOptions(NamedTuple):
    """What staff chose for the mails of an action: a note that stands in them, or that there are none. `changes` are
    the fields of the event that an edit changes, each with its old and its new value."""

    note: str = ""
    is_silent: bool = False
    changes: Any = ()


class MailChoice(models.Model):
    """What staff chose for the mails of some consecutive ledger entries, which one action wrote. It commits with them.
    Entries without a row are told as usual, so that a booking writes nothing here."""

    event = models.ForeignKey(
        "events.Event", models.CASCADE, db_constraint=False, db_index=False, related_name="mail_choices"
    )
    first = models.PositiveBigIntegerField(help_text="The sequence of the first entry.")
    last = models.PositiveBigIntegerField()
    note = models.TextField(max_length=MAX_MAIL_NOTE, blank=True)
    is_silent = models.BooleanField(default=False)
    # If nobody is told of an edit, this is what the next edit must not tell.
    changes = models.JSONField(default=list)

    class Meta:
        default_permissions = ()
        constraints = [
            # An entry belongs to one action. This also finds the row of an entry.
            models.UniqueConstraint(fields=["event", "last"], name="mail_choice_unique"),
            models.CheckConstraint(
                condition=models.Q(first__gte=1, last__gte=models.F("first")), name="mail_choice_has_entries"
            ),
        ]

    def __str__(self):
        return f"entries {self.first} to {self.last} of event {self.event_id}"

    @classmethod
    def attach(cls, entries: Sequence[Any]) -> None:
        """Gives each of these ledger entries its choice as `mail_choice`, None if there is none. One query, or none for
        no entries."""
        spans: dict[int, list[int]] = {}
        for entry in entries:
            entry.mail_choice = None
            spans.setdefault(entry.event_id, []).append(entry.sequence)
        wanted = models.Q()
        for event_id, sequences in spans.items():
            wanted |= models.Q(event=event_id, last__gte=min(sequences), first__lte=max(sequences))
        choices = list(cls.objects.filter(wanted)) if spans else []
        for entry in entries:
            for choice in choices:
                if choice.event_id == entry.event_id and choice.first <= entry.sequence <= choice.last:
                    entry.mail_choice = choice

    @classmethod
    def keep(cls, event_id: int, options: MailOptions | None, *, first: int, last: int) -> None:
        """Keeps what staff chose for the entries that they have just written, if they chose anything."""
        if options and last >= first:
            cls.objects.create(event_id=event_id, first=first, last=last, **options._asdict())


class Announcement(models.Model):
    """A mail that staff write to everybody who holds tickets of an event, waits for them, or both.

    Its ledger entry gives it its place among the other mails of a booking. It is turned into mails from a position of
    its own, the last booking that was looked at, so that the news of the event do not wait for it.
    """

    class Addressees(models.TextChoices):
        HOLDERS = "holders", "Everybody who holds tickets"
        WAITING = "waiting", "Everybody who waits"
        ALL = "all", "Everybody who holds tickets or waits"

    event = models.ForeignKey(
        "events.Event", models.CASCADE, db_constraint=False, db_index=False, related_name="announcements"
    )
    sequence = models.PositiveBigIntegerField(help_text="Its ledger entry.")
    addressees = models.CharField(max_length=16, choices=Addressees.choices)
    subject = models.CharField(max_length=MAX_SUBJECT)
    text = models.TextField(max_length=MAX_ANNOUNCEMENT)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, db_constraint=False, db_index=False, related_name="+"
    )
    # The SHA-256 of the author and of the key of the page that was confirmed.
    digest = ExactCharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    position = models.PositiveBigIntegerField(default=0, help_text="The last booking that was looked at.")
    mails = models.PositiveIntegerField(default=0, help_text="How many mails were made of it.")
    finished_at = models.DateTimeField(null=True, db_index=True, help_text="When the last of its mails was made.")
    stopped_at = models.DateTimeField(null=True)
    # These numbers stay when `prune` has deleted its mails.
    final_sent = models.PositiveIntegerField(
        null=True, db_index=True, help_text="How many of its mails were sent; null until none waits any more."
    )
    final_failed = models.PositiveIntegerField(
        null=True, help_text="How many of its mails were given up; null until none waits any more."
    )

    class Meta:
        default_permissions = ()
        permissions = [("write_to_holders", "Can write to holders of an event")]
        constraints = [models.UniqueConstraint(fields=["event", "sequence"], name="announcement_unique")]

    def __str__(self):
        return self.subject

    @property
    def statuses(self) -> list[str]:
        """The bookings that it is about."""
        return {"holders": [BookingStatus.COMPLETED], "waiting": [BookingStatus.WAITLISTED]}.get(
            self.addressees, [BookingStatus.COMPLETED, BookingStatus.WAITLISTED]
        )


class MailQuerySet(OutgoingQuerySet):
    def sendable(self):
        """The waiting mails that no earlier one holds up: those of one booking leave in order. A former holder whose
        address fails holds nobody else up."""
        same = {"booking": OuterRef("booking"), "email": OuterRef("email")}
        earlier = self.model.objects.waiting().filter(**same, sequence__lt=OuterRef("sequence"))
        return self.waiting().filter(~Exists(earlier))


class Mail(Outgoing):
    """One mail about one booking: the facts that it tells, to whom, and whether it has left.

    It is written out only when it is sent, with the booking's state of that moment.
    """

    booking = models.ForeignKey(
        "bookings.Booking", models.CASCADE, db_constraint=False, db_index=False, related_name="mails"
    )
    sequence = models.PositiveBigIntegerField(help_text="The event's ledger entry of the first fact.")
    # The entry of a transfer is told to two people.
    is_to_former = models.BooleanField(default=False)
    announcement = models.ForeignKey(
        Announcement, models.CASCADE, null=True, db_constraint=False, db_index=False, related_name="sent_as"
    )
    name = models.CharField(max_length=301)
    email = ExactEmailField(max_length=254)
    facts = models.JSONField(default=list)
    happened_at = models.DateTimeField(help_text="When the first fact happened.")
    # The column has the name that the field had in an earlier version.
    lease = ExactCharField(max_length=32, null=True, db_column="claim")

    objects = MailQuerySet.as_manager()

    class Meta(Outgoing.Meta):
        indexes = [
            *Outgoing.Meta.indexes,
            # It counts an announcement's mails by state, and finds those to some addresses.
            models.Index(fields=["announcement", "state", "email"], name="mail_by_announcement"),
        ]
        constraints = [
            *Outgoing.Meta.constraints,
            # A fact is told once, even if two processes read an event's ledger at the same time. The booking is first,
            # so that this also finds a booking's mails in order.
            models.UniqueConstraint(fields=["booking", "sequence", "is_to_former"], name="mail_unique"),
        ]

    def __str__(self):
        return f"mail about booking {self.booking_id}, entry {self.sequence}"


class LinkRequest(Outgoing):
    """A request for a mail with the links to all bookings of an address. Whether it has any is looked up only when the
    mail is written out, so that a request takes the same time for any address."""

    email = ExactEmailField(max_length=254)

    def __str__(self):
        return f"request {self.pk} for links"


class AnnouncementProgress(NamedTuple):
    """What has become of an announcement. `made` counts all its mails; those that are no longer kept are in no other
    number."""

    announcement: Announcement
    made: int
    sent: int
    waiting: int
    failed: int

    @property
    def is_under_way(self) -> bool:
        announcement = self.announcement
        return announcement.stopped_at is None and (announcement.finished_at is None or self.waiting > 0)
