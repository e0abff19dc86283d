"""The tables of what is told to the holders of bookings, which `manage.py deliver` reads and writes.

No foreign key of theirs is one of the database. It would have each row here lock its event or booking, so that bookings
would wait for deliveries.
"""

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from ticks.db.fields import ExactCharField, ExactEmailField


class DeliveryPosition(models.Model):
    """How far an event's ledger has been turned into mails.

    An event that was never looked at has no row, and is read from its first entry on. `told` has the values of the
    event that were told last, since the ledger has old and new values only as text for people. While a change of the
    event is being told to many bookings, `telling` has the changes and the last booking that they were told to.
    """

    # An event with this position is never read.
    NEVER = 2**62

    event = models.OneToOneField(
        "events.Event", models.CASCADE, primary_key=True, db_constraint=False, related_name="delivery_position"
    )
    sequence = models.PositiveBigIntegerField(default=0, help_text="The latest ledger entry that was read.")
    told = models.JSONField(default=dict)
    telling = models.JSONField(null=True)

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
    account = models.PositiveBigIntegerField(null=True, help_text="The id of the account that had the booking.")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["booking", "sequence"], name="former_holder_unique")]

    def __str__(self):
        return f"booking {self.booking_id} until entry {self.sequence}"


class Mail(models.Model):
    """One mail about one booking: the facts that it tells, to whom, and whether it has left.

    It is written out only when it is sent, with the booking's state of that moment. Whoever sends it sets `claim`, and
    `due_at` to the end of the lease; if that passes, anybody may claim it again.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        GIVEN_UP = "given_up", "Given up"

    booking = models.ForeignKey(
        "bookings.Booking", models.CASCADE, db_constraint=False, db_index=False, related_name="mails"
    )
    sequence = models.PositiveBigIntegerField(help_text="The event's ledger entry of the first fact.")
    # The entry of a transfer is told to two people.
    is_to_former = models.BooleanField(default=False)
    name = models.CharField(max_length=301)
    email = ExactEmailField(max_length=254)
    facts = models.JSONField(default=list)
    happened_at = models.DateTimeField(help_text="When the first fact happened.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    due_at = models.DateTimeField()
    give_up_at = models.DateTimeField(help_text="A mail that fails later than this is given up.")
    attempts = models.PositiveIntegerField(default=0)
    repeats = models.PositiveIntegerField(default=0, help_text="How often staff sent it again.")
    error = models.CharField(max_length=200, blank=True)
    claim = ExactCharField(max_length=32, null=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()
        indexes = [models.Index(fields=["state", "due_at"], name="mail_by_state_and_due")]
        constraints = [
            # A fact is told once, even if two processes read an event's ledger at the same time. The booking is first,
            # so that this also finds a booking's mails in order.
            models.UniqueConstraint(fields=["booking", "sequence", "is_to_former"], name="mail_unique"),
            models.CheckConstraint(
                condition=models.Q(state="sent", sent_at__isnull=False)
                | models.Q(state__in=["waiting", "given_up"], sent_at__isnull=True),
                name="mail_sent_has_time",
            ),
        ]

    def __str__(self):
        return f"mail about booking {self.booking_id}, entry {self.sequence}"


def old_mails(moment: datetime, *, days: int) -> list[models.QuerySet]:
    """What had been kept for so many days at this moment: mails that left or were given up, and former holders."""
    oldest = moment - timedelta(days=days)
    done = Mail.objects.filter(state__in=[Mail.State.SENT, Mail.State.GIVEN_UP], due_at__lt=oldest)
    return [done, FormerHolder.objects.filter(created_at__lt=oldest)]
