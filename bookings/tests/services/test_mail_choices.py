"""What staff chose for the mails of their actions: a note that stands in them, or that nobody is told."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from bookings.exceptions import CapacityBelowHeld, KeyReused, MoreThanReserved
from bookings.outbox import Mail, MailChoice, MailOptions
from bookings.services import events as event_services
from bookings.services import notifications
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, cancel_what_is_left, change_event
from bookings.services.messages import compose_mail
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.voiding import void_tickets
from bookings.services.waitlist import move_in_waitlist, serve_out_of_turn
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all, stored_mails
from events.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on", "at_once")]

NOTE = MailOptions("Sorry, the <b>hall</b> is flooded.\nYours, Emmy")
SILENT = MailOptions(is_silent=True)


def book(event, name, tickets=1):
    return BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, email=f"{name.lower()}@e.org")


def told(after=0):
    """The kinds that each person was told, with the note of each, in their order."""
    mails = Mail.objects.filter(sequence__gt=after).order_by("sequence", "pk")
    notes = dict(MailChoice.objects.values_list("pk", "note"))
    return [(mail.name, fact["kind"], notes.get(fact.get("choice"))) for mail in mails for fact in mail.facts]


@pytest.fixture
def gala():
    """Ada holds both tickets; Grace and Alan wait for one each."""
    event = EventFactory(name="Gala", total_tickets=2)
    people = book(event, "Ada", 2), book(event, "Grace"), book(event, "Alan")
    read_all()
    Mail.objects.update(state="sent", sent_at=timezone.now())
    return Event.objects.get(pk=event.pk), *people


ACTIONS = {
    "cancel": (
        lambda actor, event, ada, grace, alan, mails: cancel_tickets(ada, tickets=1, actor=actor, mails=mails),
        [("Ada", "reduced"), ("Grace", "promoted")],
    ),
    "move": (
        lambda actor, event, ada, grace, alan, mails: move_in_waitlist(
            alan, position=1, reason="a promise", actor=actor, mails=mails
        ),
        [],
    ),
    "serve": (
        lambda actor, event, ada, grace, alan, mails: serve_out_of_turn(
            alan, reason="a guest", actor=actor, adds=True, mails=mails
        ),
        [("Alan", "promoted")],
    ),
    "transfer": (
        lambda actor, event, ada, grace, alan, mails: transfer_booking(
            ada, holder=Holder("Lise", "", "lise@e.org"), actor=actor, mails=mails
        ),
        [("Ada", "transferred_away"), ("Lise", "transferred")],
    ),
    "correct": (
        lambda actor, event, ada, grace, alan, mails: transfer_booking(
            ada, holder=Holder("Adah", "", "ada@e.org", is_same=True), actor=actor, mails=mails
        ),
        [("Adah", "corrected")],
    ),
    "void": (
        lambda actor, event, ada, grace, alan, mails: void_tickets(ada, actor=actor, reason="lost", mails=mails),
        [("Ada", "voided")],
    ),
    "capacity": (
        lambda actor, event, ada, grace, alan, mails: change_event(
            event.pk, changes={"total_tickets": 4}, actor=actor, mails=mails
        ),
        [("Grace", "promoted"), ("Alan", "promoted")],
    ),
    "edit": (
        lambda actor, event, ada, grace, alan, mails: change_event(
            event.pk, changes={"venue": "Hall B"}, actor=actor, mails=mails
        ),
        [("Ada", "event_changed"), ("Grace", "event_changed"), ("Alan", "event_changed")],
    ),
    "cancel event": (
        lambda actor, event, ada, grace, alan, mails: cancel_event(event.pk, actor=actor, mails=mails),
        [("Ada", "event_cancelled"), ("Grace", "event_cancelled"), ("Alan", "event_cancelled")],
    ),
    "book": (
        lambda actor, event, ada, grace, alan, mails: book_tickets(
            BookingRequest(event.pk, 1, "Kurt", "", "kurt@e.org", actor=actor, mails=mails), key="desk"
        ),
        [("Kurt", "waitlisted")],
    ),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_note_stands_in_each_mail_of_an_action_and_in_no_other(gala, admin_user, action):
    known = gala[0].ledger_sequence
    act, expected = ACTIONS[action]

    act(admin_user, *gala, NOTE)
    later = EventFactory()
    book(later, "Other")
    read_all()

    mails = Mail.objects.exclude(booking__event=later).filter(sequence__gt=known)
    assert [(mail.name, fact["kind"]) for mail in mails.order_by("sequence", "pk") for fact in mail.facts] == expected
    for mail in Mail.objects.filter(pk__in=mails):
        written = compose_mail(mail)
        assert "Sorry, the <b>hall</b> is flooded.\nYours, Emmy\n" in written.body
        [(html, _)] = written.alternatives
        assert "<p>Sorry, the &lt;b&gt;hall&lt;/b&gt; is flooded.<br>Yours, Emmy</p>" in html
    assert "flooded" not in compose_mail(Mail.objects.get(booking__event=later)).body


@pytest.mark.parametrize("action", ACTIONS)
def test_silent_action_sends_no_mail_and_the_next_one_does(gala, admin_user, action):
    event, known = gala[0], Mail.objects.count()
    act, _ = ACTIONS[action]

    act(admin_user, *gala, SILENT)
    read_all()

    event.refresh_from_db()
    assert Mail.objects.count() == known
    choice = MailChoice.objects.get()
    assert (choice.first, choice.last, choice.is_silent) == (4 + 1, event.ledger_sequence, True)
    if action != "cancel event":
        kurt = book(event, "Late")
        read_all()
        assert told(after=event.ledger_sequence) == [("Late", "waitlisted", None)]
        assert kurt.pk


@pytest.mark.parametrize("action", ACTIONS)
def test_action_without_a_choice_writes_no_row(gala, admin_user, action):
    act, _ = ACTIONS[action]

    act(admin_user, *gala, None)

    assert not MailChoice.objects.exists()


def test_refused_action_keeps_no_choice(gala, admin_user):
    event, ada, *_ = gala

    with pytest.raises(CapacityBelowHeld):
        change_event(event.pk, changes={"total_tickets": 1}, actor=admin_user, mails=NOTE)
    with pytest.raises(MoreThanReserved):
        cancel_tickets(ada, tickets=5, actor=admin_user, mails=NOTE)

    assert not MailChoice.objects.exists()


@pytest.mark.parametrize(("mails", "expected"), [(SILENT, []), (NOTE, ["event_cancelled"] * 5)])
def test_bookings_that_are_cancelled_in_parts_have_the_choice_of_their_event(monkeypatch, admin_user, mails, expected):
    event = EventFactory(total_tickets=9)
    for place in range(5):
        book(event, f"P{place}")
    read_all()
    monkeypatch.setattr(event_services, "BOOKINGS_A_PART", 2)
    monkeypatch.setattr(event_services, "CANCEL_SECONDS", -1)

    cancel_event(event.pk, actor=admin_user, mails=mails)
    read_all()
    # The upkeep goes on, which knows nothing of the choice.
    for _ in range(3):
        cancel_what_is_left(event.pk)
        read_all()

    event.refresh_from_db()
    kinds = [kind for _, _, kinds in stored_mails() for kind in kinds if kind != "booked"]
    assert kinds == expected
    assert all("flooded" in compose_mail(mail).body for mail in Mail.objects.filter(sequence__gt=6))
    assert MailChoice.objects.get().last == event.ledger_sequence == 6 + 1 + 5


def test_merged_mail_has_all_notes_each_once(gala, admin_user, monkeypatch):
    monkeypatch.setattr(notifications, "MERGED_WITHIN", notifications.timedelta(minutes=1))
    _, ada, *_ = gala

    for note in ("First", "Second", "Second"):
        void_tickets(ada, actor=admin_user, reason="lost", mails=MailOptions(note))
    read_all()

    [mail] = Mail.objects.filter(booking=ada, sequence__gt=4)
    assert compose_mail(mail).body.count("First\n\nSecond\n") == 1
    assert compose_mail(mail).body.count("Second") == 1


def test_silent_edit_is_told_by_no_other_edit(gala, admin_user):
    event, *_ = gala

    change_event(event.pk, changes={"venue": "Hall B"}, actor=admin_user)
    change_event(event.pk, changes={"name": "Ball"}, actor=admin_user, mails=SILENT)
    read_all()
    assert changes_told() == [["venue", "", "Hall B"]]
    change_event(event.pk, changes={"venue": "Hall C"}, actor=admin_user)
    read_all()

    assert changes_told() == [["venue", "", "Hall B"], ["venue", "Hall B", "Hall C"]]


def test_silent_date_of_another_zone_is_told_by_no_other_edit(gala, admin_user):
    event, *_ = gala
    date = datetime(2031, 1, 1, 20, tzinfo=ZoneInfo("Europe/Berlin"))

    change_event(event.pk, changes={"date": date}, actor=admin_user, mails=SILENT)
    read_all()
    change_event(event.pk, changes={"venue": "Hall B"}, actor=admin_user)
    read_all()

    assert changes_told() == [["venue", "", "Hall B"]]


def test_silent_edits_between_others_of_the_same_field(gala, admin_user):
    event, *_ = gala

    change_event(event.pk, changes={"venue": "A"}, actor=admin_user, mails=SILENT)
    change_event(event.pk, changes={"venue": "B"}, actor=admin_user)
    change_event(event.pk, changes={"venue": "C"}, actor=admin_user, mails=SILENT)
    change_event(event.pk, changes={"venue": "D"}, actor=admin_user)
    read_all()

    assert changes_told() == [["venue", "A", "B"], ["venue", "C", "D"]]


def changes_told():
    """The changes that Ada was told, in their order."""
    mails = Mail.objects.filter(name="Ada").order_by("sequence")
    return [change for mail in mails for fact in mail.facts for change in fact.get("changes", [])]


def test_silent_correction_gives_mails_that_wait_the_right_address(gala, admin_user):
    _, ada, *_ = gala
    Mail.objects.update(state="waiting", sent_at=None)

    transfer_booking(ada, holder=Holder("Ada", "", "right@e.org", is_same=True), actor=admin_user, mails=SILENT)
    read_all()

    assert stored_mails(booking=ada) == [(ada.pk, "right@e.org", ["booked"])]


def test_silent_correction_that_takes_the_address_away_leaves_no_mail(gala, admin_user):
    _, ada, *_ = gala
    Mail.objects.update(state="waiting", sent_at=None)

    transfer_booking(ada, holder=Holder("Ada", "", "", is_same=True), actor=admin_user, mails=SILENT)
    read_all()

    assert stored_mails(booking=ada) == []


def test_booking_that_is_repeated_with_its_key_keeps_one_choice(admin_user):
    event = EventFactory()
    request = BookingRequest(event.pk, 1, "Kurt", "", "kurt@e.org", actor=admin_user, mails=NOTE)

    first, second = (book_tickets(request, key="desk") for _ in range(2))

    assert (second.is_replayed, second.booking.pk) == (True, first.booking.pk)
    assert MailChoice.objects.count() == 1
    with pytest.raises(KeyReused):
        book_tickets(BookingRequest(event.pk, 1, "Kurt", "", "kurt@e.org", actor=admin_user, mails=SILENT), key="desk")


def test_choice_that_is_not_kept_has_undone_its_action(gala, admin_user, monkeypatch):
    event, ada, *_ = gala

    def fail(*args, **options):
        raise RuntimeError("killed")

    monkeypatch.setattr(MailChoice, "keep", fail)
    with pytest.raises(RuntimeError):
        cancel_tickets(ada, actor=admin_user, mails=SILENT)
    with pytest.raises(RuntimeError):
        void_tickets(ada, actor=admin_user, reason="lost", mails=SILENT)

    event.refresh_from_db()
    ada.refresh_from_db()
    assert (event.ledger_sequence, ada.status) == (4, "completed")
