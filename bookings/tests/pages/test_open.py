"""The link in a mail: what it leaves in a browser, for how long, and that its key stays nowhere else."""

import logging
from datetime import timedelta
from urllib.parse import quote, urlsplit

import pytest
from django.core import signing
from django.test import Client
from django.utils import timezone

from bookings.services.epochs import with_epochs
from bookings.services.links import link_key
from bookings.services.transfer import Holder, transfer_booking
from bookings.tests.factories import BookingFactory, EventFactory
from bookings.tests.pages.visiting import address, link_of, text_of, visitor
from bookings.tests.state import digest_of_all_tables
from ticks.api.headers import PAGE_POLICY
from ticks.link_cookies import OPEN_SECONDS

pytestmark = pytest.mark.django_db
PAGES = ["", "cancel", "address", "tickets.pdf", "calendar.ics"]


@pytest.fixture
def booking():
    event = EventFactory(total_tickets=5, date=timezone.now() + timedelta(days=9))
    return BookingFactory(event=event, user=None, tickets=2, email="ada@example.org")


def key_of(booking):
    return link_key(with_epochs().get(pk=booking.pk))


def is_closed(response):
    return response.status_code == 404 and "Open the link in your mail" in text_of(response)


def test_link_leads_to_an_address_without_its_key(client, booking):
    response = client.get(link_of(booking))

    assert (response.status_code, response["Location"], response.content) == (303, address(booking), b"")
    assert (response["Referrer-Policy"], response["Cache-Control"]) == ("no-referrer", "no-store")
    cookie = response.cookies["ticks_link"]
    assert (cookie["path"], cookie["max-age"], cookie["httponly"], cookie["samesite"], cookie["secure"]) == (
        *(address(booking), OPEN_SECONDS, True, "Lax", ""),
    )
    assert client.get(response["Location"]).status_code == 200


def test_cookie_is_for_tls_alone_under_https(client, booking, settings):
    settings.HTTPS = True

    response = client.get(link_of(booking), secure=True)

    assert response.cookies["__Secure-ticks_link"]["secure"] is True
    assert client.get(address(booking), secure=True).status_code == 200


@pytest.mark.parametrize("method", ["get", "head"])
def test_scanner_that_opens_the_link_changes_nothing(client, booking, method):
    before = digest_of_all_tables()

    for _ in range(3):
        assert getattr(client, method)(link_of(booking)).status_code == 303
        client.get(address(booking))

    assert digest_of_all_tables() == before
    assert client.post(link_of(booking)).status_code == 405


@pytest.mark.parametrize(
    "reference", ["x; Domain=example.org", "KQ4M7-X9PDRA; Max-Age=9", "KQ4M7-X9PDR", "kq4m7-x9pdra"]
)
def test_what_is_no_reference_gets_no_cookie_and_is_closed(client, booking, reference):
    response = client.get(f"/my/open/{quote(reference)}", {"key": key_of(booking)})

    assert (response.status_code, dict(response.cookies)) == (303, {})
    assert is_closed(client.get(response["Location"]))


@pytest.mark.parametrize("page", PAGES)
def test_pages_are_closed_without_the_link(client, booking, page):
    assert is_closed(client.get(address(booking, page)))


@pytest.mark.parametrize("page", ["cancel", "address"])
def test_forms_that_are_sent_without_the_link_change_nothing(client, booking, page):
    before = digest_of_all_tables()
    sent = {"tickets": "1", "email": "eve@example.org", "key": "a" * 32, "confirm": "yes"}

    assert is_closed(client.post(address(booking, page), sent))

    assert digest_of_all_tables() == before


def test_unknown_booking_forged_and_ended_link_are_answered_the_same(booking, admin_user):
    ended = link_of(booking)
    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)
    path, _, key = link_of(booking).partition("?key=")
    links = [ended, f"{path}?key={key[:-2]}xx", path, f"{path}?key=", "/my/open/QQQQQ-QQQQQQ?key=" + key]

    seen = []
    for link in links:
        client = Client()
        led_to = client.get(link)
        assert led_to.status_code == 303
        response = client.get(led_to["Location"])
        assert is_closed(response)
        seen.append((response.status_code, response.content, response["Cache-Control"]))

    assert len(set(seen)) == 1


def test_former_holders_browser_is_closed_and_the_new_holder_sees_the_page(booking, admin_user):
    former = visitor(booking)
    assert former.get(address(booking)).status_code == 200

    transfer_booking(booking, holder=Holder("Grace", "Hopper", "grace@example.org"), actor=admin_user)

    assert all(is_closed(former.get(address(booking, page))) for page in PAGES)
    assert "grace@example.org" in text_of(visitor(booking).get(address(booking)))


def test_cookie_is_good_for_an_hour(booking, monkeypatch):
    client, opened = visitor(booking), signing.time.time()

    monkeypatch.setattr(signing.time, "time", lambda: opened + OPEN_SECONDS - 2)
    assert client.get(address(booking)).status_code == 200
    monkeypatch.setattr(signing.time, "time", lambda: opened + OPEN_SECONDS + 2)

    assert is_closed(client.get(address(booking)))


def test_cookie_without_our_signature_opens_nothing(client, booking):
    client.cookies["ticks_link"] = key_of(booking)

    assert is_closed(client.get(address(booking)))


def test_cookie_of_one_booking_opens_no_other(booking):
    other = BookingFactory(event=booking.event, user=None)
    client = visitor(booking)
    # A browser would not even send it, since its path is another.
    client.cookies["ticks_link"]["path"] = "/my/"

    assert is_closed(client.get(address(other)))


def test_key_is_in_no_answer_header_or_log_line(booking, caplog):
    key = key_of(booking)
    client = Client()

    with caplog.at_level(logging.DEBUG):
        response = client.get(link_of(booking))
        pages = [client.get(address(booking, page)) for page in PAGES]
        closed = Client().get(address(booking))

    assert key not in response["Location"] + text_of(response)
    for page in [*pages, closed]:
        assert key.encode() not in page.content
        assert key not in repr(page.headers)
    paths = [record.path for record in caplog.records if record.name == "ticks.request"]
    assert urlsplit(link_of(booking)).path in paths
    assert key not in repr([vars(record) for record in caplog.records if record.name != "django.request"])


@pytest.mark.parametrize("page", ["", "cancel", "address"])
def test_pages_have_the_strict_policy_no_script_and_no_style_inside(booking, page):
    response = visitor(booking).get(address(booking, page))

    assert response["Content-Security-Policy"] == PAGE_POLICY
    assert (response["Cache-Control"], response["Referrer-Policy"]) == ("no-store", "same-origin")
    html = text_of(response)
    assert "<script" not in html
    assert "style=" not in html
    assert "<style" not in html
    assert "onclick" not in html


def test_pages_count_as_a_guests_requests(booking, settings, monkeypatch):
    monkeypatch.setitem(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "guest", "2/min")
    settings.THROTTLE_ENABLED = True
    client = visitor(booking)

    statuses = [client.get(address(booking)).status_code for _ in range(3)]
    refused = client.get(address(booking))

    assert statuses == [200, 200, 429]
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert "Too many requests; try again in" in text_of(refused)


def test_form_under_https_is_accepted_by_origin_or_referrer_and_refused_from_elsewhere(booking, settings):
    settings.HTTPS = True
    client = Client(enforce_csrf_checks=True)
    client.get(link_of(booking), secure=True)
    shown = client.get(address(booking, "cancel"), secure=True)
    sent = {"csrfmiddlewaretoken": shown.context["csrf_token"], "tickets": "1", "key": "a" * 32}

    def post(**headers):
        return client.post(address(booking, "cancel"), sent, secure=True, headers=headers).status_code

    here = f"https://testserver{address(booking, 'cancel')}"
    # Browsers send this origin where the policy is "no-referrer", which the pages therefore do not have.
    assert (post(origin="https://testserver"), post(referer=here)) == (200, 200)
    assert (post(origin="null"), post(referer="https://evil.example/"), post()) == (403, 403, 403)
