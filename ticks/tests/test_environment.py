import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from ticks.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
ONE = "one secret of more than 32 bytes, 4711"
OTHER = "another secret of more than 32 bytes, 4711"
MYSQL = {"DATABASE_URL": "mysql://root@db.example/ticks"}
SERVER = {"DB_HOST": "db.example", "DB_USER": "ticks", "DB_NAME": "box"}
SECRETS = {"SECRET_KEY": ONE, "JWT_SECRET": OTHER}
WRONG_URLS = [
    *("postgres://u:geheim@h/x", "mysql://u:geheim@h:port/x", "mysql://u:geheim@h", "sqlite://", "sqlite://:memory:"),
    *("geheim", ":", "mysql"),
]
WRONG_URL = "DATABASE_URL cannot be read; write it as mysql://user:password@host:3306/name."
SET_SECRET = "set it to at least 32 random bytes, such as the output of `openssl rand -hex 32`."
HOW_MAIL_URL = (
    "write it as smtp+tls://user:password@host:587 (STARTTLS), smtp+ssl://... (TLS at once) or smtp://... (none)"
)
UNKNOWN_MAIL_URL = f"EMAIL_URL does not begin with a known scheme; {HOW_MAIL_URL}."
WRONG_MAIL_URL = f"EMAIL_URL cannot be read; {HOW_MAIL_URL}. Percent-encode what is no letter."
HALF_MAIL_URL = "EMAIL_URL has a user without a password, or the reverse; write both or none."
NO_SENDER = "write an address such as Ticks <tickets@example.org>, in letters of ASCII."
NO_SITE = "write the site's address such as https://tickets.example.org, no path."
WRONG_PARTS = "Set DB_HOST, DB_USER and DB_NAME together, or DATABASE_URL alone."


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Gives a function that makes an environment of these settings alone, in an empty directory."""

    def read(**given):
        for name in [*SECRETS, *SERVER, "DB_PORT", "DB_PASSWORD", "DATABASE_URL"]:
            monkeypatch.delenv(name, raising=False)
        for name, value in {"TICKS_ENV_FILE": "", **given}.items():
            monkeypatch.setenv(name, value)
        return Environment(tmp_path)

    return read


def check(tmp_path, **given):
    """`manage.py check` in a process of its own."""
    directories = {"LOG_DIR": str(tmp_path), "LOCAL_DIR": str(tmp_path)}
    environment = {"PATH": os.environ["PATH"], "TICKS_ENV_FILE": "", **directories, **given}
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        *[
            (
                {"CORS_ALLOWED_ORIGINS": origins},
                f"CORS_ALLOWED_ORIGINS is {origins!r}; write origins such as https://shop.example.org, without a path.",
            )
            for origins in ("*", "shop.example.org", "https://shop.example.org/", "https://a.example https://b.example")
        ],
        ({"DEBUG": "maybe"}, "DEBUG is 'maybe'; set it to on or off."),
        ({"DEBUG": "2"}, "DEBUG is '2'; set it to on or off."),
        ({"DEBUG": "a\nb"}, "DEBUG is 'a\\nb'; set it to on or off."),
        ({"HTTPS": "ja"}, "HTTPS is 'ja'; set it to on or off."),
        ({"PUBLIC_EVENTS": "x"}, "PUBLIC_EVENTS is 'x'; set it to on or off."),
        ({"THROTTLE_ENABLED": "x"}, "THROTTLE_ENABLED is 'x'; set it to on or off."),
        ({"TRUSTED_PROXIES": "-1"}, "TRUSTED_PROXIES is '-1'; set it to a whole number from 0 to 16."),
        ({"TRUSTED_PROXIES": "17"}, "TRUSTED_PROXIES is '17'; set it to a whole number from 0 to 16."),
        ({"PORT": "0"}, "PORT is '0'; set it to a whole number from 1 to 65535."),
        ({"PORT": "65536"}, "PORT is '65536'; set it to a whole number from 1 to 65535."),
        ({"PORT": "٨٠"}, "PORT is '٨٠'; set it to a whole number from 1 to 65535."),
        ({"PORT": "9" * 5000}, f"PORT is '{'9' * 5000}'; set it to a whole number from 1 to 65535."),
        ({"WORKERS": "two"}, "WORKERS is 'two'; set it to a whole number from 1 to 256."),
        ({"THREADS": "1.5"}, "THREADS is '1.5'; set it to a whole number from 1 to 256."),
        ({"THROTTLE_GUEST": "fast"}, "THROTTLE_GUEST is 'fast'; write a rate such as 300/min."),
        ({"THROTTLE_GUEST": "0/min"}, "THROTTLE_GUEST is '0/min'; write a rate such as 300/min."),
        ({"THROTTLE_USER": "5/year"}, "THROTTLE_USER is '5/year'; write a rate such as 300/min."),
        ({"THROTTLE_USER": "5"}, "THROTTLE_USER is '5'; write a rate such as 300/min."),
        ({"IDEMPOTENCY_HOURS": "23"}, "IDEMPOTENCY_HOURS is '23'; set it to a whole number from 24 to 8784."),
        (
            {"TICKS_ENV_FILE": "/nonexistent/.env"},
            "TICKS_ENV_FILE is '/nonexistent/.env'; name a file that exists, or empty it.",
        ),
        *[
            ({"EMAIL_URL": url}, UNKNOWN_MAIL_URL)
            for url in (
                "smtps://u:geheim@h:465",
                "smtps://h",
                "consolemail://",
                "dummymail://",
                "geheim",
                "smtp:h",
                "://",
            )
        ],
        *[
            ({"EMAIL_URL": url}, WRONG_MAIL_URL)
            for url in (
                "smtp://",
                "smtp://h:99999",
                "smtp://h:a",
                "smtp://h/path",
                "smtp+tls://u:ge#heim@h",
                "smtp://:25",
            )
        ],
        (
            {"EMAIL_URL": "smtp+tls://h?timeout=5"},
            "EMAIL_URL takes no parameters after a question mark; leave them out.",
        ),
        *[({"EMAIL_URL": url}, HALF_MAIL_URL) for url in ("smtp://u@h", "smtp://:geheim@h", "smtp://u:@h")],
        *[
            (
                {"EMAIL_URL": f"{scheme}://h:{port}"},
                f"EMAIL_URL has port {port} with {scheme}; 465 takes smtp+ssl, 25 and 587 smtp+tls or smtp.",
            )
            for scheme, port in (("smtp+tls", 465), ("smtp", 465), ("smtp+ssl", 25), ("smtp+ssl", 587))
        ],
        (
            {"EVENT_TIME_ZONE": "Berlin"},
            "EVENT_TIME_ZONE is 'Berlin'. There is no such time zone; did you mean Europe/Berlin?",
        ),
        ({"EMAIL_URL": "smtp://h"}, f"DEFAULT_FROM_EMAIL is ''; {NO_SENDER}"),
        ({"EMAIL_URL": "smtp://h", "DEFAULT_FROM_EMAIL": "a@example.org"}, f"SITE_URL is ''; {NO_SITE}"),
        *[
            ({"SITE_URL": site}, f"SITE_URL is {site!r}; {NO_SITE}")
            for site in ("tickets.example.org", "https://h/", "https://h/path", "https://u:p@h", "ftp://h", "https://")
        ],
        (
            {"SITE_URL": "https://tickets.example.org:8443", "ALLOWED_HOSTS": "other.example.org"},
            "SITE_URL is 'https://tickets.example.org:8443', but ALLOWED_HOSTS does not have tickets.example.org; "
            "add it there.",
        ),
        (
            {"SITE_URL": "http://localhost", "HTTPS": "on"},
            "SITE_URL is 'http://localhost', but HTTPS is on; write it with https://.",
        ),
        *[
            ({"DEFAULT_FROM_EMAIL": sender}, f"DEFAULT_FROM_EMAIL is {sender!r}; {NO_SENDER}")
            for sender in (
                "Ticks",
                "a@b@c",
                "ä@example.org",
                "a@exämple.org",
                "A\nBcc: <a@example.org>",
                "a b@example.org",
            )
        ],
        ({"EMAIL_VERIFICATION": "on"}, "EMAIL_VERIFICATION is 'on'; use off or asked or required."),
        (
            {**SECRETS, **MYSQL, "EMAIL_VERIFICATION": "required"},
            "EMAIL_VERIFICATION is required, but no mail can be sent; set EMAIL_URL too.",
        ),
        ({"MAIL_DELAY_SECONDS": "-1"}, "MAIL_DELAY_SECONDS is '-1'; set it to a whole number from 0 to 3600."),
        ({"DEFAULT_LANGUAGE": "fr"}, "DEFAULT_LANGUAGE is 'fr'; use en or de."),
        ({"MAIL_DAYS": "1"}, "MAIL_DAYS is '1'; set it to a whole number from 7 to 3660."),
        ({"MAIL_TEMPLATES": "/nowhere"}, "MAIL_TEMPLATES is '/nowhere'; name a folder that exists, or leave it out."),
        ({"DB_SECONDS": "1"}, "DB_SECONDS is '1'; set it to a whole number from 2 to 60."),
        *[({"DATABASE_URL": url}, WRONG_URL) for url in WRONG_URLS],
        *[(parts, WRONG_PARTS) for parts in ({"DB_HOST": "h"}, {"DB_PASSWORD": "geheim"}, {**SERVER, "DB_NAME": ""})],
        ({**SERVER, **MYSQL}, WRONG_PARTS),
        ({**SERVER, "DB_PORT": "abc"}, "DB_PORT is 'abc'; set it to a whole number from 1 to 65535."),
        (MYSQL, f"JWT_SECRET is not set; {SET_SECRET}"),
        (SERVER, f"JWT_SECRET is not set; {SET_SECRET}"),
        ({**MYSQL, "SECRET_KEY": ONE}, f"JWT_SECRET is not set; {SET_SECRET}"),
        ({**SECRETS, "SECRET_KEY": "x" * 31}, f"SECRET_KEY is shorter than 32 bytes; {SET_SECRET}"),
        ({**SECRETS, "JWT_SECRET": "x" * 31}, f"JWT_SECRET is shorter than 32 bytes; {SET_SECRET}"),
        ({**SECRETS, "JWT_SECRET": ONE}, "SECRET_KEY and JWT_SECRET are the same; set two different secrets."),
        ({**SECRETS, "TICKET_SECRET": "x" * 31}, f"TICKET_SECRET is shorter than 32 bytes; {SET_SECRET}"),
        (
            {**SECRETS, "TICKET_SECRET": ONE},
            "TICKET_SECRET is the same as another secret; set it to one of its own.",
        ),
        (
            {**SECRETS, "TICKET_SECRET_FALLBACKS": f"{'y' * 32},{'x' * 31}"},
            "TICKET_SECRET_FALLBACKS has a secret that is shorter than 32 bytes; write the secrets that were in use "
            "before, separated by commas.",
        ),
        (
            {**SECRETS, "TICKET_FONTS": "/nonexistent.ttf"},
            "TICKET_FONTS: /nonexistent.ttf cannot be read (No such file or directory).",
        ),
        (
            {**SECRETS, "TICKET_FONTS": "manage.py"},
            "TICKET_FONTS: manage.py is no TrueType font; name files such as NotoSans.ttf.",
        ),
        ({**SECRETS, "LOG_DIR": "/dev/null/logs"}, "LOG_DIR: /dev/null/logs cannot be written (Not a directory)."),
    ],
)
def test_wrong_setting_stops_the_start_with_one_sentence(tmp_path, given, said):
    finished = check(tmp_path, **given)

    assert finished.stderr == f"Ticks cannot start: {said}\n"
    assert (finished.returncode, finished.stdout) == (1, "")


@pytest.mark.parametrize(
    "given",
    [
        {**SECRETS, "DATABASE_URL": "", "PORT": " 80 ", "DEBUG": "On", "THROTTLE_USER": "5/s", "TRUSTED_PROXIES": "16"},
        {**SECRETS, **MYSQL, "HTTPS": "yes", "LOG_DIR": ""},
        {**SECRETS, "EMAIL_VERIFICATION": "required"},
        {
            **SECRETS,
            "TICKET_SECRET": "z" * 32,
            "TICKET_SECRET_FALLBACKS": f" {'y' * 32} , {'x' * 32},",
            "TICKET_FONTS": "",
        },
        # These are the settings of the first reference.
        {**SERVER, "DB_HOST": "localhost", "DB_PASSWORD": "p", "JWT_SECRET": OTHER},
    ],
)
def test_right_settings_start(tmp_path, given):
    finished = check(tmp_path, **given)

    assert (finished.returncode, finished.stderr) == (0, "")


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password", "starts_tls", "is_tls"),
    [
        ("smtp://mail.example.org", "mail.example.org", 25, "", "", False, False),
        ("smtp://127.0.0.1:1025", "127.0.0.1", 1025, "", "", False, False),
        ("smtp+tls://u:p%40%2F@h", "h", 587, "u", "p@/", True, False),
        ("smtp+ssl://u%40x.org:p@h", "h", 465, "u@x.org", "p", False, True),
        ("smtp+ssl://u:1234@h:2465", "h", 2465, "u", "1234", False, True),
    ],
)
def test_mail_server_is_read(environment, url, host, port, user, password, starts_tls, is_tls):
    assert environment(EMAIL_URL=url).mail_server() == {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
        "EMAIL_USE_TLS": starts_tls,
        "EMAIL_USE_SSL": is_tls,
    }


def test_no_mail_server_is_none(environment):
    assert environment(EMAIL_URL="").mail_server() == {}


@pytest.mark.parametrize(
    ("site", "hosts"),
    [
        ("https://tickets.example.org", ["tickets.example.org"]),
        ("https://tickets.example.org:8443", ["a.example.org", ".example.org"]),
        ("http://[::1]:8000", ["[::1]"]),
        ("http://127.0.0.1", ["*"]),
    ],
)
def test_site_is_an_address_of_an_allowed_host(environment, site, hosts):
    assert environment(SITE_URL=site).site("SITE_URL", default="", hosts=hosts, is_https=False) == site


def test_site_without_a_setting_is_the_default(environment):
    read = environment(SITE_URL="")

    assert read.site("SITE_URL", default="http://127.0.0.1:8000", hosts=["other"], is_https=True) == (
        "http://127.0.0.1:8000"
    )


@pytest.mark.parametrize("sender", ["tickets@example.org", "Ticks <tickets@example.org>", "ticks@localhost"])
def test_sender_is_an_address_perhaps_after_a_name(environment, sender):
    assert environment(DEFAULT_FROM_EMAIL=sender).sender("DEFAULT_FROM_EMAIL", "") == sender


def test_env_file_is_read_and_the_environment_wins(tmp_path):
    env_file = tmp_path / "settings"
    env_file.write_text("DEBUG=maybe\n")

    from_file = check(tmp_path, TICKS_ENV_FILE=str(env_file))
    overruled = check(tmp_path, TICKS_ENV_FILE=str(env_file), DEBUG="perhaps")

    assert from_file.stderr == "Ticks cannot start: DEBUG is 'maybe'; set it to on or off.\n"
    assert overruled.stderr == "Ticks cannot start: DEBUG is 'perhaps'; set it to on or off.\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"PORT=8979\nDATABASE_URL = mysql://ada:secret@localhost/x\n", "Line 2 of {} cannot be read"),
        (b"\xef\xbb\xbfPORT=8979\n", "Line 1 of {} cannot be read"),
        (b"FOO BAR\n", "Line 1 of {} cannot be read"),
        (b"PORT=8979\xff\n", "{} is not UTF-8"),
    ],
)
def test_env_file_with_a_line_that_is_not_read_stops_the_start(tmp_path, content, sentence):
    env_file = tmp_path / "settings"
    env_file.write_bytes(content)

    finished = check(tmp_path, TICKS_ENV_FILE=str(env_file))

    assert finished.returncode != 0
    assert finished.stderr.startswith(f"Ticks cannot start: {sentence.format(env_file)}")
    assert "secret" not in finished.stderr


def test_env_file_may_have_comments_and_exports(tmp_path):
    env_file = tmp_path / "settings"
    env_file.write_text("# a comment\n\nexport DEBUG=maybe\n")

    assert "DEBUG is 'maybe'" in check(tmp_path, TICKS_ENV_FILE=str(env_file)).stderr


@pytest.mark.parametrize(
    ("given", "on"),
    [("on", True), ("TRUE", True), ("yes", True), ("1", True), ("off", False), ("False", False), ("no", False),
     ("0", False), ("", True), (" ", True)],
)  # fmt: skip
def test_switch_reads_common_spellings(environment, given, on):
    assert environment(LIGHT=given).switch("LIGHT", True) is on


def test_hosts_are_separated_by_commas(environment):
    assert environment(HOSTS=" a.example , b.example,").hosts("HOSTS", "x") == ["a.example", "b.example"]
    assert environment(HOSTS=" ").hosts("HOSTS", "x,y") == ["x", "y"]


def test_value_that_starts_with_a_dollar_is_itself(environment):
    given = environment(**SERVER, DB_PASSWORD="$ecret", SECRET_KEY=f"${ONE}", ecret="other")

    assert given.database()["PASSWORD"] == "$ecret"
    assert given.secret("SECRET_KEY", may_generate=True) == f"${ONE}"


def test_five_settings_name_a_server(environment):
    given = environment(**SERVER, DB_PASSWORD="p@ss:w/rd#1", DB_PORT="3307")

    assert given.database() == {
        "ENGINE": "django.db.backends.mysql",
        "HOST": "db.example",
        "PORT": "3307",
        "USER": "ticks",
        "PASSWORD": "p@ss:w/rd#1",
        "NAME": "box",
    }


def test_port_and_password_of_the_server_may_be_missing(environment):
    database = environment(**SERVER).database()

    assert (database["PORT"], database["PASSWORD"]) == ("3306", "")


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ({**SERVER, "DB_HOST": "localhost", "DB_PORT": "3307"}, "127.0.0.1"),
        ({"DATABASE_URL": "mysql://me@localhost:3307/shop"}, "127.0.0.1"),
        # Without a port it is the socket.
        ({**SERVER, "DB_HOST": "localhost"}, "localhost"),
        ({"DATABASE_URL": "mysql://me@localhost/shop"}, "localhost"),
        ({"DATABASE_URL": "mysql://me@localhost:3307/shop?unix_socket=/run/db.sock"}, "localhost"),
    ],
)
def test_localhost_with_a_port_is_reached_by_the_port(environment, given, host):
    assert environment(**given).database()["HOST"] == host


@pytest.mark.parametrize("scheme", ["mysql", "mariadb"])
def test_database_url_names_the_database(environment, scheme):
    given = environment(DATABASE_URL=f"{scheme}://me:p%40ss@other.example:3308/shop")

    database = given.database()

    assert database["ENGINE"] == "django.db.backends.mysql"
    assert [database[name] for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME")] == [
        "other.example",
        3308,
        "me",
        "p@ss",
        "shop",
    ]


def test_without_settings_the_database_is_embedded(environment, tmp_path):
    database = environment().database()

    assert (database["ENGINE"], database["NAME"]) == ("django.db.backends.sqlite3", str(tmp_path / "db.sqlite3"))


def test_secrets_are_generated_once_and_kept_from_others(environment, tmp_path):
    first = environment()
    secrets = [first.secret(name, may_generate=True) for name in SECRETS]

    second = environment()

    assert [second.secret(name, may_generate=True) for name in SECRETS] == secrets
    assert len(set(secrets)) == 2
    assert min(len(secret) for secret in secrets) >= 32
    kept = sorted((tmp_path / ".local").iterdir())
    assert [path.name for path in kept] == ["jwt_secret", "secret_key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept} == {0o600}
    assert stat.S_IMODE((tmp_path / ".local").stat().st_mode) == 0o700


def test_secret_that_is_set_goes_before_the_kept_one(environment, tmp_path):
    environment().secret("SECRET_KEY", may_generate=True)
    given = environment(SECRET_KEY=ONE)

    assert given.secret("SECRET_KEY", may_generate=True) == ONE
    assert given.generated_secrets == {}


def test_generated_secret_is_known_by_its_file(environment, tmp_path):
    given = environment()

    given.secret("SECRET_KEY", may_generate=True)

    assert given.generated_secrets == {"SECRET_KEY": tmp_path / ".local" / "secret_key"}


def test_kept_secret_that_is_too_short_is_refused(environment, tmp_path):
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "secret_key").write_text("short")

    with pytest.raises(ImproperlyConfigured, match=r"^SECRET_KEY is shorter than 32 bytes"):
        environment().secret("SECRET_KEY", may_generate=True)


def test_secret_that_cannot_be_kept_is_refused(environment, tmp_path):
    (tmp_path / ".local").write_text("a file where the directory should be")

    with pytest.raises(ImproperlyConfigured, match=r"^SECRET_KEY is not set and .* cannot be written \("):
        environment().secret("SECRET_KEY", may_generate=True)


@pytest.mark.parametrize("length", [0, 31])
def test_secret_may_not_be_generated_for_a_server(environment, length):
    with pytest.raises(ImproperlyConfigured, match=r"^SECRET_KEY is"):
        environment(SECRET_KEY="x" * length).secret("SECRET_KEY", may_generate=False)


@pytest.mark.parametrize("host", [",,http://x.org", "a b", "x.org:8000", "x.org/"])
def test_allowed_host_that_can_match_nothing_is_refused(environment, host):
    with pytest.raises(ImproperlyConfigured, match=r"^ALLOWED_HOSTS is '.*'; write host names such as "):
        environment(ALLOWED_HOSTS=f"ok.example.org,{host}").hosts("ALLOWED_HOSTS", "")


def test_allowed_hosts_are_taken_as_django_takes_them(environment):
    given = environment(ALLOWED_HOSTS="tickets.example.org, .example.com,*,10.0.0.1,[::1]")

    hosts = given.hosts("ALLOWED_HOSTS", "")

    assert hosts == ["tickets.example.org", ".example.com", "*", "10.0.0.1", "[::1]"]


def test_every_setting_is_in_the_documents_and_the_example():
    sources = [(ROOT / "ticks" / name).read_text() for name in ("settings.py", "environment.py")]
    read = {name for source in sources for name in re.findall(r'(?:environment|self)\.\w+\("([A-Z_]+)"', source)}
    documented = set(re.findall(r"`([A-Z_]+)`", (ROOT / "docs/operating.md").read_text()))
    example = set(re.findall(r"^#([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert {"BODY_SECONDS", "DATABASE_URL", "THROTTLE_USER"} <= read
    assert read <= documented
    assert read <= example


@pytest.mark.parametrize(("workers", "threads"), [(1, 32), (2, 32), (4, 32), (8, 14), (10, 10), (64, 8)])
def test_threads_are_as_many_as_the_usual_connections_allow(tmp_path, workers, threads):
    ended = subprocess.run(
        [sys.executable, "-c", "from django.conf import settings; print(settings.THREADS)"],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "DJANGO_SETTINGS_MODULE": "ticks.settings",
            "TICKS_ENV_FILE": "",
            "LOG_DIR": str(tmp_path),
            "WORKERS": str(workers),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert int(ended.stdout) == threads
    assert workers > 8 or workers * (threads + settings.OTHER_CONNECTIONS) + settings.RESERVED_CONNECTIONS <= 151
