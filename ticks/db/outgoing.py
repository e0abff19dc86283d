"""Messages that leave the process. They wait in a table until one process leases them, sends them and marks each.

Any number of processes may share a table, and each may be killed at any time. A message that was sent and not marked is
sent a second time; none is lost.
"""

import random
import time
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import connection, models
from django.utils import timezone

from ticks.db.fields import ExactCharField
from ticks.db.transactions import in_one_transaction

# After this time anybody may lease the message again.
LEASE = timedelta(minutes=5)
# The pause before a message is tried again doubles with each attempt.
FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
# A message may be old when its receiver is back. It is given up only after so many attempts of its own.
LEAST_ATTEMPTS = 8


class OutgoingQuerySet(models.QuerySet):
    def waiting(self):
        return self.filter(state=self.model.State.WAITING)

    def lease_due(self, *, limit: int, now: datetime | None = None) -> list["Outgoing"]:
        """The messages that have been due for longest, each leased to the caller for the time of `LEASE`.

        The query set chooses which ones may be sent at all. Raises `Busy`, `Unavailable`, `OutcomeUnknown`.
        """
        return in_one_transaction(self._lease_due)(limit=limit, now=now or timezone.now())

    def _lease_due(self, *, limit: int, now: datetime) -> list["Outgoing"]:
        # The ids are read first, without locks. A lock on the whole query would also lock the rows of its subqueries.
        due = self.waiting().filter(due_at__lte=now).order_by("due_at")
        ids = list(due.values_list("pk", flat=True)[:limit])
        rows = self.model._default_manager.filter(pk__in=ids)
        can_skip = connection.features.has_select_for_update_skip_locked
        locked = rows.select_for_update(skip_locked=can_skip).order_by("due_at")
        messages = [row for row in locked if row.state == row.State.WAITING and row.due_at <= now]
        lease = uuid.uuid4().hex
        for message in messages:
            message.lease = lease
        rows.filter(pk__in=[message.pk for message in messages]).update(lease=lease, due_at=now + LEASE)
        return messages

    def send_again(self, *, keep_for: timedelta) -> int:
        """Makes these messages due at once, also those that were sent or given up, and has them tried for `keep_for`.
        Leaves out those that are being sent at the moment. Returns how many it took."""
        now = timezone.now()
        return self.filter(lease=None).update(
            state=self.model.State.WAITING,
            due_at=now,
            give_up_at=now + keep_for,
            attempts=0,
            repeats=models.F("repeats") + 1,
            error="",
            sent_at=None,
        )


class Outgoing(models.Model):
    """A message that waits, was sent, or was given up. Whoever sends it holds its `lease`, until `due_at`."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        SENT = "sent", "Sent"
        GIVEN_UP = "given_up", "Given up"

    # What becomes of a message that has failed for too long.
    exhausted_state = State.GIVEN_UP

    state = models.CharField(max_length=16, choices=State.choices, default=State.WAITING)
    due_at = models.DateTimeField()
    give_up_at = models.DateTimeField(help_text="A message that fails later than this is given up.")
    attempts = models.PositiveIntegerField(default=0)
    repeats = models.PositiveIntegerField(default=0, help_text="How often staff sent it again.")
    error = models.CharField(max_length=200, blank=True)
    lease = ExactCharField(max_length=32, null=True)
    sent_at = models.DateTimeField(null=True)

    objects = OutgoingQuerySet.as_manager()

    class Meta:
        abstract = True
        default_permissions = ()
        indexes = [models.Index(fields=["state", "due_at"], name="%(class)s_by_state_and_due")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state="sent", sent_at__isnull=False)
                | models.Q(state__in=["waiting", "given_up"], sent_at__isnull=True),
                name="%(class)s_sent_has_time",
            )
        ]

    def leased(self) -> models.QuerySet:
        """The row, as long as this process has its lease: after the lease another process may have got it."""
        return type(self)._default_manager.filter(pk=self.pk, lease=self.lease)

    @in_one_transaction
    def mark_sent(self) -> None:
        self.leased().update(
            state=self.State.SENT, sent_at=timezone.now(), attempts=self.attempts + 1, lease=None, error=""
        )

    @in_one_transaction
    def postpone(self, error: str) -> bool:
        """Counts a failed attempt. The next one comes after a pause; a message that has failed for too long is given
        up. Returns whether it has."""
        now = timezone.now()
        self.attempts += 1
        is_exhausted = self.is_exhausted(now)
        self.leased().update(
            state=self.exhausted_state if is_exhausted else self.State.WAITING,
            attempts=self.attempts,
            due_at=now + backoff(self.attempts, first=FIRST_PAUSE, longest=LONGEST_PAUSE),
            error=self.shortened(error),
            lease=None,
        )
        return is_exhausted

    def is_exhausted(self, now: datetime) -> bool:
        return now >= self.give_up_at and self.attempts >= LEAST_ATTEMPTS

    @in_one_transaction
    def give_up(self, error: str) -> None:
        self.leased().update(state=self.State.GIVEN_UP, error=self.shortened(error), lease=None)

    @in_one_transaction
    def store_error(self, error: str) -> None:
        """Notes an error that is not this message's fault, so that no attempt is counted."""
        self.leased().update(error=self.shortened(error))

    @in_one_transaction
    def delete_leased(self) -> None:
        self.leased().delete()

    def shortened(self, error: str) -> str:
        return error[: self._meta.get_field("error").max_length]


@in_one_transaction
def release(messages: Sequence[Outgoing]) -> None:
    """Gives back messages that were leased together and not tried."""
    if messages:
        rows = type(messages[0])._default_manager.filter(pk__in=[message.pk for message in messages])
        rows.filter(lease=messages[0].lease).update(lease=None, due_at=timezone.now())


Length = TypeVar("Length", float, timedelta)


def backoff(failures: int, *, first: Length, longest: Length) -> Length:
    """The pause after so many failures. It doubles each time, and differs by half, so that not all return at once."""
    return min(first * 2 ** min(failures - 1, 20), longest) * random.uniform(0.5, 1.5)  # noqa: S311 (jitter)


class Pause:
    """A pause of this process after a failure, as of the database. Each is longer than the one before, until one
    success."""

    FIRST_SECONDS, LONGEST_SECONDS = 1, 60

    def __init__(self):
        self.failures, self.until = 0, 0.0

    def is_on(self) -> bool:
        return time.monotonic() < self.until

    def begin(self) -> None:
        self.failures += 1
        pause = backoff(self.failures, first=self.FIRST_SECONDS, longest=self.LONGEST_SECONDS)
        self.until = time.monotonic() + pause

    def end(self) -> None:
        self.failures, self.until = 0, 0.0
