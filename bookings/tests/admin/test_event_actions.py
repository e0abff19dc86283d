"""Actions of staff on an event: they are shown first, done after the confirmation, and refused in plain words."""

from datetime import UTC, datetime

import pytest
from django.contrib.admin.models import LogEntry

from accounts.tests.factories import UserFactory
from bookings.admin.events import actions, cancelling
from bookings.exceptions import KeyInFlight
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event, change_event
from bookings.tests.admin.confirming import (
    CALLER,
    confirm,
    counts,
    entries,
    errors,
    fields_of,
    lines,
    look,
    said,
    url_of,
)
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.state import digest_of_all_tables
from ticks.actions import NOT_SHOWN
from ticks.db.transactions import Busy, OutcomeUnknown

# Services run inside the transaction of a test, but refuse to run inside one of a view.
pytestmark = pytest.mark.django_db

HUGE = str(10**29)


DONE = {
    "book": (
        CALLER,
        [
            "Emmy Noether is waitlisted for 2 tickets, as number 3 in line: needs 2, 0 available.",
            "It is a guest's booking.",
        ],
        "Waitlisted for 2 tickets as number 3 in line for Emmy Noether. Reference: ",
        [("waitlisted", 2, "Emmy", "superuser", "")],
        (4, 0, 3, 7),
    ),
    "capacity": (
        {"total": "7"},
        [
            "The capacity changes from 4 to 7.",
            "Promotes 1 booking, 2 tickets: Grace (2).",
            "Then 1 ticket available, 1 booking (3 tickets) waiting.",
        ],
        "Gala now has 7 tickets, 1 ticket available, 1 booking (3 tickets) waiting. "
        "Promoted 1 booking, 2 tickets: Grace (2).",
        [("capacity_changed", 3, None, "superuser", ""), ("promoted", 2, "Grace", "superuser", "")],
        (7, 1, 1, 3),
    ),
    "sales": (
        {"what": "times", "sales_end": "2080-01-02T10:30"},
        [
            "Sales are open until 2 Jan 2080, 10:30 UTC: anybody can book.",
            "Bookings that wait keep their places and are still served when tickets come back.",
        ],
        "Gala: Sales are open until 2 Jan 2080, 10:30 UTC: anybody can book.",
        [("edited", 0, None, "superuser", "sales end: nothing → 2080-01-02 10:30 UTC")],
        (4, 0, 2, 5),
    ),
    "edit": (
        {"venue": "Hall"},
        ["Venue: nothing → Hall"],
        "Saved Gala.",
        [("edited", 0, None, "superuser", "venue: nothing → Hall")],
        (4, 0, 2, 5),
    ),
    "cancel": (
        {"is_sure": "on"},
        [
            "1 booking with 4 tickets and 2 waiting bookings are cancelled.",
            "All 4 tickets come back; nobody can book any more.",
            "This cannot be undone.",
        ],
        "Gala is cancelled, with all its bookings. 4 tickets came back.",
        [
            ("event_cancelled", 4, None, "superuser", ""),
            ("cancelled", 4, "Ada", "superuser", "the event was cancelled"),
            ("cancelled", 2, "Grace", "superuser", "the event was cancelled"),
            ("cancelled", 3, "Alan", "superuser", "the event was cancelled"),
        ],
        (4, 4, 0, 0),
    ),
}


@pytest.mark.parametrize("action", DONE)
def test_action_is_shown_then_done_and_told(superuser_client, gala, action):
    typed, will_happen, told, ledger, then = DONE[action]
    known, before = gala.ledger_sequence, digest_of_all_tables()

    shown = look(superuser_client, gala, action, **typed)

    assert lines(shown) == will_happen
    assert digest_of_all_tables() == before
    done = confirm(superuser_client, gala, action, shown)
    assert [text[: len(told)] for text in said(done)] == [told]
    assert [status for _, status in done.redirect_chain] == [302]
    assert entries(gala, after=known) == ledger
    assert counts(gala) == then
    assert LogEntry.objects.get().user.username == "superuser"


def test_capacity_is_changed_though_somebody_joined_the_waitlist_meanwhile(superuser_client, gala):
    shown = look(superuser_client, gala, "capacity", total="12")
    BookingFactory(event=gala, first_name="Kurt", tickets=1)

    confirm(superuser_client, gala, "capacity", shown)

    assert counts(gala) == (12, 2, 0, 0)


@pytest.mark.parametrize(
    ("policy", "total", "sentence"),
    [
        ("first_fit", "8", "1 waiting booking wants more tickets than the event would have, and cannot be promoted."),
        (
            "strict",
            "7",
            "2 waiting bookings want more tickets than the event would have, and cannot be promoted, nor can those "
            "behind them.",
        ),
        ("strict", "9", None),
    ],
)
def test_capacity_that_is_too_small_for_waiting_bookings_says_so(superuser_client, policy, total, sentence):
    event = EventFactory(total_tickets=10, waitlist_policy=policy)
    first, *_ = (BookingFactory(event=event, tickets=tickets) for tickets in (10, 6, 8, 9))
    # Seven tickets are held now, and two bookings wait, for eight and for nine.
    cancel_tickets(first, tickets=9)

    shown = look(superuser_client, event, "capacity", total=total)

    warnings = [line for line in lines(shown) if "cannot be promoted" in line]
    assert warnings == ([sentence] if sentence else [])


def test_sales_times_keep_the_seconds_that_the_page_does_not_show(superuser_client, gala):
    start, end = datetime(2080, 1, 1, 9, 30, 15, tzinfo=UTC), datetime(2080, 1, 2, 23, 59, 59, 5000, tzinfo=UTC)
    change_event(gala.pk, changes={"sales_start": start, "sales_end": end}, actor=gala.created_by)

    shown = look(superuser_client, gala, "sales", what="times", sales_start="2080-01-01T08:00")
    confirm(superuser_client, gala, "sales", shown)

    gala.refresh_from_db()
    assert (gala.sales_start, gala.sales_end) == (datetime(2080, 1, 1, 8, tzinfo=UTC), end)


@pytest.mark.parametrize("action", DONE)
def test_action_that_was_not_shown_first_is_shown_and_not_done(superuser_client, gala, action):
    typed = DONE[action][0]
    sent = fields_of(superuser_client.get(url_of(gala, action))) | typed
    before = digest_of_all_tables()

    response = superuser_client.post(url_of(gala, action), sent | {"confirm": "yes", "stamp": "0" * 32})

    assert lines(response) == DONE[action][1]
    assert said(response) == [NOT_SHOWN]
    assert digest_of_all_tables() == before


@pytest.mark.parametrize(
    ("action", "changed"),
    [
        ("book", {"first_name": "Other"}),
        ("capacity", {"total": "8"}),
        ("sales", {"sales_end": "2081-01-02T10:30"}),
        ("edit", {"venue": "Elsewhere"}),
    ],
)
def test_input_changed_after_the_look_is_shown_again(superuser_client, gala, action, changed):
    shown = look(superuser_client, gala, action, **DONE[action][0])
    before = digest_of_all_tables()

    response = confirm(superuser_client, gala, action, shown, **changed)

    assert lines(response) not in ([], DONE[action][1])
    assert said(response) == [NOT_SHOWN]
    assert digest_of_all_tables() == before
    assert len(confirm(superuser_client, gala, action, response).redirect_chain) == 1


def test_event_is_cancelled_only_with_the_tick_beside_its_confirmation(superuser_client, gala):
    before = digest_of_all_tables()

    shown = superuser_client.get(url_of(gala, "cancel"))

    assert lines(shown) == DONE["cancel"][1]
    content = shown.content.decode()
    assert content.index("What will happen") < content.index('name="is_sure"') < content.index('name="confirm"')
    refused = confirm(superuser_client, gala, "cancel", shown)
    assert (refused.context["form"].errors, lines(refused)) == ({"is_sure": ["Tick this to confirm."]}, lines(shown))
    assert digest_of_all_tables() == before
    confirm(superuser_client, gala, "cancel", refused, is_sure="on")
    assert counts(gala) == DONE["cancel"][-1]


@pytest.mark.parametrize("action", ["capacity", "sales", "cancel"])
def test_event_changed_meanwhile_is_told_with_input_kept(superuser_client, gala, action):
    shown = look(superuser_client, gala, action, **DONE[action][0])
    change_event(gala.pk, changes={"venue": "Theirs"}, actor=gala.created_by)
    before = digest_of_all_tables()

    response = confirm(superuser_client, gala, action, shown)

    assert errors(response) == {
        "__all__": ["Somebody changed this event in the meantime; look again and repeat it if it still fits."]
    }
    assert digest_of_all_tables() == before
    # The second try starts from the stored values of now.
    again = superuser_client.post(url_of(gala, action), fields_of(response))
    assert lines(again) == DONE[action][1]
    assert len(confirm(superuser_client, gala, action, again, **DONE[action][0]).redirect_chain) == 1


@pytest.mark.parametrize("action", ["capacity", "sales", "edit", "cancel"])
def test_event_changed_while_saving_is_told(superuser_client, gala, action, monkeypatch):
    module, service = (cancelling, "cancel_event") if action == "cancel" else (actions, "change_event")
    original = getattr(module, service)

    def overtaken(event_id, **kwargs):
        change_event(event_id, changes={"description": "Theirs"}, actor=gala.created_by)
        return original(event_id, **kwargs)

    shown = look(superuser_client, gala, action, **DONE[action][0])
    monkeypatch.setattr(module, service, overtaken)
    response = confirm(superuser_client, gala, action, shown)

    assert errors(response) == {
        "__all__": ["Somebody changed this event in the meantime; read it again and repeat your change."]
    }
    gala.refresh_from_db()
    assert (gala.version, gala.venue, gala.total_tickets, gala.deleted_at) == (2, "", 4, None)
    assert not LogEntry.objects.exists()


SERVICES = {
    "book": "book_tickets",
    "capacity": "change_event",
    "sales": "change_event",
    "edit": "change_event",
    "cancel": "cancel_event",
}


@pytest.mark.parametrize("action", SERVICES)
@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (Busy, "Too many people are at this at once; nothing was changed. Try again in a second."),
        (
            OutcomeUnknown,
            "The database was lost while it saved this: it may be done or not. Look before you repeat it.",
        ),
        (KeyInFlight, "This is being done already. Send it again in a second to see how it went."),
    ],
)
def test_database_that_does_not_do_it_is_told_with_input_kept(
    superuser_client, gala, action, refusal, message, monkeypatch
):
    def refuse(*args, **kwargs):
        raise refusal

    typed = DONE[action][0]
    shown = look(superuser_client, gala, action, **typed)
    monkeypatch.setattr(cancelling if action == "cancel" else actions, SERVICES[action], refuse)
    response = confirm(superuser_client, gala, action, shown)

    assert errors(response) == {"__all__": [message]}
    assert ("Nothing was done." in response.content.decode()) == (refusal is not OutcomeUnknown)
    # The tick belongs to the confirmation, so it is set anew.
    kept = {name: [value] for name, value in typed.items() if name != "is_sure"}
    assert fields_of(response).items() >= kept.items()
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("action", DONE)
def test_cancelled_event_has_nothing_to_do(superuser_client, gala, action):
    shown = look(superuser_client, gala, action, **DONE[action][0])
    cancel_event(gala.pk, actor=gala.created_by)
    before = digest_of_all_tables()

    for response in (
        confirm(superuser_client, gala, action, shown),
        superuser_client.get(url_of(gala, action), follow=True),
    ):
        assert response.redirect_chain == [(url_of(gala), 302)]
        assert said(response) == ["This event is cancelled; nothing was changed."]
        assert f'href="{action}/"' not in response.content.decode()
    assert digest_of_all_tables() == before


# Its small letters are longer than a mail address may be.
TOO_LONG = f"{'İ' * 58}@{'a.' * 96}org"
TOO_LONG_SAID = [
    "Enter a valid email address.",
    "Ensure this value has at most 254 characters (it has 312).",
]
REFUSED = [
    ("book", {"tickets": "5"}, {"tickets": ["This event sells at most 4 tickets a booking."]}),
    ("book", {"tickets": "0"}, {"tickets": ["Ensure this value is greater than or equal to 1."]}),
    ("book", {"tickets": "-1"}, {"tickets": ["Ensure this value is greater than or equal to 1."]}),
    ("book", {"tickets": HUGE}, {"tickets": ["Ensure this value is less than or equal to 1000000."]}),
    ("book", {"tickets": "two"}, {"tickets": ["Enter a whole number."]}),
    ("book", {"tickets": "1.000"}, {"tickets": ["Write 1000, without separators."]}),
    ("book", {"first_name": ""}, {"first_name": ["This field is required."]}),
    ("book", {"first_name": "A\tB"}, {"first_name": ["Control characters such as line breaks are not allowed."]}),
    ("book", {"first_name": "A\0"}, {"first_name": ["Null characters are not allowed."]}),
    ("book", {"first_name": "\u3164"}, {"first_name": ["Write at least one character that can be seen."]}),
    (
        "book",
        {"last_name": "\u202eA"},
        {"last_name": ["Characters that change the direction of writing are not allowed."]},
    ),
    ("book", {"last_name": "x" * 101}, {"last_name": ["Ensure this value has at most 100 characters (it has 101)."]}),
    ("book", {"email": "emmy.example.org"}, {"email": ["Enter a valid email address."]}),
    ("book", {"email": TOO_LONG}, {"email": TOO_LONG_SAID}),
    ("book", {"account": "nobody"}, {"account": [actions.NO_ACCOUNT]}),
    ("book", {"account": "gone"}, {"account": [actions.NO_ACCOUNT]}),
    ("capacity", {"total": "3"}, {"total": ["4 tickets are held; the total cannot be lower. Cancel bookings first."]}),
    ("capacity", {"total": "-1"}, {"total": ["Ensure this value is greater than or equal to 1."]}),
    ("capacity", {"total": HUGE}, {"total": ["Ensure this value is less than or equal to 1000000."]}),
    ("capacity", {"total": "many"}, {"total": ["Enter a whole number."]}),
    ("capacity", {"total": "5.000"}, {"total": ["Write 5000, without separators."]}),
    ("capacity", {"total": ""}, {"total": ["This field is required."]}),
    (
        "sales",
        {"sales_start": "2080-01-02T00:00", "sales_end": "2080-01-01T00:00"},
        {"sales_end": ["Sales must end after they start."]},
    ),
    ("sales", {"sales_start": "soon"}, {"sales_start": ["Enter a date and time such as 2026-12-31 20:00."]}),
    ("sales", {"sales_end": "2080-01-01 20.30"}, {"sales_end": ["Write the time with colons, as 20:30."]}),
]


@pytest.mark.parametrize(("action", "typed", "refused"), REFUSED)
def test_input_that_cannot_be_is_refused_at_its_field_and_kept(superuser_client, gala, action, typed, refused):
    UserFactory(username="gone", is_active=False)
    before = digest_of_all_tables()
    typed = {**(CALLER if action == "book" else {}), **typed}

    response = look(superuser_client, gala, action, **typed)

    assert errors(response) == refused
    assert "Nothing was done." in response.content.decode()
    sent = fields_of(response)
    assert {name: sent.get(name, []) for name in typed} == {
        name: value if isinstance(value, list) else [value] for name, value in typed.items()
    }
    assert digest_of_all_tables() == before
