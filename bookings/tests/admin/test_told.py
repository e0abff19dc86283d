"""Who will be told of an action, as its page says it, and what staff choose for the mails."""

import pytest
from django.contrib.auth.models import Permission

from accounts.tests.factories import UserFactory
from bookings.outbox import DeliveryPosition, Mail, MailChoice
from bookings.services import audiences
from bookings.tests.admin.confirming import as_persona, confirm, errors, look, said, url_of
from bookings.tests.admin.test_bulk_cancel import act, stamp_of
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.mail_server import read_all, stored_mails
from bookings.tests.state import digest_of_all_tables
from events.models import Event

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("mails_on", "at_once")]

ADA, GRACE, ALAN = (f"{name} <{name.lower()}@example.org>" for name in ("Ada", "Grace", "Alan"))
ALL = f"{ADA}, {GRACE} and {ALAN} will be told by mail."
NOBODY = ["Nobody will be told by mail."]


def book(event, name, tickets=1, **fields):
    fields = {"email": f"{name.lower()}@example.org", "user": None} | fields
    return BookingFactory(event=event, first_name=name, last_name="", tickets=tickets, **fields)


@pytest.fixture
def gala(superuser_client):
    """Ada holds 3 of 4 tickets; Grace and Alan wait for 2 each, Kurt for 3, and Kurt has no mail address."""
    event = EventFactory(name="Gala", total_tickets=4, venue="Hall A")
    people = {"Ada": book(event, "Ada", 3), "Grace": book(event, "Grace", 2), "Alan": book(event, "Alan", 2)}
    people["Kurt"] = book(event, "Kurt", 3, email="")
    read_all()
    event.refresh_from_db()
    return people | {"event": event}


def recipients(response) -> list[str]:
    content = response.content.decode()
    assert ("Who will be told" in content) == bool(response.context["recipients"])
    return response.context["recipients"]


TRANSFER = {"first_name": "Lise", "last_name": "Meitner", "email": "lise@example.org"}
WITHOUT = "1 booking has no mail address."
TOLD = {
    "cancel": ("Ada", "cancel", {}, [ALL]),
    "part-cancel": ("Ada", "cancel", {"tickets": "1"}, [f"{ADA} and {GRACE} will be told by mail."]),
    "cancel of who has no address": ("Kurt", "cancel", {}, [*NOBODY, WITHOUT]),
    "transfer": (
        "Ada",
        "transfer",
        TRANSFER | {"who": "another"},
        [f"Lise Meitner <lise@example.org> and {ADA} will be told by mail."],
    ),
    "correction": (
        "Ada",
        "transfer",
        TRANSFER | {"who": "same"},
        ["Lise Meitner <lise@example.org> will be told by mail."],
    ),
    "transfer to nobody's address": (
        "Ada",
        "transfer",
        TRANSFER | {"email": "", "who": "another"},
        [f"{ADA} will be told by mail.", WITHOUT],
    ),
    "void": ("Ada", "void", {"reason": "lost"}, [f"{ADA} will be told by mail."]),
    "move": ("Alan", "move", {"position": "1", "reason": "a promise"}, NOBODY),
    "serve": ("Alan", "serve", {"reason": "a guest", "adds": "on"}, [f"{ALAN} will be told by mail."]),
    "serve who has no address": ("Kurt", "serve", {"reason": "a guest", "adds": "on"}, [*NOBODY, WITHOUT]),
    "capacity": ("event", "capacity", {"total": "7"}, [f"{GRACE} and {ALAN} will be told by mail."]),
    "capacity for all": ("event", "capacity", {"total": "10"}, [f"{GRACE} and {ALAN} will be told by mail.", WITHOUT]),
    "capacity that serves nobody": ("event", "capacity", {"total": "4"}, NOBODY),
    "sales": ("event", "sales", {"what": "close"}, NOBODY),
    "name": ("event", "edit", {"name": "Ball"}, [ALL, WITHOUT]),
    "date": ("event", "edit", {"date": "2031-01-01 20:00"}, [ALL, WITHOUT]),
    "venue": ("event", "edit", {"venue": "Hall B"}, [ALL, WITHOUT]),
    "description": ("event", "edit", {"description": "New"}, NOBODY),
    "cancel event": ("event", "cancel", {}, [ALL, WITHOUT]),
    "book": (
        "event",
        "book",
        {"tickets": "1", "first_name": "Emmy", "last_name": "Noether", "email": "Emmy@Example.org"},
        ["Emmy Noether <emmy@example.org> will be told by mail."],
    ),
    "book without an address": ("event", "book", {"tickets": "1", "first_name": "Emmy"}, [*NOBODY, WITHOUT]),
}


@pytest.mark.parametrize("case", TOLD)
def test_page_says_who_will_be_told(superuser_client, gala, case):
    who, action, typed, expected = TOLD[case]
    before = digest_of_all_tables()

    shown = look(superuser_client, gala[who], action, **typed)

    assert recipients(shown) == expected
    assert digest_of_all_tables() == before


@pytest.mark.parametrize("case", TOLD)
def test_whoever_was_named_gets_a_mail_with_the_note_and_nobody_else_does(superuser_client, gala, case):
    who, action, typed, expected = TOLD[case]
    Mail.objects.all().delete()

    shown = look(superuser_client, gala[who], action, **typed, mail_note="Sorry.\nYours, Emmy")
    confirm(superuser_client, gala[who], action, shown, **({"is_sure": "on"} if case == "cancel event" else {}))
    read_all()

    addresses = {address for _, address, _ in stored_mails()}
    assert all(f"<{address}>" in expected[0] for address in addresses)
    assert len(addresses) == expected[0].count("<")
    if addresses:
        assert MailChoice.objects.get().note == "Sorry.\nYours, Emmy"
        assert {fact.get("choice") for mail in Mail.objects.all() for fact in mail.facts} == {
            MailChoice.objects.get().pk
        }


@pytest.mark.parametrize("case", TOLD)
def test_nobody_is_told_if_staff_choose_so(superuser_client, gala, case):
    who, action, typed, _ = TOLD[case]
    subject, known = gala[who], Mail.objects.count()

    shown = look(superuser_client, subject, action, **typed, tells_nobody="on")
    assert recipients(shown) == ["Nobody will be told, as you have chosen."]
    confirm(superuser_client, subject, action, shown, **({"is_sure": "on"} if case == "cancel event" else {}))
    read_all()

    assert Mail.objects.count() == known


@pytest.mark.parametrize("is_silent", [True, False])
def test_history_says_what_was_chosen(superuser_client, gala, is_silent):
    ada = gala["Ada"]
    typed = {"tells_nobody": "on"} if is_silent else {"mail_note": "Sorry <b>"}
    shown = look(superuser_client, ada, "cancel", tickets="1", **typed)
    confirm(superuser_client, ada, "cancel", shown)

    words = "(nobody was told)" if is_silent else "(with a note in the mail: Sorry &lt;b&gt;)"
    for page in (url_of(ada), url_of(gala["event"]), "/admin/", "/admin/bookings/ledgerentry/"):
        content = superuser_client.get(page).content.decode()
        assert f"superuser gave back 1 ticket of Ada {words}" in content
        assert f"Ada booked 3 tickets {words}" not in content


def test_note_and_silence_together_leave_the_note_out(superuser_client, gala):
    shown = look(superuser_client, gala["Ada"], "cancel", mail_note="Sorry.", tells_nobody="on")

    assert recipients(shown) == ["Nobody will be told, as you have chosen.", "The note is left out."]


@pytest.mark.parametrize(
    ("note", "error"),
    [
        ("x" * 1001, "Ensure this value has at most 1000 characters (it has 1001)."),
        ("bell\x07", "Control characters other than line breaks and tabs are not allowed."),
    ],
)
def test_note_that_cannot_be_sent_is_refused(superuser_client, gala, note, error):
    before = digest_of_all_tables()

    shown = look(superuser_client, gala["Ada"], "cancel", mail_note=note)

    assert errors(shown) == {"mail_note": [error]}
    assert digest_of_all_tables() == before


def test_other_note_is_shown_again_before_anything_is_done(superuser_client, gala):
    shown = look(superuser_client, gala["Ada"], "cancel", mail_note="One")
    before = digest_of_all_tables()

    again = confirm(superuser_client, gala["Ada"], "cancel", shown, mail_note="Two")

    assert said(again)[0].startswith("Nothing was done yet.")
    after = digest_of_all_tables()
    assert {table for table in after if after[table] != before[table]} <= {"accounts_browsersession", "django_session"}


def test_many_are_counted(superuser_client):
    event = EventFactory(total_tickets=20)
    for place in range(9):
        book(event, f"P{place}")
    book(event, "Nobody", email="")
    book(event, "Again", email="p1@example.org")

    assert recipients(look(superuser_client, event, "cancel")) == ["9 holders will be told by mail.", WITHOUT]


def test_more_than_can_be_looked_at_are_an_upper_bound(superuser_client, gala, monkeypatch):
    monkeypatch.setattr(audiences, "MAX_READ", 2)

    assert recipients(look(superuser_client, gala["event"], "cancel")) == [
        "Up to 4 holders will be told by mail, each address once."
    ]


def test_bookings_of_one_address_are_read_within_the_bound_too(monkeypatch):
    monkeypatch.setattr(audiences, "MAX_READ", 3)
    event = EventFactory(total_tickets=20)
    # Four persons have one mail address.
    for account in UserFactory.create_batch(4):
        book(event, "Ada", user=account)
    event.refresh_from_db()
    audience = audiences.Audience()

    audience.add_live(event)

    assert (len(audience.people), audience.read, audience.left, audience.unread) == (1, 3, 0, 1)


def test_who_may_not_see_bookings_sees_no_address(client, gala):
    as_persona(client, "manager")
    Permission.objects.get(codename="view_booking").group_set.clear()

    assert recipients(look(client, gala["event"], "capacity", total="7")) == ["2 holders will be told by mail."]


def test_page_of_an_event_that_tells_nobody_says_so(superuser_client, gala):
    DeliveryPosition.objects.filter(event=gala["event"]).update(sequence=DeliveryPosition.NEVER)

    assert recipients(look(superuser_client, gala["event"], "cancel")) == NOBODY
    assert recipients(look(superuser_client, gala["Ada"], "cancel")) == NOBODY


def test_page_says_that_mails_are_off_and_asks_for_no_note(superuser_client, gala, settings):
    settings.MAIL_ENABLED = False

    shown = look(superuser_client, gala["Ada"], "cancel")

    assert recipients(shown) == ["Nobody will be told: this installation sends no mails."]
    assert "mail_note" not in shown.content.decode()


def test_bookings_of_a_list_are_cancelled_with_one_note(superuser_client, gala):
    other = BookingFactory(event=EventFactory(name="Other"), first_name="Ada", last_name="", email="ada@example.org")
    read_all()
    Mail.objects.all().delete()
    rows = (gala["Ada"], gala["Kurt"], other)

    shown = act(superuser_client, "cancel_bookings", *rows, mail_note="Sorry.", stamp="")
    assert recipients(shown) == [ALL, WITHOUT]
    act(superuser_client, "cancel_bookings", *rows, mail_note="Sorry.", stamp=stamp_of(shown), confirm="yes")
    read_all()

    kinds = [kinds for _, _, kinds in stored_mails()]
    assert sorted(kinds) == [["cancelled"], ["cancelled"], ["promoted"], ["promoted"]]
    assert all("choice" in fact for mail in Mail.objects.all() for fact in mail.facts)


def test_events_of_a_list_are_cancelled_and_nobody_is_told(superuser_client, gala):
    other = EventFactory(name="Other")
    read_all()
    Mail.objects.all().delete()

    shown = act(superuser_client, "cancel_events", gala["event"], other, tells_nobody="on", stamp="")
    act(
        superuser_client, "cancel_events", gala["event"], other, tells_nobody="on", stamp=stamp_of(shown), confirm="yes"
    )
    read_all()

    assert Event.objects.exclude(deleted_at=None).count() == 2
    assert stored_mails() == []
