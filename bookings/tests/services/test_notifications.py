"""The ledger turned into mails: who is told what, once, from each event's position on."""

import threading
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from accounts.tests.factories import UserFactory, new_api_key
from bookings.management.commands import seed_demo
from bookings.models import Booking, LedgerEntry
from bookings.outbox import DeliveryPosition, FormerHolder, Mail
from bookings.rehearsal.copy import make_buyers, open_copy, remove_rehearsals
from bookings.services import events as event_services
from bookings.services import notifications
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.waitlist import move_in_waitlist, serve_out_of_turn
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all, stored_mails
from bookings.tests.threads import run_together
from events.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on")]


def kinds_of(booking):
    return [kind for _, _, kinds in stored_mails(booking=booking) for kind in kinds]


def test_each_fact_is_told_in_a_mail_of_its_own(at_once, admin_user):
    event = EventFactory(total_tickets=3)
    ada = BookingFactory(event=event, tickets=3)
    grace = BookingFactory(event=event, tickets=2)
    read_all()
    cancel_tickets(ada, tickets=2, actor=ada.user)
    cancel_tickets(ada, actor=admin_user)
    read_all()

    assert stored_mails() == [
        (ada.pk, ada.email, ["booked"]),
        (grace.pk, grace.email, ["waitlisted"]),
        (ada.pk, ada.email, ["reduced"]),
        (grace.pk, grace.email, ["promoted"]),
        (ada.pk, ada.email, ["cancelled"]),
    ]
    facts = [fact for mail in Mail.objects.filter(booking=ada).order_by("pk") for fact in mail.facts]
    assert [(fact["tickets"], fact["by"]) for fact in facts] == [(3, "holder"), (2, "holder"), (1, "staff")]


def test_what_a_program_does_is_neither_the_holders_nor_staffs(at_once):
    booking = BookingFactory(tickets=3)
    read_all()
    key, _ = new_api_key("bookings:write")
    cancel_tickets(booking, tickets=2, actor=key.account)
    cancel_tickets(booking, actor=key.account)
    read_all()

    facts = [fact for mail in Mail.objects.order_by("pk") for fact in mail.facts]
    assert [(fact["kind"], fact["by"]) for fact in facts] == [
        ("booked", "holder"),
        ("reduced", "program"),
        ("cancelled", "program"),
    ]


def test_facts_within_a_minute_are_one_mail(admin_user):
    booking = BookingFactory(tickets=3)
    read_all()
    cancel_tickets(booking, tickets=1, actor=booking.user)
    read_all()
    cancel_tickets(booking, actor=booking.user)
    read_all()

    [mail] = Mail.objects.all()
    assert [fact["kind"] for fact in mail.facts] == ["booked", "reduced", "cancelled"]
    assert mail.due_at - mail.happened_at == timedelta(seconds=60)


@pytest.mark.parametrize("change", [{"lease": "somebody"}, {"attempts": 1}, {"seconds_ago": 61}])
def test_fact_joins_no_mail_that_is_on_its_way_or_old(change):
    booking = BookingFactory(tickets=3)
    read_all()
    if "seconds_ago" in change:
        change = {"happened_at": timezone.now() - timedelta(seconds=change["seconds_ago"])}
    Mail.objects.update(**change)
    cancel_tickets(booking, actor=booking.user)
    read_all()

    assert [kinds for _, _, kinds in stored_mails()] == [["booked"], ["cancelled"]]


def test_fact_joins_no_mail_that_was_sent():
    booking = BookingFactory(tickets=3)
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    cancel_tickets(booking, actor=booking.user)
    read_all()

    assert [kinds for _, _, kinds in stored_mails()] == [["booked"], ["cancelled"]]


def test_booking_without_an_address_gets_none():
    booking = BookingFactory(user=None, email="")
    cancel_tickets(booking)
    read_all()

    assert stored_mails() == []
    assert DeliveryPosition.objects.get().sequence == 3


def test_moves_in_the_waitlist_and_the_capacity_are_told_to_nobody(at_once, admin_user):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    BookingFactory(event=event)
    last = BookingFactory(event=event)
    read_all()
    before = Mail.objects.count()
    move_in_waitlist(last, position=1, reason="she called", actor=admin_user)
    change_event(event.pk, changes={"total_tickets": 2, "description": "New"}, actor=admin_user)
    read_all()

    assert kinds_of(last) == ["waitlisted", "promoted"]
    assert Mail.objects.count() == before + 1


def test_who_is_served_out_of_turn_is_told_once(at_once, admin_user):
    event = EventFactory(total_tickets=1)
    BookingFactory(event=event)
    waiting = BookingFactory(event=event)
    serve_out_of_turn(waiting, reason="a guest", actor=admin_user, adds=True)
    read_all()

    assert kinds_of(waiting) == ["waitlisted", "promoted"]


def test_nothing_is_read_twice():
    BookingFactory()
    read_all()
    read_all()
    DeliveryPosition.objects.update(pending_change=None)
    read_all()

    assert len(stored_mails()) == 1
    assert notifications.events_with_news() == {}


def test_events_without_news_cost_one_query(django_assert_num_queries):
    for _ in range(3):
        BookingFactory()
    read_all()

    with django_assert_num_queries(1):
        assert notifications.events_with_news() == {}


def test_a_part_of_the_ledger_takes_the_same_queries_for_any_length(monkeypatch, django_assert_max_num_queries):
    event = EventFactory(total_tickets=20)
    for _ in range(20):
        BookingFactory(event=event)
    notifications.add_positions()

    with django_assert_max_num_queries(10):
        assert notifications.read_part(event.pk) is False
    assert DeliveryPosition.objects.get(pk=event.pk).sequence == 21


def test_ledger_is_read_in_parts(monkeypatch):
    monkeypatch.setattr(notifications, "ENTRIES_A_PART", 2)
    event = EventFactory()
    bookings = [BookingFactory(event=event) for _ in range(4)]
    notifications.add_positions()

    assert [notifications.read_part(event.pk) for _ in range(4)] == [True, True, False, False]
    assert [booking for booking, *_ in stored_mails()] == [booking.pk for booking in bookings]


# Transfers


def test_transfer_is_told_to_both_and_nothing_else_to_the_new_one(at_once, admin_user):
    booking = BookingFactory(first_name="Ada", email="ada@example.org")
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    transfer_booking(booking, holder=Holder("Alan", "Turing", "alan@example.org"), actor=admin_user)
    read_all()

    assert [(address, kinds) for _, address, kinds in stored_mails()] == [
        ("ada@example.org", ["booked", "transferred_away"]),
        ("grace@example.org", ["transferred", "transferred_away"]),
        ("alan@example.org", ["transferred"]),
    ]
    assert list(Mail.objects.order_by("pk").values_list("name", flat=True)) == [
        "Ada Lovelace",
        "Grace Hopper",
        "Alan Turing",
    ]
    assert Mail.objects.order_by("pk").first().facts[0]["by"] == "holder"


def test_former_holder_of_a_told_booking_gets_a_mail_of_its_own(admin_user):
    booking = BookingFactory(email="ada@example.org")
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    read_all()

    assert stored_mails(state="waiting") == [
        (booking.pk, "ada@example.org", ["transferred_away"]),
        (booking.pk, "grace@example.org", ["transferred"]),
    ]
    assert list(Mail.objects.order_by("pk").values_list("is_to_former", flat=True)) == [False, True, False]


def test_transfer_from_nobodys_address_tells_the_new_holder_alone(admin_user):
    booking = BookingFactory(user=None, email="")
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    read_all()

    assert stored_mails() == [(booking.pk, "grace@example.org", ["transferred"])]


def test_corrected_address_gets_the_mails_that_wait(admin_user):
    booking = BookingFactory(email="typo@example.org")
    read_all()
    Mail.objects.update(attempts=3, error="refused")
    correct = Holder("Ada", "Lovelace", "ada@example.org", is_same=True)
    transfer_booking(booking, holder=correct, actor=admin_user)
    read_all()

    assert stored_mails() == [
        (booking.pk, "ada@example.org", ["booked"]),
        (booking.pk, "ada@example.org", ["corrected"]),
    ]
    assert not FormerHolder.objects.exists()


def test_corrected_address_joins_the_mail_that_waits(admin_user):
    booking = BookingFactory(email="typo@example.org")
    read_all()
    transfer_booking(booking, holder=Holder("Ada", "L", "ada@example.org", is_same=True), actor=admin_user)
    read_all()

    assert stored_mails() == [(booking.pk, "ada@example.org", ["booked", "corrected"])]
    assert Mail.objects.get().name == "Ada L"


def test_address_that_is_taken_away_is_told_nothing_more(admin_user):
    booking = BookingFactory(email="typo@example.org")
    read_all()
    transfer_booking(booking, holder=Holder("Ada", "Lovelace", "", is_same=True), actor=admin_user)
    read_all()

    assert stored_mails() == []


def test_correction_leaves_the_mail_of_a_former_holder(admin_user):
    booking = BookingFactory(email="ada@example.org")
    transfer_booking(booking, holder=Holder("Grace", "", "grase@example.org"), actor=admin_user)
    read_all()
    transfer_booking(booking, holder=Holder("Grace", "", "grace@example.org", is_same=True), actor=admin_user)
    read_all()

    assert [(address, kinds) for _, address, kinds in stored_mails()] == [
        ("ada@example.org", ["booked", "transferred_away"]),
        ("grace@example.org", ["transferred", "corrected"]),
    ]


# Events


def test_change_of_an_event_is_told_to_live_bookings_with_old_and_new(at_once, admin_user):
    date = timezone.now().replace(microsecond=0) + timedelta(days=30)
    event = EventFactory(name="Gala; venue: X", venue="Hall", date=date, total_tickets=1)
    holds, waits, gone = (BookingFactory(event=event) for _ in range(3))
    cancel_tickets(gone, actor=gone.user)
    read_all()
    later = date + timedelta(days=1)
    change_event(event.pk, changes={"name": "Ball", "venue": "", "date": later}, actor=admin_user)
    newcomer = BookingFactory(event=event)
    read_all()

    changed = Mail.objects.filter(facts__0__kind="event_changed").order_by("pk")
    assert [mail.booking_id for mail in changed] == [holds.pk, waits.pk]
    assert changed[0].facts[0]["changes"] == [
        ["name", "Gala; venue: X", "Ball"],
        ["date", date.isoformat(), later.isoformat()],
        ["venue", "Hall", ""],
    ]
    assert kinds_of(newcomer) == ["waitlisted"]


def test_change_of_the_time_zone_is_told(at_once, admin_user):
    booking = BookingFactory()
    read_all()
    change_event(booking.event_id, changes={"time_zone": "Asia/Tokyo"}, actor=admin_user)
    read_all()

    assert kinds_of(booking) == ["booked", "event_changed"]
    assert Mail.objects.latest("pk").facts[0]["changes"] == [["time_zone", "UTC", "Asia/Tokyo"]]
    assert DeliveryPosition.objects.get().known_values["time_zone"] == "Asia/Tokyo"


def test_time_zone_that_the_version_before_did_not_note_is_no_news(at_once, admin_user):
    booking = BookingFactory(event=EventFactory(name="Gala", time_zone="Asia/Tokyo"))
    read_all()
    position = DeliveryPosition.objects.get()
    del position.known_values["time_zone"]
    position.save()
    change_event(booking.event_id, changes={"name": "Ball"}, actor=admin_user)
    read_all()

    assert Mail.objects.latest("pk").facts[0]["changes"] == [["name", "Gala", "Ball"]]


def test_change_that_is_taken_back_is_told_to_nobody(admin_user):
    booking = BookingFactory()
    read_all()
    for name in ("Other", booking.event.name):
        change_event(booking.event_id, changes={"name": name}, actor=admin_user)
    read_all()

    assert kinds_of(booking) == ["booked"]


@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_change_is_told_in_parts_once_to_each_and_then_the_ledger_goes_on(monkeypatch, at_once, admin_user, part):
    event = EventFactory()
    bookings = [BookingFactory(event=event) for _ in range(3)]
    read_all()
    change_event(event.pk, changes={"name": "Other"}, actor=admin_user)
    cancel_tickets(bookings[0], actor=bookings[0].user)
    monkeypatch.setattr(notifications, "ENTRIES_A_PART", part)
    read_all()
    change_event(event.pk, changes={"name": "Third"}, actor=admin_user)
    read_all()

    # The first is cancelled by the time that the change is told.
    assert kinds_of(bookings[0]) == ["booked", "cancelled"]
    assert [kinds_of(booking) for booking in bookings[1:]] == [["booked", "event_changed", "event_changed"]] * 2
    changes = [mail.facts[0]["changes"] for mail in Mail.objects.filter(booking=bookings[1]).order_by("pk")[1:]]
    assert changes == [[["name", event.name, "Other"]], [["name", "Other", "Third"]]]


def test_change_while_another_is_being_told_is_told_afterwards(monkeypatch, at_once, admin_user):
    monkeypatch.setattr(notifications, "ENTRIES_A_PART", 1)
    event = EventFactory(name="One")
    bookings = [BookingFactory(event=event) for _ in range(2)]
    read_all()
    change_event(event.pk, changes={"name": "Two"}, actor=admin_user)
    notifications.read_part(event.pk)
    notifications.read_part(event.pk)
    change_event(event.pk, changes={"name": "Three"}, actor=admin_user)
    read_all()

    for booking in bookings:
        mails = Mail.objects.filter(booking=booking).order_by("pk")[1:]
        changes = [["name", "One", "Two"]], [["name", "Two", "Three"]]
        assert [mail.facts[0]["changes"] for mail in mails] == list(changes)


def test_cancelled_event_is_told_to_each_live_booking(monkeypatch, at_once, admin_user):
    monkeypatch.setattr(event_services, "BOOKINGS_A_PART", 1)
    monkeypatch.setattr(event_services, "CANCEL_SECONDS", 0)
    event = EventFactory(total_tickets=1)
    bookings = [BookingFactory(event=event) for _ in range(5)]
    cancel_tickets(bookings[1], actor=bookings[1].user)
    read_all()
    cancel_event(event.pk, actor=admin_user)
    # The entries of the last bookings are not there yet. They are not passed.
    read_all()
    assert list(notifications.events_with_news()) == [event.pk]
    event_services.finish_cancellation(event.pk)
    read_all()

    live = [booking for booking in bookings if booking is not bookings[1]]
    assert [kinds_of(booking)[-1] for booking in live] == ["event_cancelled"] * 4
    assert kinds_of(bookings[1]) == ["waitlisted", "cancelled"]
    assert notifications.events_with_news() == {}


# Positions


def test_gap_is_not_passed(at_once):
    event = EventFactory()
    bookings = [BookingFactory(event=event) for _ in range(3)]
    [entry] = LedgerEntry.objects.filter(event=event, sequence=3)
    QuerySet(LedgerEntry).filter(pk=entry.pk).delete()
    read_all()

    assert DeliveryPosition.objects.get().sequence == 2
    entry._state.adding = True
    entry.save(force_insert=True)
    read_all()

    assert [booking for booking, *_ in stored_mails()] == [booking.pk for booking in bookings]


@pytest.mark.django_db(transaction=True)
@pytest.mark.mariadb
def test_entry_that_commits_late_is_told_though_a_later_id_was_read(at_once):
    early, late = EventFactory(), EventFactory()

    def work(number):
        if number == 0:
            # The entry gets its id now, and commits last.
            with transaction.atomic():
                event = Event.objects.select_for_update().get(pk=early.pk)
                entry = event.ledger.create(
                    sequence=2, kind="edited", tickets=0, available_after=10, waitlisted_after=0, note="slow"
                )
                Event.objects.filter(pk=event.pk).update(ledger_sequence=2)
                has_id.set()
                assert has_read.wait(20)
            return entry.pk
        assert has_id.wait(20)
        BookingFactory(event=late)
        read_all()
        positions.append(DeliveryPosition.objects.get(pk=early.pk).sequence)
        has_read.set()
        return late.ledger.order_by("sequence").last().pk

    has_id, has_read, positions = threading.Event(), threading.Event(), []
    slow, quick = run_together(2, work)

    assert slow < quick
    assert positions == [1]
    read_all()
    assert DeliveryPosition.objects.get(pk=early.pk).sequence == 2


@pytest.mark.django_db(transaction=True)
def test_read_that_is_interrupted_has_made_no_mail(monkeypatch):
    booking = BookingFactory()
    notifications.add_positions()

    def fail(*args, **kwargs):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(DeliveryPosition, "save", fail)
        with pytest.raises(RuntimeError):
            notifications.read_part(booking.event_id)
    assert stored_mails() == []
    read_all()

    assert kinds_of(booking) == ["booked"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.mariadb
def test_readers_at_once_tell_each_fact_once_and_wait_for_none(at_once):
    event = EventFactory(total_tickets=40)
    bookings = [BookingFactory(event=event) for _ in range(40)]
    notifications.add_positions()
    with transaction.atomic():
        notifications.lock_position(event.pk)
        # Another process is at this event.
        [skipped] = run_together(1, lambda _: notifications.read_part(event.pk))
    assert (skipped, Mail.objects.exists()) == (False, False)

    results = run_together(6, lambda _: [notifications.read_part(event.pk) for _ in range(3)])

    assert not [result for result in results if isinstance(result, Exception)]
    assert DeliveryPosition.objects.get(pk=event.pk).sequence == 41
    assert sorted(booking for booking, *_ in stored_mails()) == sorted(booking.pk for booking in bookings)


@pytest.mark.django_db(transaction=True)
@pytest.mark.mariadb
def test_reading_locks_no_event_and_no_booking():
    """A booking never waits for a delivery: a foreign key of the database would lock the event's row."""
    booking = BookingFactory()

    def book(_):
        return BookingFactory(event=booking.event).pk

    with transaction.atomic():
        notifications.add_positions()
        notifications.read_part.__wrapped__(booking.event_id)
        assert Mail.objects.exists()
        [made] = run_together(1, book)

    assert isinstance(made, int)


def test_fact_that_was_read_too_late_is_given_up_and_not_sent():
    booking = BookingFactory()
    old = timezone.now() - notifications.GIVE_UP_AFTER - timedelta(minutes=1)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE bookings_ledgerentry SET created_at = %s", [connection.ops.adapt_datetimefield_value(old)]
        )
    read_all()

    assert stored_mails(state="given_up") == [(booking.pk, booking.email, ["booked"])]
    assert Mail.objects.get().error == notifications.TOO_OLD


def test_skip_all_notifies_nobody_of_what_was_until_now():
    booking = BookingFactory()

    notifications.skip_all()
    assert notifications.events_with_news() == {}
    cancel_tickets(booking, actor=booking.user)
    read_all()

    assert kinds_of(booking) == ["cancelled"]


def test_event_that_tells_nobody_is_never_read():
    event = EventFactory()
    notifications.mute_event(event.pk)
    booking = BookingFactory(event=event)
    read_all()
    assert stored_mails() == []

    notifications.skip_to_end(event.pk)
    cancel_tickets(booking, actor=booking.user)
    read_all()

    assert kinds_of(booking) == ["cancelled"]


def test_demo_data_is_told_to_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(seed_demo, "PASSWORD_FILE", tmp_path / "password")
    call_command("seed_demo", verbosity=0, stdout=StringIO())
    read_all()

    assert Booking.objects.count() > 30
    assert stored_mails() == []


def test_rehearsal_is_told_to_nobody():
    copy = open_copy(EventFactory())
    make_buyers(1)
    BookingFactory(event=copy, user=UserFactory(), email="buyer@example.org")
    read_all()
    assert stored_mails() == []
    remove_rehearsals()

    assert not DeliveryPosition.objects.filter(pk=copy.pk).exists()
