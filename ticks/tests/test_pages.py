"""The pages for a browser: the start page and the docs. The tests of the browsable API are in `bookings`."""

import json
import re

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders

pytestmark = pytest.mark.django_db

HTML = {"Accept": "text/html"}
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
ELSEWHERE = re.compile(r"""(?:src|href|url\()=?["']?\s*(?:https?:)?//""")


def test_index_leads_everywhere(client):
    content = client.get("/").content.decode()

    for path in ("/api/docs", "/api/schema", "/api/v1/event", "/api/v1/booking", "/admin/", "/readyz"):
        assert f'href="{path}"' in content
        assert client.get(path, headers=BROWSER, follow=True).status_code in (200, 401)
    assert "<style" not in content
    assert "style=" not in content
    assert "<script" not in content
    assert not ELSEWHERE.search(content)


def test_index_shows_commands_that_work(client):
    content = client.get("/", headers={"Host": "localhost"}).content.decode()
    bodies = [json.loads(body) for body in re.findall(r"-d '({.*?})'", content, re.DOTALL)]

    assert "API=http://localhost/api/v1" in content
    register, login = bodies
    assert client.post("/api/v1/auth/register", register, content_type="application/json").status_code == 201
    answer = client.post("/api/v1/auth/login", login, content_type="application/json")
    assert answer.status_code == 200
    # cut -d'"' -f10
    assert answer.content.decode().split('"')[9] == answer.json()["data"]["token"]
    demo = (settings.BASE_DIR / "bookings/management/commands/seed_demo.py").read_text()
    assert f'"{register["username"]}"' not in demo


@pytest.mark.parametrize(
    "name",
    [
        "ticks/admin.css",
        "ticks/admin.js",
        "ticks/browsable.css",
        "ticks/docs.css",
        "ticks/docs.js",
        "ticks/favicon.svg",
        "ticks/forms.css",
        "ticks/lists.css",
        "ticks/parts.css",
        "ticks/ticks.css",
        "ticks/tokens.css",
    ],
)
def test_static_file_is_found_and_stays_here(name):
    path = finders.find(name)

    with open(path) as file:
        content = file.read().replace('xmlns="http://www.w3.org/2000/svg"', "")
    # A script's comment begins with two slashes and a space.
    assert "//" not in content.replace("// ", "")


@pytest.mark.parametrize("path", ["/api/docs", "/api/v1/booking", "/api/v1/event", "/api-auth/login/", "/admin/login/"])
def test_page_asks_no_other_host(client, path):
    content = client.get(path, headers=HTML).content.decode()

    assert not ELSEWHERE.search(content)
    assert "/static/ticks/favicon.svg" in content
    assert "Ticks" in re.search("<title>(.*?)</title>", content)[1]


def test_docs_send_the_schema_to_nobody(client):
    assert '"validatorUrl": null' in client.get("/api/docs?script=").content.decode()
