"""The exact headers for browsers and caches, for every kind of answer."""

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
REST = [
    "Content-Security-Policy",
    "Cache-Control",
    "Strict-Transport-Security",
    "Access-Control-Allow-Origin",
    "Server",
]
DATA = "default-src 'none'; frame-ancestors 'none'"
PAGE = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
DOCS = PAGE.replace("img-src 'self'", "img-src 'self' data:")
# Django's never_cache.
NEVER = "max-age=0, no-cache, no-store, must-revalidate, private"
EVENT = {"name": "Concert", "date": "2099-12-01", "totalTickets": 3}
LOGIN = "/api/v1/auth/login"


@pytest.fixture
def web():
    """A browser that is answered as over the network when a view fails."""
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


def protective_headers(response):
    return {name: response[name] for name in [*ALWAYS, *REST] if response.has_header(name)}


def expected(policy, cached="no-store"):
    return {**ALWAYS, "Content-Security-Policy": policy, "Cache-Control": cached}


@pytest.mark.parametrize(
    ("path", "headers", "status", "policy", "cached"),
    [
        ("/", HTML, 200, PAGE, "no-store"),
        ("/api/docs", HTML, 200, DOCS, "no-store"),
        ("/api/docs?script=", {}, 200, DOCS, "no-store"),
        ("/api/schema", {}, 200, DATA, "no-store"),
        ("/admin/", HTML, 302, PAGE, NEVER),
        ("/admin/login/", HTML, 200, PAGE, NEVER),
        ("/api-auth/login/", HTML, 200, PAGE, NEVER),
        ("/api/v1/booking", HTML, 401, PAGE, "no-store"),
        ("/api/v1/booking", JSON, 401, DATA, "no-store"),
        ("/api/events/1", JSON, 401, DATA, "no-store"),
        ("/api/v1/nothing", JSON, 404, DATA, "no-store"),
        ("/api/v1/nothing", HTML, 404, PAGE, "no-store"),
        ("/nothing", HTML, 404, PAGE, "no-store"),
        ("/api/v1/auth/login", JSON, 405, DATA, "no-store"),
        ("/api/v1/event", {**JSON, "Host": "evil.example"}, 400, DATA, "no-store"),
        ("/api", {**JSON, "Host": "evil.example"}, 400, DATA, "no-store"),
        ("/admin/login/", {"Host": "evil.example"}, 400, PAGE, "no-store"),
        ("/healthz", {}, 200, DATA, NEVER),
        ("/readyz", {}, 200, DATA, NEVER),
        ("/static/ticks/favicon.svg", {}, 200, DATA, "max-age=600, public"),
        ("/static/ticks/nothing.css", {}, 404, PAGE, "no-store"),
    ],
)
def test_headers_of_every_kind_of_answer(web, path, headers, status, policy, cached):
    response = web.get(path, headers=headers)
    b"".join(response)  # a file is closed when it has been read

    assert response.status_code == status
    assert protective_headers(response) == expected(policy, cached)


@pytest.mark.urls("ticks.tests.api.broken_urls")
@pytest.mark.parametrize(("path", "policy"), [("/api/v1/broken", DATA), ("/broken", PAGE)])
def test_headers_of_a_fault_of_ours(web, path, policy):
    response = web.get(path)

    assert response.status_code == 500
    assert protective_headers(response) == expected(policy)


def test_headers_without_a_database(owner, unreachable_database):
    unreachable_database()

    answers = [owner.get("/api/v1/event"), owner.get("/readyz")]

    assert [answer.status_code for answer in answers] == [503, 503]
    assert [protective_headers(answer) for answer in answers] == [expected(DATA), expected(DATA, NEVER)]


def test_headers_of_a_form_without_its_token(web):
    response = web.post("/admin/login/", {"username": "a", "password": "b"})

    assert response.status_code == 403
    assert protective_headers(response) == expected(PAGE)
    assert "Nothing was done" in response.content.decode()


def test_headers_of_too_many_requests(web, settings):
    settings.THROTTLE_ENABLED = True
    answers = [web.post(LOGIN, {}, content_type="application/json") for _ in range(31)]

    assert answers[-1].status_code == 429
    assert protective_headers(answers[-1]) == expected(DATA)


def test_what_holds_a_token_or_a_persons_data_is_kept_nowhere(staff, anonymous):
    event = staff.post("/api/v1/event", EVENT).json()["data"]["id"]
    account = {"username": "ada", "password": "photograph 51"}
    registered = anonymous.post("/api/v1/auth/register", {**account, "email": "ada@example.org"})
    login = anonymous.post(LOGIN, account)
    refresh = {"refreshToken": login.json()["data"]["refreshToken"]}
    holder = {"eventId": event, "firstName": "A", "lastName": "B", "email": "a@example.org", "ticketsReserved": 1}
    booked = anonymous.post("/api/v1/booking", holder)
    own = {"Booking-Token": booked.json()["data"]["bookingToken"]}
    answers = [
        registered,
        login,
        anonymous.post("/api/v1/auth/refresh", refresh),
        anonymous.post("/api/users/login", account),
        booked,
        anonymous.get(f"/api/v1/booking/{booked.json()['data']['id']}", headers=own),
        staff.get("/api/v1/booking"),
        staff.get("/api/v1/auth/me"),
        staff.get(f"/api/events/{event}"),
    ]

    assert [answer.status_code for answer in answers] == [201, 200, 200, 200, 201, 200, 200, 200, 200]
    assert [protective_headers(answer) for answer in answers] == [expected(DATA)] * 9


def test_what_has_an_etag_is_kept_but_asked_for_again(staff, anonymous):
    event = staff.post("/api/v1/event", EVENT).json()["data"]["id"]

    listed = staff.get("/api/v1/event")
    detail = staff.get(f"/api/v1/event/{event}")
    status = staff.get(f"/api/v1/booking/status/{event}")
    again = staff.get(f"/api/v1/booking/status/{event}", headers={"If-None-Match": status["ETag"]})

    assert (listed.status_code, detail.status_code, status.status_code, again.status_code) == (200, 200, 200, 304)
    assert protective_headers(listed) == protective_headers(detail) == expected(DATA, "private, no-cache")
    assert protective_headers(status) == protective_headers(again) == expected(DATA, "no-cache")
    assert detail["Vary"] == status["Vary"] == "Accept"
    assert anonymous.get("/api/v1/event")["Vary"] == "Accept, Cookie"


def test_page_is_kept_nowhere_whatever_goes_for_its_data(staff, superuser_client):
    """It shows who is logged in and holds a form's token; its ETag knows only of the data."""
    event = staff.post("/api/v1/event", EVENT).json()["data"]["id"]

    pages = [superuser_client.get(f"/api/v1/{of}/{event}", headers=HTML) for of in ("event", "booking/status")]

    assert [protective_headers(page) for page in pages] == [expected(PAGE)] * 2


def test_https_is_demanded_and_remembered(web, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_HSTS_SECONDS = 31536000

    plain = web.get("/admin/login/", headers=HTML)
    elsewhere = web.get("/admin/login/", headers={**HTML, "Host": "evil.example"})
    answers = [web.get(path, secure=True) for path in ("/", "/api/v1/event", "/static/ticks/nothing", "/nothing")]

    assert (plain.status_code, plain["Location"]) == (301, "https://testserver/admin/login/")
    assert elsewhere.status_code == 400
    assert protective_headers(plain) == protective_headers(elsewhere) == expected(PAGE)
    assert {answer["Strict-Transport-Security"] for answer in answers} == {"max-age=31536000"}


def test_probes_answer_without_https(web, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert web.get("/readyz", headers={"Host": "10.0.0.7"}).status_code == 200


def test_error_page_with_code_keeps_its_own_style(web, settings):
    settings.DEBUG = True

    page = web.get("/nothing", headers=HTML)
    others = [web.get("/", headers=HTML), web.get("/api/v1/nothing", headers=JSON)]

    assert "<style>" in page.content.decode()
    assert "Content-Security-Policy" not in page
    assert [other["Content-Security-Policy"] for other in others] == [PAGE, DATA]


def test_script_of_the_docs_varies_by_cookie(web):
    """It holds a CSRF token, which is why other sites may not load it (Cross-Origin-Resource-Policy)."""
    response = web.get("/api/docs?script=")

    assert response["Content-Type"] == "application/javascript"
    assert response["Vary"] == "Cookie"
