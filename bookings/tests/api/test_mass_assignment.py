"""Fields that a request must not set, sent with every write of both contracts."""

import json
import re

import pytest
from django.apps import apps
from django.db import connection

from accounts import tokens
from accounts.models import LoginSession
from accounts.tests.factories import PASSWORD
from bookings.tests.state import digest_of_all_tables, undone
from bookings.tests.writes import WRITES, body_of, path_of

pytestmark = pytest.mark.django_db

STAMP = "2001-02-03T04:05:06"
# These values differ from all that Ticks might write by itself.
EXTRAS = {
    "id": 471100,
    "pk": 471101,
    "isAdmin": True,
    "is_staff": True,
    "isStaff": True,
    "is_superuser": True,
    "isActive": False,
    "is_active": False,
    "groups": [1],
    "user_permissions": [1],
    "username_key": "sentinel-key",
    "last_login": STAMP,
    "date_joined": STAMP,
    "password_hash": "sentinel-hash",
    "auth_hash": "sentinel-hash",
    "user": 471102,
    "user_id": 471103,
    "actor": 471104,
    "actor_id": 471105,
    "createdBy": 471106,
    "created_by": 471107,
    "created_by_id": 471108,
    "owner": 471109,
    "bookingStatus": "sentinel",
    "status": "sentinel",
    "reference": "AAAAA-SENTIN",
    "token": "sentinel-token",
    "bookingToken": "sentinel-token",
    "token_hash": "sentinel-hash",
    "tokenHash": "sentinel-hash",
    "one_ticket_holder": 471110,
    "one_ticket_holder_id": 471111,
    "waitlistPosition": 471112,
    "waitlist_number": 471113,
    "waitlistNumber": 471114,
    "waitlistedCount": 471115,
    "waitlisted_count": 471116,
    "waitingListCount": 471117,
    "available_tickets": 471118,
    "total_tickets": 471119,
    "tickets": 471120,
    "tickets_reserved": 471121,
    "version": 471122,
    "language": "sentinel",
    "ledger_sequence": 471123,
    "sequence": 471124,
    "deleted_at": STAMP,
    "deletedAt": STAMP,
    "createdAt": STAMP,
    "created_at": STAMP,
    "updatedAt": STAMP,
    "updated_at": STAMP,
    "refresh_id": "sentinel-refresh",
    "sid": 471125,
    "key": "sentinel-key-of-idempotency",
    "__proto__": {"is_staff": True},
    "csrfmiddlewaretoken": "sentinel-csrf",
}
# Numbers are compared as whole values, since a random token may contain four digits by chance.
SENTINEL = re.compile(r"sentinel|SENTIN|2001-02-03|(?<![\w.-])4711\d\d(?![\w-])")


def rows():
    """Every row of every table, by table and text of the row."""
    quote = connection.ops.quote_name
    found = set()
    with connection.cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = model._meta.db_table
            cursor.execute(f"SELECT * FROM {quote(table)}")
            names = [column[0] for column in cursor.description]
            # Booleans count as numbers, since MariaDB stores them as numbers.
            plain = ([int(value) if value is True or value is False else value for value in row] for row in cursor)
            found |= {(table, repr(dict(zip(names, map(str, row), strict=True)))) for row in plain}
    return found


def flagged(written):
    """The accounts among rows, by what they may do."""
    return {
        (table, flag)
        for table, text in written
        if table == "accounts_user"
        for flag in ("'is_staff': '1'", "'is_superuser': '1'", "'is_active': '0'")
        if flag in text
    }


def able(world):
    """The stage, where the writes that need a password or a token have one."""
    owner = world.people["owner"]
    owner.set_password(PASSWORD)
    owner.save(update_fields=["password"])
    # The new password has ended its tokens.
    LoginSession.objects.filter(user=owner).update(auth_hash=owner.get_session_auth_hash())
    pair = tokens.log_in(owner)
    return {
        "login": {"username": "owner", "password": PASSWORD},
        "plain login": {"username": "owner", "password": PASSWORD},
        "refresh": {"refreshToken": pair["refreshToken"]},
        "logout": {"refreshToken": pair["refreshToken"]},
        "password": {"currentPassword": PASSWORD},
    }


def send(world, name, sent):
    persona, method, _ = WRITES[name]
    return world.clients[persona].generic(method, path_of(world, name), json.dumps(sent), "application/json")


@pytest.mark.parametrize("name", WRITES)
def test_write_with_names_that_its_contract_lacks_writes_nothing(world, name):
    with undone():
        sent = {**EXTRAS, **body_of(world, name), **able(world).get(name, {})}
        before = rows()

        response = send(world, name, sent)

        assert response.status_code == 400, response.content
        # What counts attempts at passwords is no row of what was asked for.
        assert {table for table, _ in rows() ^ before} <= {"accounts_attemptcounter"}


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("extra", ["isAdmin", "is_staff", "id", "version", "createdBy", "__proto__"])
def test_write_with_one_name_that_its_contract_lacks_names_it(world, name, extra):
    with undone():
        response = send(world, name, {**body_of(world, name), **able(world).get(name, {}), extra: 1})

        assert response.status_code == 400
        sentence = response.json().get("errors", {}).get(extra, [response.json().get("error")])[0]
        assert "There is no such field; use " in sentence


@pytest.mark.parametrize("name", WRITES)
def test_write_with_what_its_contract_names_is_carried_out(world, name):
    # This is the control: without the extra names each of these writes is accepted.
    with undone():
        response = send(world, name, {**body_of(world, name), **able(world).get(name, {})})

        assert response.status_code in (200, 201), response.content


@pytest.mark.parametrize(
    ("name", "typed", "meant"),
    [
        ("event", "maxTicketPerBooking", "maxTicketsPerBooking"),
        ("event", "max_tickets_per_booking", "maxTicketsPerBooking"),
        ("event", "sale_start", "salesStart"),
        ("event", "waitlistenabled", "waitlistEnabled"),
        ("change", "total_tickets", "totalTickets"),
        ("change", "salesend", "salesEnd"),
        ("book", "ticketReserved", "ticketsReserved"),
        ("guest", "first_name", "firstName"),
        ("cancel", "ticketToCancel", "ticketsToCancel"),
        ("profile", "e-mail", "email"),
        ("password", "new_password", "newPassword"),
        ("refresh", "refresh_token", "refreshToken"),
        ("register", "user_name", "username"),
        ("plain event", "total_tickets", "totalTickets"),
        ("plain book", "user_id", "userId"),
        ("plain register", "passwort", "password"),
    ],
)
def test_misspelt_name_is_refused_with_the_one_that_was_meant(world, name, typed, meant):
    with undone():
        sent = {**body_of(world, name), **able(world).get(name, {})}
        before = rows()

        response = send(world, name, {**sent, typed: sent.get(meant, 3)})

        sentence = f"There is no such field; did you mean {meant}?"
        assert response.status_code == 400
        if name.startswith("plain"):
            assert response.json() == {"error": f"{typed}: {sentence}"}
        else:
            assert response.json()["errors"] == {typed: [sentence]}
        assert {table for table, _ in rows() ^ before} <= {"accounts_attemptcounter"}


def test_misspelt_field_and_the_one_that_is_missing_are_both_named(world):
    with undone():
        response = send(world, "event", {"name": "New", "date": "2080-01-01", "total_tickets": 5})

        assert response.json()["errors"] == {
            "totalTickets": ["This field is required."],
            "total_tickets": ["There is no such field; did you mean totalTickets?"],
        }


def test_very_many_unknown_names_are_answered_in_short(world):
    with undone():
        sent = {f"{number:05}" + "x" * 200: 1 for number in range(4000)}

        response = send(world, "event", {**body_of(world, "event"), **sent})

        assert response.status_code == 400
        assert len(response.json()["errors"]) == 20
        assert len(response.content) < 20_000


def test_write_with_what_its_contract_names_is_found_so(world):
    # This is the control: a sentinel that is stored and a flag that is set would be noticed.
    with undone():
        before = rows()

        changed = send(world, "change", {"maxTicketsPerBooking": EXTRAS["tickets"]})
        by_number = rows() - before
        send(world, "change", {"venue": "sentinel"})
        world.people["owner"].is_staff = True
        world.people["owner"].save()

        written = rows() - before
        assert SENTINEL.search(changed.content.decode())
        # The ledger's note names what was edited.
        assert {table for table, text in by_number if SENTINEL.search(text)} == {"events_event", "bookings_ledgerentry"}
        assert {table for table, text in written if "sentinel" in text} == {"events_event", "bookings_ledgerentry"}
        assert flagged(written) == {("accounts_user", "'is_staff': '1'")}


# The guest's key and the browser's token may stand beside the fields.
@pytest.mark.parametrize("extra", [name for name in EXTRAS if name not in ("token", "csrfmiddlewaretoken")])
def test_cancellation_with_an_unknown_field_cancels_nothing(world, extra):
    with undone():
        response = send(world, "cancel", {**body_of(world, "cancel"), extra: EXTRAS[extra]})

        assert response.status_code == 400
        assert list(response.json()["errors"]) == [extra]
        assert digest_of_all_tables() == world.digest


@pytest.mark.parametrize("name", ["event", "change"])
def test_available_tickets_cannot_be_set(world, name):
    with undone():
        response = send(world, name, {**body_of(world, name), "availableTickets": 3})

        assert response.status_code == 400
        assert list(response.json()["errors"]) == ["availableTickets"]
        assert digest_of_all_tables() == world.digest


@pytest.mark.parametrize("names", [{"bookingId": "other"}, {"id": "other"}, {"eventId": "other"}])
def test_cancellation_takes_the_booking_of_its_url_alone(world, names):
    other = world.bookings["guest's"].pk
    with undone():
        response = send(world, "cancel", dict.fromkeys(names, other))

        assert response.status_code == 400
        assert digest_of_all_tables() == world.digest


@pytest.mark.parametrize("query", ["is_staff=true&isAdmin=true", "userId=1&user=1", "bookingStatus=completed&token=x"])
@pytest.mark.parametrize("name", ["profile", "event", "book", "plain register"])
def test_query_string_sets_nothing(world, name, query):
    persona, method, _ = WRITES[name]
    with undone():
        before = rows()

        response = world.clients[persona].generic(
            method, f"{path_of(world, name)}?{query}", json.dumps(body_of(world, name)), "application/json"
        )

        assert response.status_code in (200, 201)
        assert flagged(rows() - before) == set()
