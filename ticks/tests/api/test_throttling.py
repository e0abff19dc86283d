from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from django.conf import settings as django_settings
from rest_framework.settings import api_settings
from rest_framework.test import APIRequestFactory

from ticks.api import throttling
from ticks.api.throttling import MOVING_WINDOWS, MovingWindow, network_of, seconds_to_wait

STATUS = "/api/v1/booking/status/1"
ME = "/api/v1/auth/me"
BOOKING = "/api/v1/booking"


@pytest.fixture
def two_a_minute(settings, monkeypatch):
    """Throttles on, two requests a minute, in a minute in which time stands still."""
    settings.THROTTLE_ENABLED = True
    for scope in ("guest", "user"):
        monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, scope, "2/min")
    clock = SimpleNamespace(time=1_000_000.0)
    monkeypatch.setattr(throttling, "clock", lambda: clock.time)
    return clock


@pytest.fixture
def proxies(settings):
    def trust(number):
        settings.REST_FRAMEWORK = {**django_settings.REST_FRAMEWORK, "NUM_PROXIES": number}

    return trust


def statuses(client, method, path, times, **extra):
    return [getattr(client, method)(path, **extra).status_code for _ in range(times)]


def assert_throttled(response, wait):
    assert response.status_code == 429
    assert response["Retry-After"] == str(wait)
    assert response.json() == {
        "message": f"Too many requests; try again in {wait} second{'' if wait == 1 else 's'}.",
        "error": True,
        "code": "throttled",
    }


@pytest.mark.django_db
def test_guest_over_the_rate_is_429(anonymous, two_a_minute):
    before = statuses(anonymous, "get", STATUS, 2)

    response = anonymous.get(STATUS)

    assert before == [404, 404]
    assert_throttled(response, 60)


@pytest.mark.django_db
def test_guest_who_waits_as_told_is_answered(anonymous, two_a_minute):
    statuses(anonymous, "get", STATUS, 2)
    two_a_minute.time += 30.6
    early = anonymous.get(STATUS)
    two_a_minute.time += int(early["Retry-After"])

    assert_throttled(early, 30)
    assert anonymous.get(STATUS).status_code == 404


@pytest.mark.django_db
def test_guests_of_other_addresses_and_users_are_not_counted_together(anonymous, owner, two_a_minute):
    statuses(anonymous, "get", STATUS, 3)

    assert anonymous.get(STATUS, REMOTE_ADDR="192.0.2.1").status_code == 404
    assert owner.get(STATUS).status_code == 404


@pytest.mark.django_db
def test_guest_is_not_counted_as_a_user(anonymous, two_a_minute, monkeypatch):
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "user", "1/min")

    assert statuses(anonymous, "get", STATUS, 2) == [404, 404]


@pytest.mark.django_db
def test_user_over_the_rate_is_429_from_any_address(owner, two_a_minute):
    before = [owner.get(ME, REMOTE_ADDR=f"192.0.2.{number}").status_code for number in range(2)]

    response = owner.get(ME, REMOTE_ADDR="192.0.2.9")

    assert before == [200, 200]
    assert_throttled(response, 60)


@pytest.mark.django_db
def test_user_over_the_rate_is_plain_429_on_the_one_ticket_contract(owner, two_a_minute):
    statuses(owner, "get", "/api/events/1", 2)

    response = owner.get("/api/events/1")

    assert response.status_code == 429
    assert response["Retry-After"] == "60"
    assert response.json() == {"error": "Too many requests; try again in 60 seconds."}


@pytest.mark.django_db
def test_users_are_not_counted_together(owner, stranger, anonymous, two_a_minute):
    statuses(owner, "get", ME, 3)

    assert stranger.get(ME).status_code == 200
    assert anonymous.get(STATUS).status_code == 404


@pytest.mark.django_db
def test_throttles_switched_off_count_nothing(anonymous, owner, two_a_minute, settings):
    settings.THROTTLE_ENABLED = False

    assert statuses(anonymous, "get", STATUS, 3) == [404] * 3
    assert statuses(owner, "get", ME, 3) == [200] * 3


@pytest.mark.django_db
def test_spoofed_forwarding_header_is_no_fresh_guest(anonymous, two_a_minute):
    for number in range(2):
        anonymous.get(STATUS, headers={"X-Forwarded-For": f"203.0.113.{number}"})

    assert_throttled(anonymous.get(STATUS, headers={"X-Forwarded-For": "203.0.113.9"}), 60)


def test_rates_are_those_of_the_settings():
    rates = django_settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]

    assert rates == {
        "guest": "300/min",
        "user": "600/min",
        "guest_booking": "60/min",
        "login": "60/min",
        "api_key": "6000/min",
    }
    assert [throttling.parse_rate(rate) for rate in rates.values()] == [
        *((300, 60), (600, 60), (60, 60), (60, 60), (6000, 60))
    ]
    assert set(rates) == set(MOVING_WINDOWS)


def test_caller_who_is_refused_is_told_when_the_first_of_its_requests_is_past(two_a_minute):
    seconds_to_wait([("user", "1")])
    two_a_minute.time += 20
    seconds_to_wait([("user", "1")])

    waits = []
    for seconds in (0, 10, 29.5, 0.5):
        two_a_minute.time += seconds
        waits.append(seconds_to_wait([("user", "1")]))

    assert waits == [40.0, 30.0, 0.5, None]


def test_request_that_is_taken_back_is_not_counted(two_a_minute):
    counted = [seconds_to_wait([("user", "1")]) for _ in range(2)]
    MOVING_WINDOWS["user"].take_back("1")

    assert counted == [None, None]
    assert [seconds_to_wait([("user", "1")]) for _ in range(2)] == [None, 60.0]


def test_nothing_to_take_back_is_nothing_amiss():
    MOVING_WINDOWS["user"].take_back("1")

    assert not MOVING_WINDOWS["user"].callers


@pytest.mark.django_db
def test_bookings_of_guests_have_a_rate_of_their_own(anonymous, owner, two_a_minute, monkeypatch):
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest", "300/min")
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest_booking", "2/min")
    before = statuses(anonymous, "post", BOOKING, 2)

    response = anonymous.post(BOOKING)

    assert before == [400, 400]
    assert_throttled(response, 60)
    assert anonymous.post(BOOKING, REMOTE_ADDR="192.0.2.1").status_code == 400
    # Other requests of guests, and bookings of accounts, do not count.
    assert anonymous.get(STATUS).status_code == 404
    assert statuses(owner, "post", BOOKING, 2) == [400, 400]


def test_request_that_is_one_too_many_in_one_scope_is_counted_in_none(two_a_minute, monkeypatch):
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest_booking", "1/min")
    scopes = [("guest", "1"), ("guest_booking", "1")]

    waits = [seconds_to_wait(scopes) for _ in range(3)]

    assert waits == [None, 60.0, 60.0]
    assert {scope: len(MOVING_WINDOWS[scope].callers["1"]) for scope, _ in scopes} == {"guest": 1, "guest_booking": 1}


@pytest.mark.django_db
@pytest.mark.parametrize("full_later", ["guest", "guest_booking"])
def test_booking_that_is_one_too_many_in_two_scopes_is_told_the_longer_wait(
    anonymous, two_a_minute, monkeypatch, full_later
):
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest_booking", "2/min")
    for scope in sorted(["guest", "guest_booking"], key=full_later.__eq__):
        two_a_minute.time += 20
        for _ in range(2):
            seconds_to_wait([(scope, "127.0.0.1")])

    assert_throttled(anonymous.post(BOOKING), 60)
    two_a_minute.time += 40
    assert_throttled(anonymous.post(BOOKING), 20)
    two_a_minute.time += 20
    assert anonymous.post(BOOKING).status_code == 400


@pytest.mark.django_db
def test_booking_that_is_one_too_many_does_not_count_as_a_request_of_a_guest(anonymous, two_a_minute, monkeypatch):
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "guest_booking", "1/min")

    assert statuses(anonymous, "post", BOOKING, 3) == [400, 429, 429]
    assert statuses(anonymous, "get", STATUS, 2) == [404, 429]


@pytest.mark.django_db
def test_view_counts_in_the_same_books(owner, user, anonymous, two_a_minute):
    seconds_to_wait([("user", str(user.pk))])
    seconds_to_wait([("guest", "127.0.0.1")])

    assert statuses(owner, "get", ME, 2) == [200, 429]
    assert statuses(anonymous, "get", STATUS, 2) == [404, 429]


def test_a_rate_that_is_lowered_holds_at_once(two_a_minute, monkeypatch):
    seconds_to_wait([("user", "1")]), seconds_to_wait([("user", "1")])
    monkeypatch.setitem(api_settings.DEFAULT_THROTTLE_RATES, "user", "1/min")

    assert seconds_to_wait([("user", "1")]) == 60.0


def test_threads_at_once_get_no_more_than_the_rate():
    window = MovingWindow()

    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: window.hit("1", limit=600, period=60), range(8 * 200)))

    assert waits.count(None) == 600


def test_callers_who_are_silent_are_forgotten(two_a_minute):
    for number in range(50):
        seconds_to_wait([("guest", f"192.0.2.{number}")])
    two_a_minute.time += 60
    for _ in range(25):
        seconds_to_wait([("guest", f"198.51.100.{two_a_minute.time}")])
        two_a_minute.time += 0.001

    assert not [key for key in MOVING_WINDOWS["guest"].callers if key.startswith("192.0.2.")]


def test_no_more_callers_are_kept_than_set(two_a_minute, monkeypatch):
    monkeypatch.setattr(throttling, "MAX_CALLERS", 3)
    for number in range(10):
        seconds_to_wait([("guest", str(number))])

    assert list(MOVING_WINDOWS["guest"].callers) == ["7", "8", "9"]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::/64"),
        # The peer of a unix socket has no address.
        ("", "no address"),
        ("not an address", "no address"),
    ],
)
def test_caller_is_counted_by_address_or_ipv6_network(address, network):
    assert network_of({"REMOTE_ADDR": address}) == network


@pytest.mark.parametrize(
    ("number", "forwarded", "counted"),
    [
        (0, "203.0.113.1", "192.0.2.7"),
        (1, None, "192.0.2.7"),
        (1, "203.0.113.1", "203.0.113.1"),
        (1, "10.0.0.1, 203.0.113.1", "203.0.113.1"),
        (2, "10.0.0.1, 203.0.113.1, 198.51.100.1", "203.0.113.1"),
        (2, "203.0.113.1", "203.0.113.1"),
        (1, "10.0.0.1,2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
    ],
)
def test_as_many_forwarding_hops_as_set_are_trusted(proxies, number, forwarded, counted):
    proxies(number)
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}

    assert network_of(APIRequestFactory().get("/", REMOTE_ADDR="192.0.2.7", headers=headers).META) == counted


@pytest.mark.parametrize(
    ("spelling", "counted"),
    [
        ("198.51.100.8:40001", "198.51.100.8"),
        ('"198.51.100.8:40001"', "198.51.100.8"),
        ("198.51.100.8:", "198.51.100.8"),
        ("198.51.100.8:https", "198.51.100.8"),
        ("[198.51.100.8]:443", "198.51.100.8"),
        ("[2001:db8:1:2::8]:443", "2001:db8:1:2::/64"),
        ('"[2001:db8:1:2::8]:443"', "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::8]", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::8", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2:0::8", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::8%eth0", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::8%25eth0]:443", "2001:db8:1:2::/64"),
        ("::ffff:198.51.100.8", "198.51.100.8"),
        ("[::ffff:198.51.100.8]:40001", "198.51.100.8"),
        ("::ffff:c633:6408", "198.51.100.8"),
    ],
)
def test_caller_is_counted_by_address_however_the_proxy_spells_it(proxies, spelling, counted):
    proxies(1)

    assert network_of({"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": f"10.0.0.1, {spelling}"}) == counted


@pytest.mark.parametrize(
    "spelling",
    [
        *("", " ", "unknown", "_hidden", "_hidden:40001", "example.org", "198.51.100.8 40001", "198.51.100.8;x"),
        *("198.51.100.008", "198.51.100", "3325256712", "0xc6336408", "198.51.100.8/32", "\u0661.\u0661.\u0661.\u0661"),
        *("[", "[]", "[]:443", ":40001", '""', "::ffff:198.51.100.8:40001", "2001:db8::8%", "for=198.51.100.8"),
    ],
)
def test_what_is_no_address_is_counted_as_the_proxy(proxies, spelling):
    proxies(1)

    assert network_of({"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": spelling}) == "192.0.2.7"
    assert network_of({"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": spelling}) == "no address"


@pytest.mark.django_db
@pytest.mark.parametrize("forwarded", ["198.51.100.8:4000{}", "[2001:db8::{}]:443", "hidden{}"])
def test_no_port_or_spelling_makes_a_fresh_guest(anonymous, two_a_minute, proxies, forwarded):
    proxies(1)

    answers = [
        anonymous.get(STATUS, headers={"X-Forwarded-For": forwarded.format(number)}).status_code for number in range(3)
    ]

    assert answers == [404, 404, 429]
