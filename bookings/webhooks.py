"""The tables of webhooks: who is told what by HTTP, each message, and each attempt at it.

The cursor of a webhook is its place in the change feed, so nothing of a booking has to wait for webhooks.
"""

from datetime import timedelta

from django.db import models
from django.db.models import Exists, ExpressionWrapper, F, OuterRef, Q
from django.utils import timezone

from bookings.enums import LedgerKind
from ticks.db.fields import ExactCharField
from ticks.db.outgoing import Outgoing, OutgoingQuerySet

# A message is tried for so long. If it fails all the time, its webhook is switched off.
GIVE_UP_AFTER = timedelta(days=1)
# The kind of a message that staff send to try a webhook. No ledger entry has it.
PING = "ping"
# Messages of this lane are pings.
PING_LANE = 0


class Webhook(models.Model):
    """An address that is told what the change feed has, from a place on."""

    class State(models.TextChoices):
        ON = "on", "On"
        OFF = "off", "Off"
        FAILED = "failed", "Switched off after failures"

    name = models.CharField(max_length=100, unique=True)
    url = ExactCharField(max_length=500)
    event = models.ForeignKey(
        "events.Event", models.CASCADE, null=True, db_constraint=False, related_name="+", help_text="Empty: all events."
    )
    kinds = models.JSONField(default=list, help_text="Kinds of ledger entries; empty: all.")
    state = models.CharField(max_length=16, choices=State.choices, default=State.ON)
    # What came before this place in the feed has been made into messages.
    cursor_number = models.PositiveBigIntegerField(default=0)
    cursor_sequence = models.PositiveBigIntegerField(default=0)
    # Secrets are derived from these and SECRET_KEY, without which they are worthless.
    nonce = ExactCharField(max_length=64)
    former_nonce = ExactCharField(max_length=64, blank=True, default="")
    former_until = models.DateTimeField(null=True, help_text="Until then the former secret signs as well.")
    secret_digest = ExactCharField(max_length=64, help_text="The SHA-256 of the secret that was shown.")
    failing_since = models.DateTimeField(null=True, help_text="The first failure after the latest success.")
    off_reason = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)
        permissions = [("manage_webhook", "Can manage webhooks")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=["on", "off", "failed"]), name="webhook_state_known"),
            models.CheckConstraint(
                condition=Q(former_nonce="", former_until__isnull=True)
                | (~Q(former_nonce="") & Q(former_until__isnull=False)),
                name="webhook_former_secret_ends",
            ),
        ]

    def __str__(self):
        return self.name


class MessageQuerySet(OutgoingQuerySet):
    def sendable(self):
        """The waiting messages that no earlier one of their lane holds up."""
        # The sum keeps the database from looking for earlier ones by webhook, among all that it has: MariaDB did so for
        # each message while its statistics were of a time when there were few.
        webhook = ExpressionWrapper(F("webhook_id") + 0, models.BigIntegerField())
        in_lane = self.model.objects.waiting().filter(lane=OuterRef("lane"), sequence__lt=OuterRef("sequence"))
        earlier = in_lane.alias(its_webhook=webhook).filter(its_webhook=OuterRef("webhook_id"))
        return self.waiting().filter(~Exists(earlier))


class WebhookMessage(Outgoing):
    """One change of the feed for one webhook. What it says is read from the ledger when it is sent.

    One that fails for too long goes on waiting, and its webhook is switched off, so that none is passed over.
    """

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="messages")
    # Messages of one lane are sent one after the other.
    lane = models.BigIntegerField(
        help_text="The booking; minus the event for what concerns the event itself; 0 for a ping."
    )
    event_id = models.PositiveBigIntegerField()
    sequence = models.PositiveBigIntegerField(help_text="Of the ledger entry within its event; for a ping its time.")
    kind = models.CharField(max_length=20, choices=[*LedgerKind.choices, (PING, "Ping")])
    created_at = models.DateTimeField(default=timezone.now)

    objects = MessageQuerySet.as_manager()

    class Meta(Outgoing.Meta):
        indexes = [
            # This index is declared, since InnoDB drops a foreign key's own index if another index begins with its
            # column. It has a webhook's messages in order.
            models.Index(fields=["webhook", "id"], name="webhook_message_by_webhook"),
            # It finds what is due of a webhook, and the messages of one state, latest first. Every query names its
            # webhooks, so that the index of `Outgoing` is not needed.
            models.Index(fields=["webhook", "state", "due_at"], name="webhook_message_by_due"),
        ]
        constraints = [
            *Outgoing.Meta.constraints,
            # An entry is told to a webhook once, even if two processes read the feed at the same time. The lane is
            # first, so that this also finds the earlier messages of a lane (`sendable`).
            models.UniqueConstraint(fields=["lane", "webhook", "sequence"], name="webhook_message_unique"),
        ]

    def __str__(self):
        return f"{self.identity} of webhook {self.webhook_id}"

    def is_exhausted(self, now):
        # A ping is for somebody who waits for its answer.
        return self.kind == PING or super().is_exhausted(now)

    @property
    def exhausted_state(self):
        return self.State.GIVEN_UP if self.kind == PING else self.State.WAITING

    @property
    def identity(self) -> str:
        """The `webhook-id`. It stays the same however often the message is sent."""
        return f"msg_{self.webhook_id}_{self.event_id}_{self.sequence}"


class WebhookAttempt(models.Model):
    """One request, and what was answered."""

    message = models.ForeignKey(WebhookMessage, models.CASCADE, related_name="log")
    at = models.DateTimeField(default=timezone.now)
    milliseconds = models.PositiveIntegerField()
    status = models.PositiveIntegerField(null=True, help_text="Of the answer; empty if there was none.")
    answer = models.TextField(blank=True, help_text="The first part of the answer, or why there was none.")

    class Meta:
        default_permissions = ()

    def __str__(self):
        return f"{self.status or 'no answer'} after {self.milliseconds} ms"
