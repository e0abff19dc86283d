"""What staff write to all holders of an event: kept with its ledger entry, and turned into mails part by part."""

import time
from collections.abc import Collection
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from django.core.mail import EmailMultiAlternatives
from django.db import DatabaseError, connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.text import Truncator

from accounts.models import User
from bookings.commands import Note
from bookings.enums import FactKind, LedgerKind
from bookings.exceptions import KeyReused, NobodyToTell, TemplateFails
from bookings.models import MAX_NOTE, WROTE_NOTE, Booking
from bookings.outbox import Announcement, AnnouncementProgress, Mail
from bookings.services.events import lock_standing_event
from bookings.services.idempotency import digest_of
from bookings.services.inventory import apply
from bookings.services.messages import Message, email_of
from bookings.services.notifications import ENTRIES_A_PART, HOLDER_COLUMNS, Fact, Recipient, new_mail, recipient
from events.models import Event
from ticks.db.transactions import in_one_transaction
from ticks.exceptions import Refusal
from ticks.mails import error_text

# A request that stops an announcement deletes waiting mails for this long at most. The others are dropped one by one
# when their turn comes.
DELETION_SECONDS = 5
ROWS_A_DELETION = 1000
TEST_SUBJECT = "Test: {}"


class Letter(NamedTuple):
    """What staff write, and to whom (`Announcement.Addressees`)."""

    addressees: str
    subject: str
    text: str


@in_one_transaction
def write_to_holders(event_id: int, *, letter: Letter, actor: User, key: str) -> Announcement:
    """Has a letter sent to everybody whom it is for. Repeated with its idempotency `key`, it is sent once.

    The bookings are read later, by `manage.py deliver`. Raises `EventNotFound`, `KeyReused`, `Busy`.
    """
    event = lock_standing_event(event_id, version=None)
    # The lock is there, so nobody else can be writing the same.
    if known := find_announcement(event_id, letter=letter, actor=actor, key=key):
        return known
    now = timezone.now()
    announcement = Announcement(
        event=event, author=actor, digest=digest_of(key, actor), created_at=now, **letter._asdict()
    )
    whom = announcement.get_addressees_display()
    note = Truncator(f"{WROTE_NOTE}{whom[0].lower()}{whom[1:]}: {letter.subject}").chars(MAX_NOTE)
    apply(event, [Note(LedgerKind.EDITED, note, actor)], now=now)
    announcement.sequence = event.ledger_sequence
    announcement.save(force_insert=True)
    return announcement


def find_announcement(event_id: int, *, letter: Letter, actor: User, key: str) -> Announcement | None:
    """What was written with this key; None if nothing was. Raises `KeyReused` if it was another letter."""
    known = Announcement.objects.filter(digest=digest_of(key, actor)).first()
    if known and (known.event_id, *(getattr(known, name) for name in Letter._fields)) != (event_id, *letter):
        raise KeyReused
    return known


def unread_announcements() -> list[int]:
    """Those that are not all made into mails. The ledger is read up to their entry first, so that mails about what
    happened before are there, and leave before."""
    left = Announcement.objects.filter(finished_at=None)
    is_next = Q(event__delivery_position__sequence__gte=F("sequence"))
    return list(left.filter(is_next).order_by("pk").values_list("pk", flat=True))


@in_one_transaction
def read_announcement(pk: int) -> bool:
    """Makes mails for the next bookings, and moves the position in the same transaction, so that a process that is
    killed loses and doubles nothing. Returns whether there may be more: not if another process is at it.

    An address gets one mail, however many bookings it has: with the first of them.
    """
    can_skip = connection.features.has_select_for_update_skip_locked
    left = Announcement.objects.select_for_update(skip_locked=can_skip)
    announcement = left.filter(pk=pk, finished_at=None).first()
    if announcement is None:
        return False
    now = timezone.now()
    rows = list(
        Booking.objects.of_event(announcement.event_id)
        .filter(status__in=announcement.statuses, pk__gt=announcement.position)
        .filter(created_at__lte=announcement.created_at)
        .order_by("pk")
        .values_list("pk", *HOLDER_COLUMNS)[:ENTRIES_A_PART]
    )
    mails = first_of_each_address(announcement, {pk: recipient(*columns) for pk, *columns in rows}, now=now)
    Mail.objects.bulk_create(mails)
    announcement.mails += len(mails)
    if len(rows) < ENTRIES_A_PART:
        announcement.finished_at = now
    else:
        announcement.position = rows[-1][0]
    announcement.save(update_fields=["mails", "finished_at", "position"])
    return announcement.finished_at is None


def first_of_each_address(announcement: Announcement, bookings: dict, *, now: datetime) -> list[Mail]:
    emails = {to.email for to in bookings.values()}
    # The states are named since the index has them before the address.
    known = Mail.objects.filter(announcement=announcement, state__in=Mail.State.values, email__in=emails)
    written_to = {"", *known.values_list("email", flat=True)}
    mails = []
    for pk, to in bookings.items():
        if to.email not in written_to:
            written_to.add(to.email)
            mails.append(new_mail(announced_to(announcement, pk, to), now=now))
            mails[-1].announcement = announcement
    return mails


def announced_to(announcement: Announcement, booking_id: int, to: Recipient) -> Fact:
    return Fact(FactKind.ANNOUNCED, announcement.sequence, announcement.created_at, booking_id, to)


@in_one_transaction
def stop_announcement(pk: int) -> Announcement:
    """From now on none of its mails begins to be sent. `delete_waiting_mails` deletes those that wait."""
    announcement = Announcement.objects.select_for_update().get(pk=pk)
    if announcement.stopped_at is None:
        announcement.stopped_at = timezone.now()
        announcement.finished_at = announcement.finished_at or announcement.stopped_at
        announcement.save(update_fields=["stopped_at", "finished_at"])
    return announcement


def delete_waiting_mails(announcement: Announcement, *, seconds: float = DELETION_SECONDS) -> None:
    """Deletes the mails of a stopped announcement that nobody has begun to send. Nothing is raised: those that are left
    are dropped when their turn comes."""
    until = time.monotonic() + seconds
    waiting = Mail.objects.filter(announcement=announcement, state=Mail.State.WAITING)
    with suppress(Refusal):
        while time.monotonic() < until and delete_some(waiting):
            pass


@in_one_transaction
def delete_some(waiting: QuerySet[Mail]) -> int:
    ids = list(waiting.filter(lease=None).order_by().values_list("pk", flat=True)[:ROWS_A_DELETION])
    return waiting.filter(pk__in=ids, lease=None).delete()[0]


def mails_that_wait() -> Exists:
    return Exists(Mail.objects.filter(announcement=OuterRef("pk"), state=Mail.State.WAITING).order_by())


def ended_announcements() -> list[int]:
    """The announcements of which no mail waits any more, and whose numbers are not stored yet."""
    uncounted = Announcement.objects.filter(final_sent=None).exclude(finished_at=None)
    return list(uncounted.filter(~mails_that_wait()).order_by("pk").values_list("pk", flat=True))


@in_one_transaction
def store_numbers(pk: int) -> bool:
    """Stores how many mails of an ended announcement were sent and given up. These numbers are final, since no mail of
    it is made or sent again. Returns false: nothing is left to do, as `read_announcement` says it."""
    numbers = numbers_by_state([pk])
    sent, failed = (numbers.get((pk, state), 0) for state in (Mail.State.SENT, Mail.State.GIVEN_UP))
    Announcement.objects.filter(pk=pk, final_sent=None).update(final_sent=sent, final_failed=failed)
    return False


def numbers_by_state(pks: Collection[int]) -> dict[tuple[int, str], int]:
    counted = Mail.objects.filter(announcement__in=pks).values_list("announcement", "state").order_by()
    return {(pk, state): number for pk, state, number in counted.annotate(number=Count("pk"))}


def under_way(event: Event) -> QuerySet[Announcement]:
    """The announcements of an event of which mails are still to leave."""
    left = event.announcements.filter(stopped_at=None, final_sent=None)
    return left.filter(Q(finished_at=None) | mails_that_wait()).order_by("pk")


def progress_of(event: Event, *, limit: int) -> list[AnnouncementProgress]:
    """The latest announcements of an event and what has become of them. Only the mails of those that have not ended are
    counted."""
    latest = list(event.announcements.select_related("author").order_by("-sequence")[:limit])
    uncounted = [one.pk for one in latest if one.final_sent is None]
    numbers = numbers_by_state(uncounted) if uncounted else {}
    return [progress_with(one, numbers) for one in latest]


def progress_with(announcement: Announcement, numbers: dict[tuple[int, str], int]) -> AnnouncementProgress:
    if announcement.final_sent is not None:
        final = announcement.final_sent, 0, announcement.final_failed
        return AnnouncementProgress(announcement, announcement.mails, *final)
    states = (Mail.State.SENT, Mail.State.WAITING, Mail.State.GIVEN_UP)
    counts = (numbers.get((announcement.pk, state), 0) for state in states)
    return AnnouncementProgress(announcement, announcement.mails, *counts)


def sample(event: Event, letter: Letter, *, to: Recipient) -> EmailMultiAlternatives:
    """A letter as somebody gets it. Raises `NobodyToTell` if it is for nobody, and `TemplateFails`."""
    announcement = Announcement(event=event, sequence=event.ledger_sequence, **letter._asdict())
    booking = Booking.objects.filter(event=event, status__in=announcement.statuses).order_by().first()
    if booking is None:
        raise NobodyToTell
    mail = new_mail(announced_to(announcement, booking.pk, to), now=announcement.created_at)
    mail.announcement = announcement
    message = Message(mail)
    try:
        return email_of(message)
    except (Refusal, DatabaseError):
        raise
    except Exception as error:
        # An operator's template can fail in any way.
        raise TemplateFails(f"A template of the mail fails. {error_text(error)}") from error


def as_recipient(user: User) -> Recipient:
    return Recipient(user.username, user.email or "", user.pk)


def send_test(event: Event, letter: Letter, *, to: User) -> None:
    """Sends a letter to its author, at once. Raises what `sample` raises, and what the mail server answers."""
    email = sample(event, letter, to=as_recipient(to))
    email.subject = TEST_SUBJECT.format(email.subject)
    # It is not the mail about the booking that it was written for.
    del email.extra_headers["Message-ID"]
    email.send()
