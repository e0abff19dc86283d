"""What staff write to all holders: one mail for each address, in parts, once, and none after it was stopped."""

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from bookings.exceptions import KeyReused
from bookings.models import Booking, LedgerEntry
from bookings.outbox import Announcement, DeliveryPosition, Mail
from bookings.services import announcements
from bookings.services.announcements import (
    Letter,
    delete_waiting_mails,
    ended_announcements,
    progress_of,
    read_announcement,
    stop_announcement,
    under_way,
    unread_announcements,
    write_to_holders,
)
from bookings.services.cancellation import cancel_tickets
from bookings.services.delivery import Delivery
from bookings.services.events import change_event
from bookings.services.mails import latest_mail, send_mails
from bookings.services.messages import compose_mail
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import by_mail, read_all
from bookings.tests.threads import run_together
from events.exceptions import EventNotFound
from events.models import Event
from ticks.db.transactions import Busy
from ticks.tests.served import wait_until

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on", "at_once")]

LETTER = Letter("all", "Bring a coat", "The hall is <cold>.\n\nYours, Emmy")


def book(event, name, tickets=1, **fields):
    fields = {"email": f"{name.lower()}@example.org", "user": None} | fields
    return BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, **fields)


@pytest.fixture
def gala():
    """Ada and Bob hold a ticket each; Grace and Alan wait."""
    event = EventFactory(name="Gala", total_tickets=2)
    for name in ("Ada", "Bob", "Grace", "Alan"):
        book(event, name)
    return Event.objects.get(pk=event.pk)


def write(event, actor, key="key", **letter):
    return write_to_holders(event.pk, letter=LETTER._replace(**letter), actor=actor, key=key)


def read_letters():
    read_all()
    for pk in unread_announcements():
        while read_announcement(pk):
            pass


def written_to(announcement=None):
    mails = Mail.objects.exclude(announcement=None) if announcement is None else announcement.sent_as
    return list(mails.order_by("pk").values_list("email", flat=True))


@pytest.mark.parametrize(
    ("addressees", "names"),
    [("holders", ["ada", "bob"]), ("waiting", ["grace", "alan"]), ("all", ["ada", "bob", "grace", "alan"])],
)
def test_everybody_whom_it_is_for_gets_one_mail(gala, admin_user, addressees, names):
    announcement = write(gala, admin_user, addressees=addressees)
    read_letters()

    assert written_to() == [f"{name}@example.org" for name in names]
    announcement.refresh_from_db()
    assert (announcement.mails, bool(announcement.finished_at)) == (len(names), True)
    assert unread_announcements() == []


def test_mail_has_subject_text_and_event_and_no_files(gala, admin_user):
    write(gala, admin_user)
    read_letters()

    mail = compose_mail(Mail.objects.exclude(announcement=None).first())

    assert mail.subject == "Bring a coat"
    assert mail.body.startswith("Hello Ada,\n\nThe hall is <cold>.\n\nYours, Emmy\n\nEvent: Gala\n")
    assert "Booking" not in mail.body
    [(html, _)] = mail.alternatives
    assert "<p>The hall is &lt;cold&gt;.</p>\n\n<p>Yours, Emmy</p>" in html
    assert mail.attachments == []
    assert mail.extra_headers["Auto-Submitted"] == "auto-generated"


def test_it_has_an_entry_in_the_ledger_that_tells_nothing_else(gala, admin_user):
    announcement = write(gala, admin_user)
    read_letters()

    entry = LedgerEntry.objects.get(event=gala, sequence=announcement.sequence)
    assert (entry.kind, entry.actor, entry.note) == (
        "edited",
        admin_user,
        "wrote to everybody who holds tickets or waits: Bring a coat",
    )
    assert not Mail.objects.filter(announcement=None, sequence=announcement.sequence).exists()
    gala.refresh_from_db()
    assert gala.version == 1


def test_edit_after_it_is_told_by_itself_and_it_reaches_everybody(gala, admin_user):
    read_all()
    announcement = write(gala, admin_user, addressees="holders")
    change_event(gala.pk, changes={"venue": "Cellar"}, actor=admin_user)
    read_letters()

    mails = Mail.objects.filter(email="ada@example.org").order_by("sequence")
    assert [(mail.facts[0]["kind"], mail.sequence - announcement.sequence) for mail in mails[1:]] == [
        ("announced", 0),
        ("event_changed", 1),
    ]
    assert written_to() == ["ada@example.org", "bob@example.org"]


def test_address_with_several_bookings_gets_one_mail_across_parts(gala, admin_user, monkeypatch):
    monkeypatch.setattr(announcements, "ENTRIES_A_PART", 2)
    book(gala, "Ada2", email="ada@example.org")
    book(gala, "Nobody", email="")
    other = EventFactory()
    book(other, "Ada")

    write(gala, admin_user)
    read_letters()

    assert written_to() == [f"{name}@example.org" for name in ("ada", "bob", "grace", "alan")]


def test_mail_leaves_while_any_booking_of_its_address_is_meant(gala, admin_user):
    second = book(gala, "Ada2", email="ada@example.org")
    write(gala, admin_user)
    read_letters()
    [mail] = Mail.objects.filter(email="ada@example.org").exclude(announcement=None)

    cancel_tickets(Booking.objects.get(first_name="Ada"))
    assert compose_mail(mail) is not None
    cancel_tickets(second)
    assert compose_mail(mail) is None


def test_whoever_has_given_the_booking_away_gets_none(gala, admin_user):
    write(gala, admin_user)
    read_letters()
    [mail] = Mail.objects.filter(email="ada@example.org").exclude(announcement=None)

    transfer_booking(Booking.objects.get(first_name="Ada"), holder=Holder("Lise", "", "lise@e.org"), actor=admin_user)

    assert compose_mail(mail) is None


def test_later_bookings_get_none(gala, admin_user):
    write(gala, admin_user)
    book(gala, "Late")
    read_letters()

    assert "late@example.org" not in written_to()


def test_it_waits_until_the_ledger_before_it_was_read(gala, admin_user):
    write(gala, admin_user)

    assert unread_announcements() == []
    read_all()
    assert len(unread_announcements()) == 1


def test_it_leaves_after_earlier_mails_of_the_booking_and_before_later_ones(gala, admin_user):
    write(gala, admin_user)
    cancel_tickets(Booking.objects.get(first_name="Ada"), actor=admin_user)
    # The later mail is there before the announcement's, and due earlier.
    read_letters()
    Mail.objects.update(due_at=timezone.now())
    later = Mail.objects.filter(announcement=None, sequence__gt=5)
    later.update(due_at=timezone.now() - timedelta(hours=1))

    order = []
    while mails := Mail.objects.sendable().lease_due(limit=50):
        order += [(mail.email, mail.sequence) for mail in mails]
        Mail.objects.filter(pk__in=[mail.pk for mail in mails]).update(state="sent", sent_at=timezone.now(), lease=None)

    for email in {email for email, _ in order}:
        sequences = [sequence for other, sequence in order if other == email]
        assert sequences == sorted(sequences)
    assert ("grace@example.org", 6) in order


def test_facts_do_not_join_it(gala, admin_user, monkeypatch):
    monkeypatch.setattr("bookings.services.notifications.MERGED_WITHIN", timedelta(minutes=1))
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    write(gala, admin_user)
    read_letters()
    cancel_tickets(Booking.objects.get(first_name="Ada"), actor=admin_user)
    read_all()

    mails = Mail.objects.filter(email="ada@example.org").order_by("pk")
    assert [[fact["kind"] for fact in mail.facts] for mail in mails] == [["booked"], ["announced"], ["cancelled"]]


def test_same_key_writes_once_and_another_letter_is_refused(gala, admin_user):
    first, second = (write(gala, admin_user) for _ in range(2))

    assert first.pk == second.pk
    assert LedgerEntry.objects.filter(event=gala, kind="edited").count() == 1
    with pytest.raises(KeyReused):
        write(gala, admin_user, text="Other")
    assert Announcement.objects.count() == 1


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_two_confirmations_at_once_write_once(gala, admin_user):
    results = run_together(6, lambda _: write(gala, admin_user).pk)

    assert len(set(results)) == Announcement.objects.count() == 1


def test_cancelled_event_cannot_be_written_to(gala, admin_user):
    Event.objects.filter(pk=gala.pk).update(
        deleted_at=timezone.now(), waitlisted_count=0, waitlisted_tickets=0, available_tickets=2, completed_count=0
    )

    with pytest.raises(EventNotFound):
        write(gala, admin_user)

    assert not Announcement.objects.exists()


def test_part_that_is_killed_has_made_no_mail_and_is_made_once(gala, admin_user, monkeypatch):
    monkeypatch.setattr(announcements, "ENTRIES_A_PART", 2)
    announcement = write(gala, admin_user)
    read_all()
    assert read_announcement(announcement.pk)
    whole, before = Announcement.save, len(written_to())

    def killed(self, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Announcement, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        read_announcement(announcement.pk)
    assert len(written_to()) == before
    monkeypatch.setattr(Announcement, "save", whole)
    read_letters()

    assert written_to() == [f"{name}@example.org" for name in ("ada", "bob", "grace", "alan")]


def test_booking_is_written_to_once_even_if_a_part_is_read_again(gala, admin_user):
    announcement = write(gala, admin_user)
    read_letters()
    # As if the position had been lost.
    Announcement.objects.update(position=0, finished_at=None)
    read_letters()

    assert len(written_to(announcement)) == 4


@pytest.mark.mariadb
@pytest.mark.django_db(transaction=True)
def test_readers_at_once_make_each_mail_once_and_wait_for_none(gala, admin_user, monkeypatch):
    monkeypatch.setattr(announcements, "ENTRIES_A_PART", 1)
    announcement = write(gala, admin_user)
    read_all()

    results = run_together(4, lambda _: [read_announcement(announcement.pk) for _ in range(30)])

    # Without the lock the unique key of the mails would refuse some of them.
    assert all(isinstance(result, list) for result in results), results
    assert sorted(written_to()) == sorted(f"{name}@example.org" for name in ("ada", "bob", "grace", "alan"))


@pytest.mark.django_db(transaction=True)
def test_deliver_that_is_killed_between_parts_loses_and_doubles_no_mail(admin_user, mail_server, deliver):
    event = EventFactory(total_tickets=1500)
    first = book(event, "P0")
    columns = [field.attname for field in Booking._meta.concrete_fields if not field.primary_key]
    values = {name: getattr(Booking.objects.get(pk=first.pk), name) for name in columns}
    others = [{"reference": f"R{place}", "email": f"p{place}@example.org"} for place in range(1, 1200)]
    Booking.objects.bulk_create(Booking(**values | {"token_hash": None} | other) for other in others)
    announcement = write(event, admin_user)
    started = []

    for _ in range(3):
        process = deliver(**by_mail(mail_server))
        started.append(process)
        sent = len(mail_server.mails)
        wait_until(lambda sent=sent: len(mail_server.mails) > sent + 20)
        process.kill()
        process.wait()
    # What the killed ones had claimed is anybody's after the lease.
    Mail.objects.filter(state="waiting").update(lease=None, due_at=timezone.now())
    deliver("--once", **by_mail(mail_server)).wait(timeout=120)

    told = [mail["To"] for mail in mail_server.mails if mail["Subject"] == "Bring a coat"]
    assert set(told) == {f"p{place}@example.org" for place in range(1200)}
    # At most the mail that each killed process was sending was sent a second time.
    assert len(told) <= 1200 + len(started)
    assert announcement.sent_as.count() == 1200


def test_stopped_announcement_sends_nothing_more(gala, admin_user, mail_server, monkeypatch):
    announcement = write(gala, admin_user)
    read_letters()
    Mail.objects.filter(announcement=None).delete()
    monkeypatch.setattr("ticks.mails.MAILS_A_LEASE", 1)
    assert send_mails().sent
    left = len(mail_server.mails)

    delete_waiting_mails(stop_announcement(announcement.pk))
    Delivery().send()

    assert len(mail_server.mails) == left
    [progress] = progress_of(gala, limit=5)
    assert (progress.is_under_way, progress.waiting, progress.sent) == (False, 0, left)
    assert not under_way(gala).exists()


def test_mail_that_was_claimed_as_it_was_stopped_is_dropped(gala, admin_user, mail_server):
    announcement = write(gala, admin_user)
    read_letters()
    Mail.objects.filter(announcement=None).delete()
    claimed = Mail.objects.sendable().lease_due(limit=50)
    delete_waiting_mails(stop_announcement(announcement.pk))
    assert len(claimed) == Mail.objects.count() == 4

    Mail.objects.update(lease=None, due_at=timezone.now())
    # There may be more of them, so that the next are not a second away.
    assert Delivery().send() is True

    assert mail_server.mails == []
    assert not Mail.objects.exists()


def test_mails_that_cannot_be_deleted_now_are_dropped_later(gala, admin_user, monkeypatch):
    announcement = write(gala, admin_user)
    read_letters()

    def busy(waiting):
        raise Busy

    monkeypatch.setattr(announcements, "delete_some", busy)
    delete_waiting_mails(stop_announcement(announcement.pk))

    assert [compose_mail(mail) for mail in Mail.objects.filter(announcement=announcement.pk)] == [None] * 4


def test_announcement_that_is_stopped_before_it_was_read_makes_no_mail(gala, admin_user):
    announcement = write(gala, admin_user)
    stop_announcement(announcement.pk)
    read_letters()

    assert written_to() == []


def test_progress_counts_what_was_sent_waits_and_failed(gala, admin_user):
    announcement = write(gala, admin_user)
    assert progress_of(gala, limit=5)[0].is_under_way
    read_letters()
    first, second, *_ = announcement.sent_as.order_by("pk")
    Mail.objects.filter(pk=first.pk).update(state="sent", sent_at=timezone.now())
    Mail.objects.filter(pk=second.pk).update(state="given_up")

    [progress] = progress_of(gala, limit=5)

    assert progress[1:] == (4, 1, 2, 1)
    assert list(under_way(gala)) == [announcement]


def test_numbers_of_an_ended_announcement_are_stored_once_and_stay(gala, admin_user):
    announcement = write(gala, admin_user)
    read_letters()
    mails = announcement.sent_as.order_by("pk")
    first, second, third, fourth = mails
    mails.filter(pk__in=[first.pk, second.pk]).update(state="sent", sent_at=timezone.now())
    mails.filter(pk=third.pk).update(state="given_up")
    Delivery().read()
    announcement.refresh_from_db()
    # One waits.
    assert (announcement.final_sent, announcement.final_failed) == (None, None)

    fourth.delete()
    Delivery().read()
    mails.delete()
    Delivery().read()

    with CaptureQueriesContext(connection) as queries:
        [progress] = progress_of(gala, limit=5)
    assert progress[1:] == (4, 2, 0, 1)
    assert not progress.is_under_way
    assert len(queries) == 1
    assert not under_way(gala).exists()


@pytest.mark.parametrize("is_read", [True, False])
def test_stopped_announcement_stores_its_numbers(gala, admin_user, is_read):
    announcement = write(gala, admin_user)
    read_all()
    if is_read:
        read_letters()
        announcement.sent_as.filter(email="ada@example.org").update(state="sent", sent_at=timezone.now())
    stopped = stop_announcement(announcement.pk)
    if is_read:
        # Three wait.
        assert ended_announcements() == []
    delete_waiting_mails(stopped)
    Delivery().read()

    announcement.refresh_from_db()
    assert (announcement.final_sent, announcement.final_failed) == (int(is_read), 0)
    assert ended_announcements() == []


def test_it_is_not_the_mail_that_staff_send_again(gala, admin_user):
    write(gala, admin_user)
    read_letters()
    ada = Booking.objects.get(first_name="Ada")

    assert latest_mail(ada).announcement is None


def test_reading_it_locks_no_event_and_no_booking(gala, admin_user, monkeypatch):
    announcement = write(gala, admin_user)
    read_all()
    locked = []
    whole = QuerySet.select_for_update

    def watched(self, *args, **options):
        locked.append(self.model)
        return whole(self, *args, **options)

    monkeypatch.setattr(QuerySet, "select_for_update", watched)
    read_announcement(announcement.pk)

    assert locked == [Announcement]


def test_no_mail_is_made_while_mails_are_off(gala, admin_user, settings):
    write(gala, admin_user)
    settings.MAIL_ENABLED = False
    Delivery().read()

    assert DeliveryPosition.objects.get(event=gala).sequence == 6
    assert written_to() == []
