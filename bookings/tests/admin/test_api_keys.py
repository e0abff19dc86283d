"""API keys on the staff's site: who makes and revokes them, and that a key is shown once."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.utils import timezone

from accounts.api_keys import find_api_key, revoke_api_key
from accounts.models import ApiKey, Scope
from accounts.tests.factories import UserFactory, new_api_key
from accounts.tests.personas import permissions
from bookings.tests.admin.confirming import as_persona, confirm, errors, fields_of, lines, look, said, url_of
from bookings.tests.factories import EventFactory
from bookings.tests.state import digest_of_all_tables

pytestmark = pytest.mark.django_db
LIST, ADD = "/admin/accounts/apikey/", "/admin/accounts/apikey/add/"
TYPED = {"name": "Till at the door", "scopes": ["bookings:read", "bookings:write"], "events": "", "expires": ""}


def asked(client, **typed):
    return client.post(ADD, fields_of(client.get(ADD)) | TYPED | typed)


def made(client, shown):
    return client.post(ADD, fields_of(shown) | {"confirm": "yes"} | chosen(shown))


def chosen(shown):
    return {"scopes": shown.context["form"].cleaned_data["scopes"]}


def text_on(page) -> str:
    [text] = re.findall(r'value="([A-Za-z0-9]{8}\.[A-Za-z0-9]{32})"', page.content.decode())
    return text


def test_key_is_made_and_shown_once(superuser_client):
    shown = asked(superuser_client)

    assert lines(shown) == [
        "“Till at the door” may: Read bookings, with the codes of their tickets.",
        "“Till at the door” may: Book, and cancel any booking.",
        "It reaches all events, and those that are made later.",
        "It never expires.",
        "The next page shows the key once. Ticks stores only its hash.",
    ]
    assert ApiKey.objects.count() == 0

    page = made(superuser_client, shown)

    key, text = ApiKey.objects.get(), text_on(page)
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    assert find_api_key(text) == key
    assert (key.name, key.scopes, key.event_ids, key.expiry_date) == (TYPED["name"], TYPED["scopes"], None, None)
    assert key.created_by.username == "superuser"
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.object_repr) == (ADDITION, str(key))
    secret = text.partition(".")[2]
    for address in (LIST, url_of(key), f"{url_of(key)}history/", "/admin/"):
        assert secret not in superuser_client.get(address).content.decode()
    assert secret not in repr(list(LogEntry.objects.values()))


def test_page_that_is_sent_twice_makes_one_key(superuser_client):
    shown = asked(superuser_client)
    made(superuser_client, shown)
    before = digest_of_all_tables()

    response = superuser_client.post(ADD, fields_of(shown) | {"confirm": "yes"} | chosen(shown), follow=True)

    key = ApiKey.objects.get()
    assert response.redirect_chain == [(url_of(key), 302)]
    assert said(response) == [
        f"This page has made the key {key} already, and showed it then. If it is lost, revoke it and make another."
    ]
    assert digest_of_all_tables() == before


def test_key_is_limited_to_events_and_expires(superuser_client):
    first, second = EventFactory(name="Gala"), EventFactory(name="Matinee")
    expires = (timezone.now() + timedelta(days=30)).replace(second=0, microsecond=0)

    shown = asked(
        superuser_client,
        scopes=["events:write"],
        events=f"{second.pk}, #{first.pk}",
        expires=f"{expires:%Y-%m-%dT%H:%M}",
    )
    made(superuser_client, shown)

    assert lines(shown)[1:3] == [
        f"It reaches only 2 events: Gala ({first.pk}), Matinee ({second.pk}).",
        "It cannot create events, since it is limited to some.",
    ]
    key = ApiKey.objects.get()
    assert (key.event_ids, key.expiry_date) == ([first.pk, second.pk], expires)


def test_expiry_is_typed_in_the_usual_time_zone(superuser_client, settings):
    settings.EVENT_TIME_ZONE = "Asia/Tokyo"

    shown = asked(superuser_client, expires="2100-01-01T08:00")
    made(superuser_client, shown)

    assert "It expires on 1 Jan 2100, 08:00 JST." in lines(shown)
    assert ApiKey.objects.get().expiry_date == datetime(2099, 12, 31, 23, tzinfo=UTC)


def test_form_proposes_that_a_key_expires_in_a_year(superuser_client):
    [proposed] = fields_of(superuser_client.get(ADD))["expires"]

    assert proposed.startswith(f"{timezone.now() + timedelta(days=365):%Y-%m-%d}")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ({"name": ""}, {"name": ["This field is required."]}),
        ({"name": "x" * 51}, {"name": ["Ensure this value has at most 50 characters (it has 51)."]}),
        ({"scopes": []}, {"scopes": ["This field is required."]}),
        (
            {"scopes": ["all"]},
            {"scopes": ["Select a valid choice. all is not one of the available choices."]},
        ),
        ({"events": "999999"}, {"events": ["No event has the number 999999."]}),
        ({"events": "Gala"}, {"events": ["No event has the number Gala."]}),
        ({"events": " ".join(map(str, range(1, 102)))}, {"events": ["Name at most 100 events."]}),
        ({"expires": "2020-01-01T10:00"}, {"expires": ["Choose a time that lies ahead, or leave it empty."]}),
        ({"expires": "soon"}, {"expires": ["Enter a date and time such as 2026-12-31 20:00."]}),
        ({"prefix": "../../.."}, {"prefix": ["Load this page again."]}),
    ],
)
def test_what_is_typed_wrong_is_told(superuser_client, typed, expected):
    assert errors(asked(superuser_client, **typed)) == expected
    assert ApiKey.objects.count() == 0


@pytest.fixture
def key(db):
    return new_api_key("bookings:read", "checkin", name="Till", event_ids=[EventFactory(name="Gala").pk])[0]


def test_key_is_revoked_after_a_look_at_what_happens(superuser_client, key):
    shown = look(superuser_client, key, "revoke")
    assert lines(shown) == [
        f"{key} ends for good. Requests with it are refused from then on (401).",
        "It was never used.",
        "What was done with it stays as it is.",
    ]

    report = confirm(superuser_client, key, "revoke", shown)

    assert said(report) == [f"{key} is revoked."]
    assert ApiKey.objects.get().revoked
    entry = LogEntry.objects.get()
    assert (entry.action_flag, entry.change_message) == (CHANGE, "Revoked.")
    assert "Revoke</a>" not in superuser_client.get(url_of(key)).content.decode()
    assert said(superuser_client.get(url_of(key, "revoke"), follow=True)) == ["This API key is revoked already."]


def test_key_that_was_revoked_meanwhile_is_told(superuser_client, key):
    shown = look(superuser_client, key, "revoke")
    revoke_api_key(key)

    assert said(confirm(superuser_client, key, "revoke", shown)) == ["This API key is revoked already."]


def test_list_and_page_tell_what_a_key_may_do(superuser_client, key):
    expired, _ = new_api_key("events:read", name="Old", expires_at=timezone.now())
    revoked, _ = new_api_key("events:read", name="Lost")
    revoke_api_key(revoked)

    listed, page = superuser_client.get(LIST).content.decode(), superuser_client.get(url_of(key)).content.decode()

    for text in (key.prefix, "bookings:read, checkin", "1 event", "never used", "never expires", "Valid", "Expired",
                 "Revoked", "all events", expired.prefix):  # fmt: skip
        assert text in listed, text
    for text in (key.prefix, "Read bookings, with the codes of their tickets", "Gala", key.account.username):
        assert text in page, text


def test_name_is_escaped(superuser_client):
    key, _ = new_api_key("checkin", name="<b>Till</b>")

    for address in (LIST, url_of(key), url_of(key, "revoke")):
        assert "<b>Till" not in superuser_client.get(address).content.decode()


@pytest.mark.parametrize("search", ["till", "prefix"])
def test_list_is_searched_by_name_and_beginning(superuser_client, key, search):
    new_api_key("checkin", name="Shop")

    page = superuser_client.get(LIST, {"q": key.prefix if search == "prefix" else search}).content.decode()

    assert key.prefix in page
    assert "Shop" not in page


@pytest.mark.parametrize("persona", ["manager", "box office", "plain staff", "user", "anonymous"])
def test_others_see_and_make_no_keys(client, key, persona):
    as_persona(client, persona)
    refused = 302 if persona in ("user", "anonymous") else 403
    before = digest_of_all_tables()

    for address in (LIST, ADD, url_of(key), url_of(key, "revoke")):
        assert client.get(address).status_code == refused
        assert client.post(address, {"confirm": "yes"}).status_code == refused
    assert digest_of_all_tables() == before


def with_permissions(client, *codenames, **fields):
    account = UserFactory(**fields)
    account.user_permissions.set(permissions("use_staff_site", *codenames))
    client.force_login(account)
    return client


def test_permissions_are_apart(client, key):
    viewer = with_permissions(client, "view_apikey")

    assert [viewer.get(address).status_code for address in (LIST, url_of(key), url_of(key, "revoke"), ADD)] == [
        *(200, 200, 403, 403)
    ]

    revoker = with_permissions(client, "view_apikey", "revoke_apikey")
    assert confirm(revoker, key, "revoke", look(revoker, key, "revoke")).status_code == 200
    assert ApiKey.objects.get().revoked


def test_only_admins_of_the_api_give_away_what_admins_may_do(client):
    maker = with_permissions(client, "view_apikey", "add_apikey")
    assert maker.get(ADD).status_code == 403
    assert ADD not in maker.get(LIST).content.decode()

    admin = with_permissions(client, "view_apikey", "add_apikey", is_staff=True)
    assert admin.get(ADD).status_code == 200
    assert ADD in admin.get(LIST).content.decode()
    made(admin, asked(admin, scopes=Scope.values))
    assert sorted(ApiKey.objects.get().scopes) == sorted(Scope.values)


def test_library_has_no_page_and_no_table(superuser_client):
    assert superuser_client.get("/admin/rest_framework_api_key/apikey/").status_code == 404
