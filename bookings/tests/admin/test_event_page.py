"""An event's page: its figures, its waitlist with reasons, and the actions that each role may use."""

import re

import pytest
from django.contrib.auth.models import Permission

from accounts.tests.factories import UserFactory
from bookings.models import Booking, InventoryCheck, LinePart
from bookings.services import checks
from bookings.services.events import cancel_event
from bookings.tests.admin.confirming import PERSONAS, as_persona, errors, look, said, url_of
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event

pytestmark = pytest.mark.django_db


def gala(waiting=2, **terms):
    """A sold-out event. The waiting bookings want 1, 2, 3, 1 ... tickets."""
    event = EventFactory(name="Gala", total_tickets=4, **terms)
    BookingFactory(event=event, first_name="Ada", tickets=4, user=None)
    for place in range(waiting):
        BookingFactory(event=event, first_name=f"Grace {place + 1}", last_name="", tickets=1 + place % 3, user=None)
    event.refresh_from_db()
    return event


def rows(response) -> list[list[str]]:
    """The waitlist as the page shows it."""
    table = response.content.decode().partition('class="plain waitlist"')[2].partition("</table>")[0]
    lines = table.partition("<tbody>")[2].split("</tr>")[:-1]
    return [
        [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?</td>", line, re.S)[:5]] for line in lines
    ]


def actions(response) -> list[str]:
    return re.findall(r'class="button[^"]*" href="(\w+)/">', response.content.decode())


def test_page_says_who_waits_and_why(superuser_client):
    event = gala(waiting=2)
    Booking.objects.filter(first_name="Ada").update(tickets_reserved=3)
    Event.objects.filter(pk=event.pk).update(available_tickets=1, waitlist_policy="strict")

    first, second = rows(superuser_client.get(url_of(event)))

    assert first[:3] + first[4:] == ["1", "Grace 1", "1 ticket", "is served next"]
    assert second[:3] + second[4:] == ["2", "Grace 2", "2 tickets", "needs 2, 1 available"]
    Event.objects.filter(pk=event.pk).update(available_tickets=2)
    assert rows(superuser_client.get(url_of(event)))[1][4] == "would fit, but nobody passes number 1: 1 booking ahead"


@pytest.mark.parametrize(
    ("query", "first", "last"),
    [("", 1, 25), ("?place=26", 26, 30), ("?place=99", 30, 30), ("?place=0", 1, 25), ("?place=-1", 1, 25)]
    + [(f"?place={odd}", 1, 25) for odd in ("x", "9" * 30, "%C2%B2", "%00", "1.5")],
)
def test_page_shows_some_of_a_long_line(superuser_client, long_line, query, first, last):
    shown = rows(superuser_client.get(url_of(long_line) + query))

    assert [row[:2] for row in (shown[0], shown[-1])] == [
        [str(first), f"Grace {first}"],
        [str(last), f"Grace {last}"],
    ]


@pytest.fixture
def long_line(db):
    return gala(waiting=30)


@pytest.mark.usefixtures("mails_on")
@pytest.mark.parametrize("waiting", [1, 30])
def test_page_costs_the_same_for_any_line(superuser_client, waiting, django_assert_num_queries):
    event = gala(waiting=waiting)

    # The queries are the session, user, event, counts against the ledger, hours, waiting bookings, ledger, and what
    # staff chose for its mails; what staff wrote to holders, whether it is under way, and whether holders are told
    # anything.
    with django_assert_num_queries(11):
        superuser_client.get(url_of(event))


# Besides session and user, the queries are the event, what the rules need for the preview, and, if somebody will be
# told, who is told and whether the event's holders are told anything.
PREVIEWS = {
    "book": ({"tickets": 1, "first_name": "E", "last_name": "N", "email": "e@example.org", "key": "k" * 32}, 4),
    "capacity": ({"version": 1, "total": 8}, 8),
    "sales": ({"version": 1, "what": "close"}, 3),
    "edit": (
        {
            "version": 1,
            "name": "Other",
            "time_zone": "UTC",
            "initial-waitlist_policy": "strict",
            "waitlist_policy": "first_fit",
        },
        5,
    ),
    "cancel": ({"version": 1, "is_sure": "on"}, 5),
}


@pytest.mark.parametrize("waiting", [5, 30])
@pytest.mark.parametrize("action", PREVIEWS)
def test_preview_costs_the_same_for_any_line(superuser_client, action, waiting, django_assert_num_queries):
    event = gala(waiting=waiting)
    typed, queries = PREVIEWS[action]

    with django_assert_num_queries(queries):
        response = superuser_client.post(url_of(event, action), typed)
    assert response.context["lines"]


def test_page_of_an_event_whose_line_is_miscounted_is_shown(superuser_client, long_line):
    Event.objects.filter(pk=long_line.pk).update(waitlisted_count=40, booking_count=50, waitlisted_tickets=80)
    LinePart.objects.filter(event=long_line).update(waiting=40)

    response = superuser_client.get(f"{url_of(long_line)}?place=35")

    assert response.status_code == 200
    assert "The inventory does not verify" in response.content.decode()
    assert rows(response)[0][:2] == ["1", "Grace 1"]


def test_form_to_move_to_a_place_that_is_gone_by_now_says_so(superuser_client, long_line, monkeypatch):
    booking = Booking.objects.get(first_name="Grace 1")
    # The event was read before some bookings left.
    found = Booking.objects.select_related("event").get(pk=booking.pk)
    found.event.waitlisted_count = 40
    monkeypatch.setattr("ticks.staff_actions.get_object_or_404", lambda rows, pk: found)

    response = look(superuser_client, booking, "move", position="35", reason="x")

    assert errors(response) == {"position": ["30 bookings wait; choose a place from 1 on."]}


@pytest.mark.parametrize("identity", ["0", "-1", "x", "9" * 30, "1.0", "%00"])
def test_page_of_no_event_is_404(superuser_client, identity):
    assert superuser_client.get(f"/admin/events/event/{identity}/").status_code == 404
    assert superuser_client.post(f"/admin/events/event/{identity}/capacity/").status_code == 404
    assert superuser_client.post(f"/admin/events/event/{identity}/verify/").status_code == 404


def test_action_tells_nobody_without_permission_which_events_there_are(client):
    as_persona(client, "box office")

    assert client.get("/admin/events/event/999/capacity/").status_code == 403


def test_page_of_a_cancelled_event_has_nothing_to_do(superuser_client):
    event = gala()
    cancel_event(event.pk, actor=event.created_by)

    response = superuser_client.get(url_of(event))

    assert actions(response) == []
    assert ">Cancelled</span>" in response.content.decode()


def test_form_of_django_leads_to_the_page(superuser_client):
    event = gala()

    for ask in (superuser_client.get, superuser_client.post):
        assert ask(url_of(event, "change"), {"name": "Other"})["Location"] == url_of(event)
    event.refresh_from_db()
    assert event.name == "Gala"


# The numbers are for the page, book, capacity, sales, edit, write, cancel, and verify by POST.
MAY = {
    "superuser": [200, 200, 200, 200, 200, 200, 200, 302],
    "manager": [200, 200, 200, 200, 200, 200, 200, 302],
    "box office": [200, 200, 403, 403, 403, 403, 403, 302],
    "plain staff": [403, 403, 403, 403, 403, 403, 403, 403],
    "user": [302] * 8,
    "anonymous": [302] * 8,
}
ACTIONS = ["book", "capacity", "sales", "edit", "write", "cancel"]


@pytest.mark.usefixtures("mails_on")
@pytest.mark.parametrize("persona", PERSONAS)
def test_page_and_actions_by_role(client, persona):
    event = gala()
    as_persona(client, persona)
    may = dict(zip(["", *ACTIONS], MAY[persona], strict=False))

    # The lock is taken by the check of another event, since a check would run in a thread, which does not see a test's
    # transaction.
    with checks.checking:
        verified = client.post(url_of(event, "verify"))
    page = client.get(url_of(event))

    assert {action: client.get(url_of(event, action)).status_code for action in may} == may
    assert {action: client.post(url_of(event, action)).status_code for action in may} == may
    assert verified.status_code == MAY[persona][-1]
    if may[""] == 302:
        assert page["Location"] == f"/admin/login/?next={url_of(event)}"
        assert verified["Location"] == f"/admin/login/?next={url_of(event, 'verify')}"
    if may[""] == 200:
        assert actions(page) == [action for action in ACTIONS if may[action] == 200]
        assert ("?position=" in page.content.decode()) == (persona != "box office")


def test_who_may_see_events_alone_sees_nobody_s_name(client):
    event = gala()
    viewer = UserFactory(is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_event"))
    client.force_login(viewer)

    response = client.get(url_of(event))

    assert response.status_code == 200
    assert actions(response) == []
    content = response.content.decode()
    assert "Grace 1" not in content
    assert "Ada" not in content
    assert "What happened last" not in content


def test_verify_is_by_post_alone(superuser_client):
    event = gala()

    assert superuser_client.get(url_of(event, "verify")).status_code == 405
    assert not InventoryCheck.objects.exists()


def test_verify_while_another_runs_says_so(superuser_client):
    event = gala()

    with checks.checking:
        response = superuser_client.post(url_of(event, "verify"), follow=True)

    assert said(response) == ["Another event's inventory is being verified; try again when that is done."]
    assert response.redirect_chain == [(url_of(event), 302)]


def test_verify_begins_a_check(superuser_client, monkeypatch):
    event, asked = gala(), []
    monkeypatch.setattr(
        "bookings.admin.events.admin.start_check", lambda pk, *, actor: asked.append((pk, actor.username))
    )

    response = superuser_client.post(url_of(event, "verify"), follow=True)

    assert asked == [(event.pk, "superuser")]
    assert said(response) == ["Counts, bookings and ledger are being compared; load this page again in a moment."]
