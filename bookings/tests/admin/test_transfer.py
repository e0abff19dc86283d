"""A booking is moved to another name: who may do it, and its effects."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from bookings.exceptions import AlreadyCancelled, PersonLimit
from bookings.models import MAX_NOTE, Booking, LedgerEntry
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.services.transfer import Holder, transfer_booking
from bookings.services.verification import verify_events
from bookings.tests.admin.confirming import CALLER, confirm, errors, lines, look
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.pages.visiting import link_of
from bookings.tests.state import everything, ledger
from events.models import Event

pytestmark = pytest.mark.django_db
GRACE = Holder("Grace", "Hopper", "grace@example.org")


@pytest.fixture
def manager():
    return UserFactory()


@pytest.fixture
def event():
    return EventFactory(total_tickets=4)


def findings():
    return [finding for report in verify_events() for finding in report.findings]


def note():
    return LedgerEntry.objects.get(kind="transferred").note


def test_transfer_keeps_tickets_and_tells_the_ledger(manager, event):
    booking = BookingFactory(event=event, tickets=3, email="ada@example.org")

    moved = transfer_booking(booking, holder=GRACE, actor=manager, reason="Fell ill")

    stored = Booking.objects.get()
    assert (stored.first_name, stored.last_name, stored.email) == ("Grace", "Hopper", "grace@example.org")
    assert (stored.user, stored.status, stored.tickets_reserved) == (None, "completed", 3)
    assert stored.updated_at > booking.updated_at
    assert (moved.first_name, moved.user_id) == ("Grace", None)
    assert ledger(event, after=2) == [(3, "transferred", 3, 1, 0, booking.pk, manager.pk)]
    assert note() == "Ada Lovelace → Grace Hopper, another mail address, taken from its account: Fell ill"
    assert findings() == []


def test_transfer_reads_the_booking_once(manager, event):
    booking = BookingFactory(event=event)

    with CaptureQueriesContext(connection) as queries:
        transfer_booking(booking, holder=GRACE, actor=manager)

    statements = [query["sql"].replace("`", "").replace('"', "") for query in queries]
    assert sum("FROM bookings_booking" in statement for statement in statements) == 1


def test_transfer_of_who_waits_keeps_the_place(manager, event):
    BookingFactory(event=event, tickets=4)
    first, second = BookingFactory.create_batch(2, event=event, tickets=2)

    transfer_booking(first, holder=GRACE, actor=manager)

    stored = Booking.objects.get(pk=first.pk)
    assert (stored.status, stored.waitlist_number) == ("waitlisted", first.waitlist_number)
    assert (stored.waitlist_position, second.waitlist_position) == (1, 2)
    assert findings() == []


def test_guest_s_token_ends_with_another_person(manager, event, anonymous):
    booking = BookingFactory(event=event, user=None, email="ada@example.org")
    url, headers = f"/api/v1/booking/{booking.pk}", {"Booking-Token": booking.token}
    assert anonymous.get(url, headers=headers).status_code == 200

    transfer_booking(booking, holder=Holder("Ada", "Byron", "ada@example.org"), actor=manager)

    assert anonymous.get(url, headers=headers).status_code == 404
    assert Booking.objects.get().token_hash is None
    assert note() == "Ada Lovelace → Ada Byron, its token ended"


def test_account_loses_what_is_another_s(manager, event, owner, user):
    booking = BookingFactory(event=event, user=user)
    assert owner.get(f"/api/v1/booking/{booking.pk}").status_code == 200

    transfer_booking(booking, holder=GRACE, actor=manager)

    assert owner.get(f"/api/v1/booking/{booking.pk}").status_code == 404


def test_same_person_keeps_account(manager, event, user):
    booking = BookingFactory(event=event, user=user, email="ada@example.org")

    transfer_booking(booking, holder=Holder("Ada", "King", "ada@example.org", is_same=True), actor=manager)

    stored = Booking.objects.get()
    assert (stored.user, stored.last_name) == (user, "King")
    assert note() == "Ada Lovelace → Ada King"


def test_same_guest_keeps_the_token(manager, event, anonymous):
    booking = BookingFactory(event=event, user=None)

    transfer_booking(booking, holder=Holder("Ada", "Lovelace", "new@example.org", is_same=True), actor=manager)

    answer = anonymous.get(f"/api/v1/booking/{booking.pk}", headers={"Booking-Token": booking.token})
    assert (answer.status_code, answer.json()["data"]["email"]) == (200, "new@example.org")
    assert note() == "another mail address"


def test_seat_of_one_ticket_is_free_for_its_account_again(manager, event, user):
    seat = BookingRequest(event.pk, 1, "Ada", user=user, is_only_one=True)
    booking = book_tickets(seat).booking

    transfer_booking(booking, holder=GRACE, actor=manager)

    stored = Booking.objects.get()
    assert (stored.one_ticket_holder, stored.user, stored.status) == (None, None, "completed")
    book_tickets(seat)
    assert Booking.objects.filter(one_ticket_holder=user).count() == 1
    assert findings() == []


def test_mail_addresses_stay_out_of_the_ledger(manager, event):
    booking = BookingFactory(event=event, email="ada@example.org")

    transfer_booking(booking, holder=GRACE, actor=manager)

    assert "@" not in note()


@pytest.mark.parametrize("is_same", [True, False])
def test_transfer_to_who_it_is_for_already_writes_nothing(manager, event, is_same):
    booking = BookingFactory(event=event, user=None, email="ada@example.org")
    Booking.objects.update(token_hash=None)
    before = everything()

    holder = Holder("Ada", "Lovelace", " ADA@example.org ", is_same=is_same)
    moved = transfer_booking(booking, holder=holder, actor=manager, reason="None")

    assert moved.pk == booking.pk
    assert everything() == before


def test_cancelled_booking_is_not_transferred(manager, event):
    booking = BookingFactory(event=event)
    cancel_tickets(booking)
    before = everything()

    with pytest.raises(AlreadyCancelled):
        transfer_booking(booking, holder=GRACE, actor=manager)

    assert everything() == before


def test_booking_of_a_cancelled_event_is_not_transferred(manager, event):
    booking = BookingFactory(event=event)
    cancel_event(event.pk, actor=manager)
    before = everything()

    with pytest.raises(AlreadyCancelled):
        transfer_booking(booking, holder=GRACE, actor=manager)

    assert everything() == before


def test_reason_of_any_length_fits_the_ledger(manager, event):
    booking = BookingFactory(event=event)

    transfer_booking(booking, holder=GRACE, actor=manager, reason="because " * (MAX_NOTE // 8))

    assert len(note()) == MAX_NOTE
    assert note().startswith("Ada Lovelace → Grace Hopper, ")


@pytest.fixture
def limited():
    event = EventFactory(total_tickets=20, max_tickets_per_person=4)
    BookingFactory(event=event, user=None, tickets=3, email="grace@example.org")
    return event


def test_transfer_beyond_the_limit_of_a_person_is_refused(manager, limited):
    booking = BookingFactory(event=limited, tickets=2)
    before = everything()

    with pytest.raises(PersonLimit):
        transfer_booking(booking, holder=GRACE, actor=manager)

    assert everything() == before
    transfer_booking(booking, holder=GRACE._replace(email="g@example.org"), actor=manager)


def test_transfer_to_another_address_of_the_same_guest_counts_there(manager, limited):
    booking = BookingFactory(event=limited, user=None, tickets=2)

    with pytest.raises(PersonLimit):
        transfer_booking(booking, holder=GRACE._replace(is_same=True), actor=manager)


def test_transfer_that_changes_a_name_alone_is_no_matter_of_the_limit(manager, limited):
    booking = Booking.objects.get()
    Event.objects.update(max_tickets_per_person=1)

    moved = transfer_booking(booking, holder=GRACE, actor=manager)

    assert moved.first_name == "Grace"


def test_transfer_beyond_the_limit_is_refused_before_it_is_confirmed(superuser_client, limited):
    booking = BookingFactory(event=limited, tickets=2)

    shown = look(superuser_client, booking, "transfer", first_name="Grace", email="Grace@example.org", who="another")

    assert errors(shown) == {
        "__all__": [
            "This event gives at most 4 tickets to a person, waiting ones too. This person has 3, so 1 is left."
        ]
    }


def test_caller_gets_no_more_than_the_limit_of_a_person(superuser_client, limited):
    shown = look(superuser_client, limited, "book", **{**CALLER, "email": "GRACE@example.org"})

    assert errors(shown) == {
        "tickets": [
            "This event gives at most 4 tickets to a person, waiting ones too. This person has 3, so 1 is left."
        ]
    }


def test_transfer_takes_names_as_long_as_an_accounts(superuser_client, event):
    booking = BookingFactory(event=event, user=None)
    Booking.objects.filter(pk=booking.pk).update(first_name="A" * 150, last_name="B" * 150)

    shown = look(superuser_client, booking, "transfer", email="new@example.org", who="same")
    confirm(superuser_client, booking, "transfer", shown)

    booking.refresh_from_db()
    assert (booking.first_name, booking.last_name, booking.email) == ("A" * 150, "B" * 150, "new@example.org")


def test_transfer_refuses_names_that_no_booking_can_have(superuser_client, event):
    booking = BookingFactory(event=event, user=None)

    response = look(superuser_client, booking, "transfer", first_name="A" * 151, last_name="B" * 151, who="same")

    assert list(errors(response)) == ["first_name", "last_name"]


def test_preview_says_that_an_account_with_the_verified_address_keeps_the_booking(superuser_client, event, owner, user):
    User.objects.filter(pk=user.pk).update(email_verified_at=timezone.now())
    booking = BookingFactory(event=event, user=user, email=user.email)
    same_address = {"first_name": "Grace", "last_name": "Hopper", "email": user.email, "who": "another"}
    keeps = f"It leaves the account {user.username}, which still sees it by its verified mail address."
    leaves = f"It leaves the account {user.username}, which can then neither see nor cancel it."

    other_address = look(superuser_client, booking, "transfer", **same_address | {"email": "grace@example.org"})
    shown = look(superuser_client, booking, "transfer", **same_address)
    confirm(superuser_client, booking, "transfer", shown)

    assert (leaves in lines(other_address), keeps in lines(other_address)) == (True, False)
    assert (leaves in lines(shown), keeps in lines(shown)) == (False, True)
    assert owner.get(f"/api/v1/booking/{booking.pk}").status_code == 200


def test_preview_says_that_a_new_address_of_the_same_person_ends_links(superuser_client, event):
    booking = BookingFactory(event=event, user=None, email="ada@example.org")
    ends, before = "Links in mails that were sent about it no longer open it.", link_of(booking)
    typed = {"first_name": "Ada", "last_name": "King", "email": "ada@example.org", "who": "same"}

    renamed = look(superuser_client, booking, "transfer", **typed)
    confirm(superuser_client, booking, "transfer", renamed)
    link_after_name = link_of(booking)
    moved = look(superuser_client, booking, "transfer", **typed | {"email": "king@example.org"})
    confirm(superuser_client, booking, "transfer", moved)

    assert (ends in lines(renamed), link_after_name == before) == (False, True)
    assert (ends in lines(moved), link_of(booking) == before) == (True, False)


# The language


def test_staff_correct_the_language_of_a_booking(superuser_client, event):
    booking = BookingFactory(event=event, user=None)
    same = {"first_name": booking.first_name, "last_name": booking.last_name, "email": booking.email, "who": "same"}

    shown = look(superuser_client, booking, "transfer", **same, language="de")
    report = confirm(superuser_client, booking, "transfer", shown)

    assert "The language of its mails and tickets is German." in shown.content.decode()
    assert Booking.objects.get().language == "de"
    assert note() == "another language"
    assert "<dt>Language</dt><dd>German</dd>" in report.content.decode()


def test_form_of_a_transfer_begins_with_the_language_that_the_booking_has(superuser_client, event):
    booking = BookingFactory(event=event, user=None)
    Booking.objects.update(language="de")

    page = superuser_client.get(f"/admin/bookings/booking/{booking.pk}/transfer/").content.decode()

    assert '<option value="de" selected>German</option>' in page


def test_language_that_mails_have_not_is_refused(superuser_client, event):
    booking = BookingFactory(event=event)

    response = look(superuser_client, booking, "transfer", **{**CALLER, "who": "same"}, language="fr")

    assert list(errors(response)) == ["language"]
    assert LedgerEntry.objects.filter(kind="transferred").count() == 0
