"""Reads the settings from the environment and `.env`, and checks each value at the start."""

import os
import re
import secrets
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
SECRET_BYTES = 32
# Django's ALLOWED_HOSTS can match these: names, their subdomains after a dot, addresses, everything.
HOST_NAME = re.compile(r"\*|\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]")
WHOLE = re.compile("[0-9]{1,19}")
RATE = re.compile(r"0*[1-9][0-9]{0,9}/[smhd].*")
DB_SCHEMES = ("sqlite", "mysql", "mariadb")
URL_HINT = "write it as mysql://user:password@host:3306/name"


class Environment:
    """Reads settings by name and refuses wrong ones with one sentence (`ImproperlyConfigured`)."""

    def __init__(self, base_dir: Path):
        self.base_dir = base_dir
        env_file = os.environ.get("TICKS_ENV_FILE", str(base_dir / ".env"))
        if Path(env_file).is_file():
            environ.Env.read_env(env_file)
        elif os.environ.get("TICKS_ENV_FILE"):
            raise wrong("TICKS_ENV_FILE", env_file, "name a file that exists, or empty it")
        self.local_dir = base_dir / self.text("LOCAL_DIR", ".local")

    def text(self, name: str, default: str = "") -> str:
        # This does not use env.str(), which treats a value that starts with $ as the name of another variable.
        return os.environ.get(name, "").strip() or default

    def hosts(self, name: str, default: str) -> list[str]:
        hosts = [host.strip() for host in self.text(name, default).split(",") if host.strip()]
        if not hosts or not all(map(HOST_NAME.fullmatch, hosts)):
            raise wrong(name, self.text(name), "write host names such as tickets.example.org")
        return hosts

    def address(self, name: str, default: str) -> str:
        value = self.text(name, default)
        try:
            return str(ip_address("127.0.0.1" if value == "localhost" else value))
        except ValueError:
            raise wrong(name, value, "set it to an IP address such as 127.0.0.1") from None

    def switch(self, name: str, default: bool) -> bool:
        value = self.text(name).lower()
        if value and value not in SWITCH:
            raise wrong(name, self.text(name), "set it to on or off")
        return SWITCH.get(value, default)

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        value = self.text(name, str(default))
        if not (WHOLE.fullmatch(value) and low <= int(value) <= high):
            raise wrong(name, value, f"set it to a whole number from {low} to {high}")
        return int(value)

    def rate(self, name: str, default: str) -> str:
        """A throttle rate in DRF's notation: a whole number, a slash, a period."""
        value = self.text(name, default)
        if not RATE.fullmatch(value):
            raise wrong(name, value, "write a rate such as 300/min")
        return value

    def database(self) -> dict:
        """Django's settings of the database, without driver options. If nothing is set, the database is SQLite."""
        url = self.text("DATABASE_URL")
        parts = {name: self.text(f"DB_{name}") for name in ("HOST", "USER", "NAME", "PASSWORD", "PORT")}
        if url and any(parts.values()):
            raise ImproperlyConfigured("DATABASE_URL and a DB_ setting are both set; keep one of them.")
        if not any(parts.values()):
            return self.database_of_url(url or "sqlite:///db.sqlite3")
        missing = next((name for name in ("HOST", "USER", "NAME") if not parts[name]), None)
        if missing:
            raise ImproperlyConfigured(
                f"DB_{missing} is not set, but another DB_ setting is; set it or use DATABASE_URL."
            )
        parts["PORT"] = str(self.whole("DB_PORT", 3306, 1, 65535))
        return {"ENGINE": "django.db.backends.mysql", **parts}

    def database_of_url(self, url: str) -> dict:
        if url.partition(":")[0] not in DB_SCHEMES:
            raise ImproperlyConfigured(f"DATABASE_URL must start with one of {', '.join(DB_SCHEMES)} and a colon.")
        try:
            # One driver serves MariaDB and MySQL.
            config = environ.Env.db_url_config(url.replace("mariadb:", "mysql:", 1))
        except Exception as error:
            raise ImproperlyConfigured(f"DATABASE_URL cannot be read; {URL_HINT}.") from error
        if config["NAME"] in {"", ":memory:"}:
            raise ImproperlyConfigured(f"DATABASE_URL names no database; {URL_HINT}.")
        if config["ENGINE"].endswith("sqlite3"):
            # A relative path starts at the project's folder, wherever Ticks is started from.
            config["NAME"] = str(self.base_dir / config["NAME"])
        return config

    def secret(self, name: str, *, may_generate: bool) -> str:
        """A secret of at least 32 bytes. With the embedded database it is made at the first start, and kept."""
        value = os.environ.get(name) or (self.generated(name) if may_generate else "")
        if not value:
            raise ImproperlyConfigured(f"{name} is not set; set it to at least {SECRET_BYTES} random bytes.")
        if len(value.encode()) < SECRET_BYTES:
            raise ImproperlyConfigured(f"{name} is shorter than {SECRET_BYTES} bytes; set a longer random one.")
        return value

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
            return path.read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name} is not set and {path} cannot be written ({error.strerror}).") from error


def wrong(name: str, value: str, fix: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"{name} is {value!r}; {fix}.")
