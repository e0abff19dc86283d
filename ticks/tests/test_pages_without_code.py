"""No page has a script, a handler or a style inside it: the Content-Security-Policy would refuse it."""

import re
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urljoin, urlsplit

import pytest
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
HERE = "http://testserver"
STARTS = ["/", "/admin/", "/api/docs", "/api-auth/login/", "/api/v1/event", "/api/v1/booking", "/api/v1/auth/me"]
STARTS += ["/api/v1/event/1", "/api/v1/booking/1", "/api/v1/booking/status/1", "/api/v1/auth/password", "/api/events/1"]
STARTS += ["/api/v1/nothing", "/api/v1/event?page=0", "/api/v1/event?pageSize=3&page=2", "/nothing"]
STARTS += ["/api/v1/auth/login", "/api/v1/auth/register", "/api/events/book", "/api/users/register"]
STARTS += ["/admin/auth/group/add/?_popup=1&_to_field=id", "/admin/nothing/", "/admin/password_change/done/"]
# Far more than there are: a crawl that does not end is a bug of the test.
MANY = 400
EXECUTABLE = {"", "module", "text/javascript", "application/javascript"}


class Page(HTMLParser):
    """Finds the links of a page, and what the Content-Security-Policy would refuse on it."""

    def __init__(self, content: str):
        super().__init__()
        self.links: list[str] = []
        self.refused: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        given = {name: value or "" for name, value in attrs}
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type", "") in EXECUTABLE):
            self.refused.append(self.get_starttag_text())
        for name, value in given.items():
            address = re.sub(r"[\s\x00]", "", value).lower()
            if name.startswith("on") or name == "style" or address.startswith(("javascript:", "data:")):
                self.refused.append(self.get_starttag_text())
            if name in ("src", "href", "action") and urlsplit(urljoin(HERE, value)).netloc != "testserver":
                self.refused += [self.get_starttag_text()] if tag != "a" else []
        if tag == "a" and "href" in given:
            self.links.append(given["href"])


def kind(path: str):
    """Pages that differ by a row, or by the value of the parameter that a link added last, are of one kind."""
    parts = urlsplit(path)
    return re.sub(r"\d+", "1", parts.path), [name for name, _ in parse_qsl(parts.query)][-1:]


def crawl(client) -> dict[str, list[str]]:
    """The kinds of pages that are reached by links, each with what would be refused on it."""
    waiting, seen, found = list(STARTS), [], {}
    while waiting:
        path = waiting.pop(0)
        if kind(path) in seen:
            continue
        seen.append(kind(path))
        assert len(seen) < MANY
        response = client.get(path, headers=HTML, follow=True)
        if not response["Content-Type"].startswith("text/html"):
            # To the end, so that a file on its way is closed; `close` would end the database connection too.
            response.getvalue()
            continue
        page = Page(response.content.decode())
        found[path] = page.refused
        links = [urlsplit(urljoin(HERE + path, link)) for link in page.links]
        waiting += [
            link._replace(scheme="", netloc="", fragment="").geturl() for link in links if link.netloc == "testserver"
        ]
    return found


@pytest.fixture
def _demo(db, settings, tmp_path):
    settings.LOCAL_DIR = tmp_path
    call_command("seed_demo", verbosity=0)


def refused(found):
    return {path: tags for path, tags in found.items() if tags}


@pytest.mark.usefixtures("_demo")
def test_pages_for_staff_have_nothing_inside_that_runs(superuser_client):
    found = crawl(superuser_client)

    assert refused(found) == {}
    for path in ("/admin/bookings/booking/", "/admin/events/event/add/", "/admin/accounts/user/add/"):
        assert path in found
    assert len(found) > 60


@pytest.mark.usefixtures("_demo")
def test_pages_for_anybody_have_nothing_inside_that_runs(client):
    found = crawl(client)

    assert refused(found) == {}
    assert len(found) > 15


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/admin/events/event/", {"action": "change_capacity", "_selected_action": ["1", "2"]}),
        ("/admin/events/event/", {"action": "cancel_events", "_selected_action": ["1"]}),
        ("/admin/bookings/booking/", {"action": "cancel_bookings", "_selected_action": ["1"]}),
        ("/admin/events/event/", {"action": "", "index": "0"}),
        ("/admin/events/event/add/", {"name": ""}),
        ("/admin/accounts/user/add/", {"username": ""}),
        ("/admin/auth/group/add/?_popup=1&_to_field=id", {"name": "Sellers", "_popup": "1", "_to_field": "id"}),
        ("/admin/logout/", {}),
        ("/api-auth/login/", {"username": "a", "password": "b"}),
        ("/api/v1/booking", {"eventId": "x"}),
        ("/api/v1/event", {"name": "<script>alert(1)</script>", "date": "2099-01-01", "totalTickets": "1"}),
    ],
)
def test_page_after_a_form_has_nothing_inside_that_runs(superuser_client, path, sent):
    response = superuser_client.post(path, sent, headers=HTML, follow=True)

    assert response["Content-Type"].startswith("text/html")
    assert Page(response.content.decode()).refused == []


def test_page_of_a_refused_form_has_nothing_inside_that_runs():
    response = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})

    assert response.status_code == 403
    assert Page(response.content.decode()).refused == []


@pytest.mark.parametrize(
    "content",
    [
        "<script>1</script>",
        "<script type=module>1</script>",
        "<style>a {}</style>",
        '<a href="#" OnClick="1">x</a>',
        '<p style="color: red">',
        '<a href=" java\tscript:alert(1)">',
        '<img src="data:image/png;base64,x">',
        '<script src="https://elsewhere.example/x.js"></script>',
        '<form action="https://elsewhere.example/">',
    ],
)
def test_what_would_be_refused_is_found(content):
    assert len(Page(content).refused) >= 1


def test_what_is_no_code_is_let_through():
    content = (
        '<script type="application/json">{}</script><script src="/static/a.js"></script><a href="//x.example/">x</a>'
    )

    assert Page(content).refused == []
