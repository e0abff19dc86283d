"""Reads the settings from the environment and `.env` with django-environ, and checks each value at the start."""

import os
import re
import secrets
from contextlib import suppress
from email.utils import parseaddr
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from django.http.request import validate_host
from environ import Env

from ticks.zones import fault_of_zone

SECRET_BYTES = 32
# How a TrueType font begins. Other fonts cannot be put into a PDF by reportlab.
TRUETYPE = {b"\0\1\0\0", b"true"}
# Django's ALLOWED_HOSTS can match these: names, their subdomains after a dot, addresses, everything.
HOST_NAME = r"(\*|\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\])"
# An origin is a page's scheme, host and port, without a path: as a browser writes it into the header.
ORIGIN = r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?"
# The address of this site, as browsers write an origin.
SITE = rf"https?://({ORIGIN.partition('://')[2]})"
# A rate is written as in DRF: a whole number, a slash, a period.
RATE = r"0*[1-9][0-9]{0,9}/[smhd].*"
# A mail server's URL by its scheme, with the port that is usual for it. `smtps` is not among them: django-environ reads
# it as STARTTLS, and most others as TLS from the first byte.
MAIL_PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
MAIL_URL = "write it as smtp+tls://user:password@host:587 (STARTTLS), smtp+ssl://... (TLS at once) or smtp://... (none)"
SENDER = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
# A line of `.env` that is read: NAME=value, perhaps after the word export; a comment; nothing.
LINE = re.compile(r"\s*((export\s+)?[A-Za-z_][A-Za-z_0-9]*=.*|#.*)?")
# The driver connects to "localhost" by the socket, whatever the port says.
BY_PORT = "127.0.0.1"


def refuse_unreadable_lines(path: Path) -> None:
    """Raises `ImproperlyConfigured` for a line that django-environ would pass over, which may be the database's. The
    sentence does not show the line, which may have a password in it."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ImproperlyConfigured(f"{path} is not UTF-8; save it as UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not LINE.fullmatch(line):
            raise ImproperlyConfigured(f"Line {number} of {path} cannot be read; write NAME=value, without spaces.")


class Environment:
    """Reads settings by name and refuses wrong ones with one sentence (`ImproperlyConfigured`)."""

    def __init__(self, base_dir: Path):
        self.base_dir = base_dir
        env_file = os.environ.get("TICKS_ENV_FILE", str(base_dir / ".env"))
        if Path(env_file).is_file():
            refuse_unreadable_lines(Path(env_file))
            Env.read_env(env_file)
        elif os.environ.get("TICKS_ENV_FILE"):
            raise ImproperlyConfigured(f"TICKS_ENV_FILE is {env_file!r}; name a file that exists, or empty it.")
        self.local_dir = base_dir / self.text("LOCAL_DIR", ".local")
        # The files of the secrets that are not set, by the names of the settings.
        self.generated_secrets: dict[str, Path] = {}

    def text(self, name: str, default: str = "", pattern: str = "(?s).*", fix: str = "") -> str:
        # This does not use env.str(), which treats a value that starts with $ as the name of another variable.
        value = os.environ.get(name, "").strip() or default
        if not re.fullmatch(pattern, value):
            raise ImproperlyConfigured(f"{name} is {value!r}; {fix}.")
        return value

    def hosts(self, name: str, default: str) -> list[str]:
        pattern = rf"[\s,]*{HOST_NAME}(\s*,[\s,]*{HOST_NAME})*[\s,]*"
        value = self.text(name, default, pattern, "write host names such as tickets.example.org")
        return value.replace(",", " ").split()

    def origins(self, name: str) -> list[str]:
        pattern = rf"([\s,]*{ORIGIN}(\s*,[\s,]*{ORIGIN})*[\s,]*)?"
        value = self.text(name, "", pattern, "write origins such as https://shop.example.org, without a path")
        return value.replace(",", " ").split()

    def rate(self, name: str, default: str) -> str:
        return self.text(name, default, RATE, "write a rate such as 300/min")

    def word(self, name: str, default: str, words: list[str]) -> str:
        return self.text(name, default, "|".join(map(re.escape, words)), f"use {' or '.join(words)}")

    def switch(self, name: str, default: bool) -> bool:
        value = self.text(name, str(default), "(?i)on|true|yes|1|off|false|no|0", "set it to on or off")
        return value.lower() in Env.BOOLEAN_TRUE_STRINGS

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        fix = f"set it to a whole number from {low} to {high}"
        value = self.text(name, str(default), "[0-9]{1,19}", fix)
        if not low <= int(value) <= high:
            raise ImproperlyConfigured(f"{name} is {value!r}; {fix}.")
        return int(value)

    def time_zone(self, name: str, default: str) -> str:
        value = self.text(name, default)
        if fault := fault_of_zone(value):
            raise ImproperlyConfigured(f"{name} is {value!r}. {fault}")
        return value

    def database(self) -> dict:
        """Django's settings of the database, without driver options. If nothing is set, the database is SQLite."""
        url = self.text("DATABASE_URL")
        parts = {name: self.text(f"DB_{name}") for name in ("HOST", "USER", "NAME", "PASSWORD", "PORT")}
        if not any(parts.values()):
            return self.database_of_url(url or "sqlite:///db.sqlite3")
        if url or not (parts["HOST"] and parts["USER"] and parts["NAME"]):
            raise ImproperlyConfigured("Set DB_HOST, DB_USER and DB_NAME together, or DATABASE_URL alone.")
        if parts["PORT"] and parts["HOST"] == "localhost":
            parts["HOST"] = BY_PORT
        return {"ENGINE": "django.db.backends.mysql", **parts, "PORT": str(self.whole("DB_PORT", 3306, 1, 65535))}

    def database_of_url(self, url: str) -> dict:
        # One driver serves MariaDB and MySQL.
        url = url.replace("mariadb:", "mysql:", 1)
        config = {"NAME": ""}
        if url.startswith(("mysql:", "sqlite:")):
            with suppress(ValueError):
                config = Env.db_url_config(url)
        if config["NAME"] in {"", ":memory:"}:
            # The sentence does not show the value, which has a password in it.
            raise ImproperlyConfigured("DATABASE_URL cannot be read; write it as mysql://user:password@host:3306/name.")
        if url.startswith("sqlite:"):
            # A relative path starts at the project's folder, wherever Ticks is started from.
            config["NAME"] = str(self.base_dir / config["NAME"])
        elif config["PORT"] and config["HOST"] == "localhost" and "unix_socket" not in config.get("OPTIONS", {}):
            config["HOST"] = BY_PORT
        return config

    def mail_server(self) -> dict:
        """Django's settings of the mail server; empty if EMAIL_URL is not set. No sentence shows the value, which has a
        password in it."""
        url = self.text("EMAIL_URL")
        if not url:
            return {}
        scheme, _, rest = url.partition("://")
        if scheme not in MAIL_PORTS:
            raise ImproperlyConfigured(f"EMAIL_URL does not begin with a known scheme; {MAIL_URL}.")
        if "?" in rest:
            # django-environ would pass over most of them.
            raise ImproperlyConfigured("EMAIL_URL takes no parameters after a question mark; leave them out.")
        config: dict = {"EMAIL_HOST": None}
        with suppress(ValueError):
            config = Env.email_url_config(url)
        if not config["EMAIL_HOST"] or config["EMAIL_FILE_PATH"] or "#" in rest:
            raise ImproperlyConfigured(f"EMAIL_URL cannot be read; {MAIL_URL}. Percent-encode what is no letter.")
        user, password = config["EMAIL_HOST_USER"] or "", config["EMAIL_HOST_PASSWORD"] or ""
        if bool(user) != bool(password):
            raise ImproperlyConfigured("EMAIL_URL has a user without a password, or the reverse; write both or none.")
        port = config["EMAIL_PORT"] or MAIL_PORTS[scheme]
        if port in (25, 465, 587) and (port == 465) != (scheme == "smtp+ssl"):
            raise ImproperlyConfigured(
                f"EMAIL_URL has port {port} with {scheme}; 465 takes smtp+ssl, 25 and 587 smtp+tls or smtp."
            )
        return {
            "EMAIL_BACKEND": config["EMAIL_BACKEND"],
            "EMAIL_HOST": config["EMAIL_HOST"],
            "EMAIL_PORT": port,
            "EMAIL_HOST_USER": user,
            "EMAIL_HOST_PASSWORD": password,
            "EMAIL_USE_TLS": scheme == "smtp+tls",
            "EMAIL_USE_SSL": scheme == "smtp+ssl",
        }

    def site(self, name: str, *, default: str, hosts: list[str], is_https: bool) -> str:
        """The address at which people reach this site. Links in mails begin with it, so it must lead here."""
        value = self.text(name, default, SITE, "write the site's address such as https://tickets.example.org, no path")
        if os.environ.get(name, "").strip():
            host = value.partition("://")[2]
            host = host if host.endswith("]") else re.sub(":[0-9]+$", "", host)
            if not validate_host(host, hosts):
                raise ImproperlyConfigured(
                    f"{name} is {value!r}, but ALLOWED_HOSTS does not have {host}; add it there."
                )
            if is_https and not value.startswith("https:"):
                raise ImproperlyConfigured(f"{name} is {value!r}, but HTTPS is on; write it with https://.")
        return value

    def sender(self, name: str, default: str) -> str:
        """A mail address, perhaps after a name."""
        value = self.text(name, default)
        address = parseaddr(value)[1]
        if not SENDER.fullmatch(address) or not value.isprintable():
            raise ImproperlyConfigured(
                f"{name} is {value!r}; write an address such as Ticks <tickets@example.org>, in letters of ASCII."
            )
        return value

    def folder(self, name: str) -> list[Path]:
        """An existing folder, if one is set. A relative path starts at the project's folder."""
        value = self.text(name)
        path = self.base_dir / value
        if value and not path.is_dir():
            raise ImproperlyConfigured(f"{name} is {value!r}; name a folder that exists, or leave it out.")
        return [path] if value else []

    def secret(self, name: str, *, may_generate: bool) -> str:
        """A secret of at least 32 bytes. If it is not set and may be generated, it is made at the first start, and
        kept."""
        value = os.environ.get(name) or (self.generated(name) if may_generate else "")
        if len(value.encode()) < SECRET_BYTES:
            state = f"is shorter than {SECRET_BYTES} bytes" if value else "is not set"
            raise ImproperlyConfigured(
                f"{name} {state}; set it to at least {SECRET_BYTES} random bytes, such as the output of "
                "`openssl rand -hex 32`."
            )
        return value

    def listed(self, name: str) -> list[str]:
        return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]

    def former_secrets(self, name: str) -> list[str]:
        """Secrets that were in use before, separated by commas."""
        values = self.listed(name)
        if any(len(value.encode()) < SECRET_BYTES for value in values):
            raise ImproperlyConfigured(
                f"{name} has a secret that is shorter than {SECRET_BYTES} bytes; write the secrets that were in use "
                "before, separated by commas."
            )
        return values

    def fonts(self, name: str) -> list[str]:
        """Paths of TrueType fonts, separated by commas."""
        paths = self.listed(name)
        for path in paths:
            try:
                with open(path, "rb") as file:
                    is_font = file.read(4) in TRUETYPE
            except OSError as error:
                raise ImproperlyConfigured(f"{name}: {path} cannot be read ({error.strerror}).") from error
            if not is_font:
                raise ImproperlyConfigured(f"{name}: {path} is no TrueType font; name files such as NotoSans.ttf.")
        return paths

    def generated(self, name: str) -> str:
        path = self.local_dir / name.lower()
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            if not path.exists():
                draft.touch(mode=0o600)
                draft.write_text(secrets.token_urlsafe(48))
                # The file is linked into place complete. So if two processes start at once, one wins, and none reads
                # half a secret.
                with suppress(FileExistsError):
                    os.link(draft, path)
                draft.unlink()
            self.generated_secrets[name] = path
            return path.read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name} is not set and {path} cannot be written ({error.strerror}).") from error
