"""Whatever reads outside text takes time in proportion to its length, also for the worst text.

Python answers nobody else while a pattern looks through a text. One that goes through the same characters again and
again takes seconds for 16 kB and hours for 1 MB. All that reads text is looked for here by itself, so that nothing new
is forgotten: the patterns of our modules, the addresses, and the fields of serializers, filters and forms.
"""

import ast
import re
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from io import BytesIO
from itertools import permutations
from pkgutil import walk_packages
from types import SimpleNamespace
from typing import NamedTuple
from urllib.parse import urlencode

import django_filters
import pytest
from django import forms
from django.conf import settings
from django.http.cookie import parse_cookie
from django.http.request import split_domain_port
from django.test import Client
from django.urls import get_resolver
from django.utils.http import parse_header_parameters
from rest_framework import serializers

from accounts.authentication import caller_of
from accounts.models import User, username_key
from accounts.tests.factories import UserFactory
from bookings.admin.events.adding import plain_title, read_rows
from ticks.api.headers import is_named
from ticks.api.idempotency import idempotency_key
from ticks.api.parsers import JSONParser
from ticks.api.throttling import network_of
from ticks.logging import identity_of, without_values
from ticks.parsing import parse_id, refuse_misread_time
from ticks.server.app import made_readable
from ticks.sheets import escape_formulas, unescape_formulas
from ticks.text import composed, fault_of_line, normalise_email

# These tests need no data in the database.
pytestmark = [pytest.mark.django_db, pytest.mark.embedded]

PACKAGES = ("ticks", "accounts", "events", "bookings")
SHORT, LONG = 10_000, 1_000_000
# CPU seconds. What is linear takes a hundredth of these, what is quadratic some seconds for the short text and hours
# for the long one: a slow or busy machine makes no difference.
SHORT_SECONDS, LONG_SECONDS = 0.1, 3
# A request's head has at most 64 kB.
HEAD = 60_000


class Shape(NamedTuple):
    """A text of any length: `unit` again and again, between a beginning and an end."""

    unit: str
    before: str = ""
    after: str = ""

    def of(self, length: int) -> str:
        return self.before + self.unit * (length // len(self.unit)) + self.after


class Accents(Shape):
    """Python sorts them: those above a letter, which are the first half here, stand behind those below it."""

    def of(self, length: int) -> str:
        return "a" + "\u0301" * (length // 2) + "\u0323" * (length // 2)


UNITS = [*"a0 \t\n\r.,;:-_+=@/\\'\"()[]{}<&%#\0é", "a.", "a@", "a ", " =", '",', "\\0", "1.", "0x", "%41", "&#"]
SHAPES = [
    *map(Shape, UNITS),
    Accents(""),
    Shape("a.", before="a@"),
    Shape("x", before="2030-01-01T"),
    Shape(" ", before="2030-01-01T10:00", after="x"),
    Shape("[", before='{"a":'),
    Shape('{"a":'),
    Shape("1", before="0."),
    Shape('"', before="Name,Total tickets\n"),
    Shape("Incorrect "),
    Shape("Duplicate entry '"),
]
# These are header values: in quotes, or as a parameter whose quotes are never closed.
HEADER_SHAPES = [
    *map(Shape, UNITS),
    *(Shape(unit, before='a="', after='"') for unit in UNITS),
    *(Shape(unit, before='a/b; c="') for unit in UNITS),
]


def seconds(read: Callable, text) -> float:
    began = time.thread_time()
    # Most of these texts are refused.
    with suppress(Exception):
        read(text)
    return time.thread_time() - began


def assert_linear(read: Callable[[str], object], shapes: Iterable[Shape]) -> None:
    """Tries all shapes with short texts first, and then a long text of the shape that took longest."""
    costs = {shape: seconds(read, shape.of(SHORT)) for shape in shapes}
    slow = [shape for shape, cost in costs.items() if cost > SHORT_SECONDS]
    # Once more: the first time may have loaded something.
    assert [shape for shape in slow if seconds(read, shape.of(SHORT)) > SHORT_SECONDS] == []
    worst = max(costs, key=costs.get)
    assert seconds(read, worst.of(LONG)) < LONG_SECONDS, worst


# Patterns


def sources():
    """The files of our packages, without tests and migrations."""
    for package in PACKAGES:
        for path in sorted((settings.BASE_DIR / package).rglob("*.py")):
            if not {"tests", "migrations"} & set(path.parts):
                yield path


def our_modules():
    for package in PACKAGES:
        for found in walk_packages(import_module(package).__path__, f"{package}.", onerror=fail_to_import):
            if not {"tests", "migrations"} & set(found.name.split(".")):
                yield import_module(found.name)


def fail_to_import(name: str) -> None:
    raise AssertionError(f"{name} cannot be imported")


@cache
def our_patterns() -> dict[str, re.Pattern]:
    return {
        f"{module.__name__}.{name}": value
        for module in our_modules()
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


@cache
def attributes_used() -> set[tuple[str, str]]:
    """Each name in our code with each attribute that is read of it."""
    return {
        (node.value.id, node.attr)
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def methods_used(name: str) -> set[str]:
    """The methods of a pattern that our code calls. A pattern for whole texts need not be searched for in a text."""
    return {attribute for owner, attribute in attributes_used() if owner == name}


def shapes_against(pattern: str) -> list[Shape]:
    """Texts of what the pattern itself is made of: each character, each pair of them, each word."""
    letters = sorted(set(pattern))
    words = re.findall(r"[A-Za-z ]{4,}[^A-Za-z]?", pattern)
    units = [*letters, *map("".join, permutations(letters, 2)), *words]
    return [*SHAPES, *map(Shape, units), *(Shape(letter, after="\0") for letter in letters)]


@pytest.mark.parametrize("name", sorted(our_patterns()))
def test_pattern_is_linear(name):
    pattern, methods = our_patterns()[name], methods_used(name.rpartition(".")[2])

    assert methods
    for method in methods:
        call = partial(pattern.sub, "") if method == "sub" else getattr(pattern, method)
        assert_linear(call, shapes_against(pattern.pattern))


def misplaced_patterns(source: str) -> list[str]:
    """Uses of `re` that the test above does not see, as line and code."""
    tree = ast.parse(source)
    constants = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                is_misplaced = any(
                    one.name in ("re", "regex") and (one.name, one.asname) != ("re", None) for one in names
                )
            case ast.ImportFrom(module="re" | "regex"):
                is_misplaced = True
            case ast.Call(func=ast.Attribute(value=ast.Name(id="re"), attr=name)):
                is_misplaced = name != "compile" or node not in constants
            case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
                is_misplaced = name in ("RegexValidator", "RegexField", "_lazy_re_compile")
            case _:
                is_misplaced = False
        if is_misplaced:
            found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_patterns_are_constants_of_modules():
    """Other uses of `re` would not be found here."""
    # Settings come from those who run Ticks, so nobody else can make their patterns slow.
    paths = [path for path in sources() if path != settings.BASE_DIR / "ticks/environment.py"]
    misplaced = {path: misplaced_patterns(path.read_text()) for path in paths}

    assert {str(path): found for path, found in misplaced.items() if found} == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import re\nONE = re.compile('a+')", []),
        ("import re\ndef f(text):\n    return re.sub('a+', '', text)", ["3: re.sub('a+', '', text)"]),
        ("import re\ndef f():\n    return re.compile('a+')", ["3: re.compile('a+')"]),
        ("from re import sub", ["1: from re import sub"]),
        ("import re as patterns", ["1: import re as patterns"]),
        ("RegexValidator('a+')", ["1: RegexValidator('a+')"]),
    ],
)
def test_pattern_in_another_place_is_found(source, found):
    assert misplaced_patterns(source) == found


def test_patterns_are_found():
    assert {"bookings.admin.events.adding.NO_WORDS", "ticks.api.parsers.TRAILING_COMMA"} <= our_patterns().keys()


# Addresses


def addresses(patterns, before: str = ""):
    """The pattern of each address, with the constant text that it begins with."""
    for one in patterns:
        route = before + str(one.pattern).lstrip("^").partition("<")[0]
        yield route, one.pattern.regex
        yield from addresses(getattr(one, "url_patterns", []), route)


def test_addresses_are_read_in_linear_time():
    found = dict.fromkeys(addresses(get_resolver().url_patterns))

    assert len(found) > 50
    for route, pattern in found:
        shapes = [Shape(unit, before=before) for unit in ("a", "0", "/", "a/", "-", ".") for before in ("", route)]
        assert_linear(pattern.search, shapes)


# Fields


def below(base: type) -> list[type]:
    """All our classes of this kind."""
    list(our_modules())
    found = {kind for child in base.__subclasses__() for kind in (child, *below(child))}
    return sorted(
        (one for one in found if one.__module__.startswith(PACKAGES) and ".tests." not in one.__module__), key=name_of
    )


def name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


@pytest.mark.parametrize("kind", below(serializers.Serializer), ids=name_of)
def test_fields_of_a_serializer_are_linear(kind):
    for field in kind().fields.values():
        if not field.read_only:
            assert_linear(field.run_validation, SHAPES)


@pytest.mark.parametrize("kind", below(forms.BaseForm), ids=name_of)
def test_fields_of_a_form_are_linear(kind):
    try:
        # A login's limits stand in its form alone.
        fields = kind().fields
    except (TypeError, ValueError):
        fields = kind.base_fields

    for field in fields.values():
        assert_linear(field.clean, SHAPES)


@pytest.mark.parametrize("kind", below(django_filters.FilterSet), ids=name_of)
def test_filters_are_linear(kind):
    for field in kind(queryset=User.objects.none()).form.fields.values():
        assert_linear(field.clean, SHAPES)


# Everything else that reads what was sent


def read_json(text: str) -> object:
    body = text.encode()
    request = SimpleNamespace(META={"CONTENT_LENGTH": str(len(body))})
    return JSONParser().parse(BytesIO(body), parser_context={"request": request})


READERS = {
    "JSON": read_json,
    "cookie": lambda text: parse_cookie(made_readable({"HTTP_COOKIE": text})["HTTP_COOKIE"]),
    "content type": lambda text: parse_header_parameters(made_readable({"CONTENT_TYPE": text})["CONTENT_TYPE"]),
    "host": split_domain_port,
    "address": lambda text: network_of({"REMOTE_ADDR": text, "HTTP_X_FORWARDED_FOR": text}),
    "bearer token": lambda text: caller_of(f"Bearer {text}"),
    "idempotency key": idempotency_key,
    "entity tags": lambda text: is_named("x", text),
    "request's id": identity_of,
    "id": parse_id,
    "email": normalise_email,
    "username": username_key,
    "title of a column": plain_title,
    "import of events": read_rows,
    "cell of an export": escape_formulas,
    "cell of an import": unescape_formulas,
    "text": composed,
    "line of text": fault_of_line,
    "time": refuse_misread_time,
    "log": without_values,
}


@pytest.mark.parametrize("name", READERS)
def test_reader_is_linear(name):
    assert_linear(READERS[name], [*SHAPES, *HEADER_SHAPES])


HEADERS = [
    *("Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Content-Type", "Cookie", "Forwarded", "Host"),
    *("Idempotency-Key", "If-Match", "If-Modified-Since", "If-None-Match", "Origin", "Range", "Referer", "User-Agent"),
    *("X-CSRFToken", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-ID"),
]


@pytest.mark.parametrize("path", ["/api/v1/event", "/admin/"])
def test_longest_header_is_read_at_once(path):
    client, slow = Client(), []

    def ask(headers):
        # The server repairs them before Django sees them.
        return client.get(path, **made_readable(headers))

    for name in HEADERS:
        variable = name.upper().replace("-", "_")
        variable = variable if name == "Content-Type" else f"HTTP_{variable}"
        for shape in HEADER_SHAPES:
            headers = {variable: shape.of(HEAD)}
            # Once more: the first time may have loaded something.
            if seconds(ask, headers) > SHORT_SECONDS and seconds(ask, headers) > SHORT_SECONDS:
                slow.append((name, shape))

    assert slow == []


LOGINS = ["/api/v1/auth/login", "/api/v1/auth/register", "/api/users/login", "/api/users/register"]


@pytest.mark.parametrize("shape", [Accents(""), Shape("a"), Shape("@"), Shape("\0"), Shape(" ")])
@pytest.mark.parametrize("path", [*LOGINS, "/admin/login/", "/api-auth/login/"])
def test_names_that_fill_a_body_are_read_at_once(settings, path, shape):
    settings.THROTTLE_ENABLED = True
    # Each accent has six bytes in a body, and the name is there twice.
    client, name = Client(), shape.of(80_000)
    body = {"username": name, "email": name, "password": "nine lovely engines"}

    def log_in(text):
        if path in LOGINS:
            return client.post(path, body, content_type="application/json")
        return client.post(path, urlencode(body), content_type="application/x-www-form-urlencoded")

    assert log_in("").status_code in (200, 400, 401)
    assert seconds(log_in, "") < LONG_SECONDS


@pytest.mark.parametrize(
    "header", ["(" * 16_000, "(" * 1_000_000, "," * 1_000_000, "\n" * 1_000_000, '"' + "\n" * 999_000]
)
def test_import_of_1_mb_is_answered_at_once(header):
    """The text is sent as a file, so that everything that reads a request reads it."""
    client = Client()
    client.force_login(UserFactory(is_staff=True, is_superuser=True))

    def send(text):
        file = BytesIO(text.encode())
        file.name = "events.csv"
        return client.post("/admin/events/event/import/", {"file": file, "key": "d" * 32})

    assert seconds(send, header) < 0.5
