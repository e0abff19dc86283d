"""The pages for people: their links lead somewhere, docs/api.md has what the schema has, and docs/architecture.md names
what there is."""

import re
import subprocess
from pathlib import Path

import pytest
from django.conf import settings
from drf_spectacular.generators import SchemaGenerator

ROOT = settings.BASE_DIR
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"")
NAME = re.compile(r"`([\w./]+)`")
# These names in docs/architecture.md are a pattern, and classes of Django and DRF that Ticks does not use.
NOT_OURS = {"verb_noun", "PasswordResetTokenGenerator", "PasswordResetConfirmView", "ModelSerializer"}
PARAMETER = re.compile(r"\{\w+\}")
CODE = re.compile(r"^```.*?^```|^    .*?$|`[^`]*`", re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.embedded


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the repository's host makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page):
    targets = [one or other for one, other in LINK.findall(CODE.sub("", page.read_text()))]
    dead = []
    for target in targets:
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            dead.append(target)

    assert dead == []


def test_names_in_the_architecture_are_in_the_code():
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30).stdout.splitlines()
    paths = [path for path in listed if (ROOT / path).exists()]
    places = {str(place) for path in map(Path, paths) for place in (path, *path.parents)}
    known = {word for path in paths for word in re.findall(r"\w+", path)} | NOT_OURS
    for path in paths:
        # This file has names that are not ours.
        if path.endswith((".py", ".html", ".toml", ".conf")) and ROOT / path != Path(__file__):
            known.update(re.findall(r"\w+", (ROOT / path).read_text()))
    names = NAME.findall((ROOT / "docs/architecture.md").read_text())

    def is_known(name):
        if "/" in name and not name.startswith("/"):
            return any(f"/{place}".endswith(f"/{name.rstrip('/')}") for place in places)
        return known.issuperset(re.findall(r"\w+", name))

    assert len(names) > 100
    assert [name for name in names if not is_known(name)] == []


def test_every_page_is_reached_from_the_readme():
    readme = (ROOT / "README.md").read_text()

    assert [page.name for page in PAGES if page.parent.name == "docs" and f"(docs/{page.name})" not in readme] == []


@pytest.fixture(scope="module")
def schema():
    return SchemaGenerator().get_schema(request=None, public=True)


def test_every_route_is_in_the_contract(schema):
    operations = [f"{method.upper()} {path}" for path, item in schema["paths"].items() for method in item]
    operations = [PARAMETER.sub("{}", operation) for operation in operations]
    contract = PARAMETER.sub("{}", (ROOT / "docs/api.md").read_text())

    assert len(operations) > 15
    assert [operation for operation in operations if not re.search(rf"`{re.escape(operation)}[` ]", contract)] == []


def test_every_field_and_parameter_is_in_the_contract(schema):
    contract = (ROOT / "docs/api.md").read_text()
    bodies = schema["components"]["schemas"].values()
    names = {name for body in bodies for name in body.get("properties", {})}
    names |= {
        parameter["name"]
        for item in schema["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
    }

    assert len(names) > 40
    assert sorted(name for name in names if not re.search(rf"\b{re.escape(name)}\b", contract)) == []
