"""A booking's page: its holder, its place, its history, and the actions that each role may use."""

import re

import pytest

from bookings.models import Booking
from bookings.services.cancellation import cancel_tickets
from bookings.services.events import cancel_event
from bookings.tests.admin.confirming import PERSONAS, as_persona, url_of
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

ACTIONS = ["cancel", "transfer", "move", "serve"]


@pytest.fixture
def waiting(db):
    event = EventFactory(name="Gala", total_tickets=1)
    BookingFactory(event=event, user=None)
    return BookingFactory(event=event, first_name="Grace", last_name="Hopper", tickets=1)


def facts(response) -> dict[str, str]:
    content = response.content.decode()
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", content, re.S)
    return {name: re.sub(r"<[^>]+>", "", said).strip() for name, said in found}


def story(response) -> list[str]:
    listed = response.content.decode().partition('<ol class="timeline">')[2].partition("</ol>")[0]
    return [re.sub(r"<[^>]+>", "", line).strip() for line in re.findall(r"<p>(.*?)</p>", listed, re.S)]


def actions(response) -> list[str]:
    return re.findall(r'class="button[^"]*" href="(\w+)/">', response.content.decode())


def test_page_says_whose_it_is_where_it_stands_and_its_story(superuser_client, waiting):
    response = superuser_client.get(url_of(waiting))

    said = facts(response)
    assert (said["Name"], said["Mail address"], said["Tickets"]) == ("Grace Hopper", waiting.email, "1")
    assert (said["Place in line"], said["Why not served"]) == ("1 of 1", "needs 1, 0 available")
    assert said["Account"] == waiting.user.username
    assert story(response) == ["Grace Hopper joined the waitlist for 1 ticket"]
    assert actions(response) == ACTIONS


def test_page_of_who_holds_has_no_place_in_line(superuser_client, waiting):
    held = Booking.objects.get(event=waiting.event, status="completed")

    response = superuser_client.get(url_of(held))

    assert "Place in line" not in facts(response)
    assert facts(response)["Account"] == "none: a guest booked it"
    assert actions(response) == ["cancel", "transfer", "void"]


def test_page_of_a_cancelled_booking_has_nothing_to_do(superuser_client, waiting):
    cancel_tickets(waiting, actor=waiting.user)

    response = superuser_client.get(url_of(waiting))

    assert actions(response) == []
    assert facts(response)["Tickets"] == "1, given back"
    assert story(response)[-1] == "Grace Hopper cancelled 1 ticket"


def test_page_of_a_booking_cancelled_with_its_event_says_who_cancelled_it(superuser_client, waiting, admin_user):
    cancel_event(waiting.event_id, actor=admin_user)

    response = superuser_client.get(url_of(waiting))

    assert story(response) == [
        "Grace Hopper joined the waitlist for 1 ticket",
        f"{admin_user.username} cancelled 1 ticket of Grace Hopper: the event was cancelled",
    ]


def test_page_tells_no_token(superuser_client, waiting):
    guests = BookingFactory(event=waiting.event, user=None)

    content = superuser_client.get(url_of(guests)).content.decode()

    assert guests.token not in content
    assert guests.token_hash not in content


@pytest.mark.parametrize("others", [1, 20])
def test_page_costs_the_same_for_any_line(superuser_client, waiting, others, django_assert_num_queries):
    for _ in range(others):
        BookingFactory(event=waiting.event, user=None)

    # The queries are the session, user, booking, its place (two counts), its history, what staff chose for its mails,
    # and its mails.
    with django_assert_num_queries(8):
        superuser_client.get(url_of(waiting))


# Besides session and user, the queries are the booking, its place, what the rules need for the preview, and, if
# somebody will be told, whether the event's holders are told anything.
PREVIEWS = {"cancel": 5, "transfer": 4, "move": 8, "serve": 7}


@pytest.mark.parametrize("others", [2, 20])
@pytest.mark.parametrize("action", PREVIEWS)
def test_preview_costs_the_same_for_any_line(superuser_client, waiting, action, others, django_assert_num_queries):
    for _ in range(others):
        BookingFactory(event=waiting.event, user=None)
    typed = {"tickets": 1, "first_name": "Lise", "who": "same", "position": 2, "reason": "x", "adds": "on"}

    with django_assert_num_queries(PREVIEWS[action]):
        response = superuser_client.post(url_of(waiting, action), typed)
    assert response.context["lines"]


@pytest.mark.parametrize("identity", ["0", "-1", "x", "9" * 30, "1.0", "%00"])
def test_page_of_no_booking_is_404(superuser_client, identity):
    for action in ("", "cancel/"):
        assert superuser_client.get(f"/admin/bookings/booking/{identity}/{action}").status_code == 404


def test_form_of_django_leads_to_the_page(superuser_client, waiting):
    posted = {"first_name": "Other", "status": "cancelled", "tickets_reserved": 5, "_save": "Save"}

    for ask in (superuser_client.get, superuser_client.post):
        assert ask(url_of(waiting, "change"), posted)["Location"] == url_of(waiting)
    assert superuser_client.get("/admin/bookings/booking/add/").status_code == 403
    assert superuser_client.post(url_of(waiting, "delete"), {"post": "yes"}).status_code == 403
    waiting.refresh_from_db()
    assert (waiting.first_name, waiting.status, waiting.tickets_reserved) == ("Grace", "waitlisted", 1)


# The numbers are for the page, cancel, transfer, move and serve.
MAY = {
    "superuser": [200] * 5,
    "manager": [200] * 5,
    "box office": [200, 200, 403, 403, 403],
    "plain staff": [403] * 5,
    "user": [302] * 5,
    "anonymous": [302] * 5,
}


@pytest.mark.parametrize("persona", PERSONAS)
def test_page_and_actions_by_role(client, waiting, persona):
    as_persona(client, persona)
    may = dict(zip(["", *ACTIONS], MAY[persona], strict=True))

    page = client.get(url_of(waiting))

    assert {action: client.get(url_of(waiting, action)).status_code for action in may} == may
    assert {action: client.post(url_of(waiting, action)).status_code for action in may} == may
    if may[""] == 302:
        assert page["Location"] == f"/admin/login/?next={url_of(waiting)}"
    if may[""] == 200:
        assert actions(page) == [action for action in ACTIONS if may[action] == 200]
