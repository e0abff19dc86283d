"""What the settings read from the environment and `.env`, each value checked at the start."""

import os
import re
import secrets
from ipaddress import ip_address
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

SWITCH = {"on": True, "true": True, "yes": True, "1": True, "off": False, "false": False, "no": False, "0": False}
SECRET_BYTES = 32
# What Django's ALLOWED_HOSTS can match: names, their subdomains after a dot, addresses, everything.
HOST_NAME = re.compile(r"\*|\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\]")
DB_PARTS = ("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD", "DB_NAME")
DB_SCHEMES = ("sqlite", "mysql", "mariadb")


class Environment:
    """Reads settings by name and refuses wrong ones with one sentence (`ImproperlyConfigured`)."""

    def __init__(self, base_dir: Path):
        self.base_dir = base_dir
        named = os.environ.get("TICKS_ENV_FILE")
        env_file = Path(base_dir / ".env" if named is None else named)
        if named and not env_file.is_file():
            raise ImproperlyConfigured(f"TICKS_ENV_FILE is {named!r}, and there is no such file; mend or empty it.")
        if named != "" and env_file.is_file():
            environ.Env.read_env(str(env_file))
        self.local_dir = base_dir / (self.text("LOCAL_DIR") or ".local")

    def text(self, name: str, default: str = "") -> str:
        # Not by env.str(), which takes a value that starts with $ for the name of another variable.
        return os.environ.get(name, default).strip()

    def names(self, name: str, default: list[str]) -> list[str]:
        return [part.strip() for part in self.text(name).split(",") if part.strip()] or default

    def hosts(self, name: str, default: list[str]) -> list[str]:
        hosts = self.names(name, default)
        for host in hosts:
            if not HOST_NAME.fullmatch(host):
                raise ImproperlyConfigured(f"{name} has {host!r}; write host names such as tickets.example.org.")
        return hosts

    def address(self, name: str, default: str) -> str:
        given = self.text(name) or default
        try:
            return str(ip_address("127.0.0.1" if given == "localhost" else given))
        except ValueError:
            raise ImproperlyConfigured(f"{name} is {given!r}; set it to an IP address such as 127.0.0.1.") from None

    def switch(self, name: str, default: bool) -> bool:
        given = self.text(name)
        if not given:
            return default
        if given.lower() not in SWITCH:
            raise ImproperlyConfigured(f"{name} is {given!r}; set it to on or off.")
        return SWITCH[given.lower()]

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        given = self.text(name)
        if not given:
            return default
        if not (given.isascii() and given.isdigit() and len(given) < 20 and low <= int(given) <= high):
            raise ImproperlyConfigured(f"{name} is {given!r}; set it to a whole number from {low} to {high}.")
        return int(given)

    def rate(self, name: str, default: str) -> str:
        """A throttle rate in DRF's notation: a whole number, a slash, a period."""
        given = self.text(name) or default
        count, _, period = given.partition("/")
        if not (count.isascii() and count.isdigit() and int(count) and period[:1] in {"s", "m", "h", "d"}):
            raise ImproperlyConfigured(f"{name} is {given!r}; write a rate such as 300/min.")
        return given

    def database(self) -> dict:
        """Django's settings of the database, its driver options left to the caller."""
        url = self.text("DATABASE_URL")
        parts = {name: self.text(name) for name in DB_PARTS}
        if url and any(parts.values()):
            raise ImproperlyConfigured("DATABASE_URL and a DB_ setting are both set; keep one of them.")
        if url:
            if url.partition(":")[0] not in DB_SCHEMES:
                raise ImproperlyConfigured(f"DATABASE_URL must start with one of {', '.join(DB_SCHEMES)} and a colon.")
            try:
                # Ticks runs on MariaDB and MySQL through one driver.
                config = environ.Env.db_url_config(url.replace("mariadb:", "mysql:", 1))
            except Exception as error:
                raise ImproperlyConfigured(
                    "DATABASE_URL cannot be read; write it as mysql://user:password@host:3306/name."
                ) from error
            if config["NAME"] in {"", ":memory:"}:
                raise ImproperlyConfigured(
                    "DATABASE_URL names no database; write it as mysql://user:password@host:3306/name."
                )
            if config["ENGINE"].endswith("sqlite3"):
                # From the project's folder, wherever it is started from.
                config["NAME"] = str(self.base_dir / config["NAME"])
            return config
        if not any(parts.values()):
            return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(self.base_dir / "db.sqlite3")}
        for name in ("DB_HOST", "DB_USER", "DB_NAME"):
            if not parts[name]:
                raise ImproperlyConfigured(
                    f"{name} is not set, but another DB_ setting is; set it or use DATABASE_URL."
                )
        return {
            "ENGINE": "django.db.backends.mysql",
            "HOST": parts["DB_HOST"],
            "PORT": str(self.whole("DB_PORT", 3306, 1, 65535)),
            "USER": parts["DB_USER"],
            "PASSWORD": parts["DB_PASSWORD"],
            "NAME": parts["DB_NAME"],
        }

    def secret(self, name: str, *, may_generate: bool) -> str:
        """A secret of at least 32 bytes; the embedded database may make and keep its own."""
        given = os.environ.get(name, "")
        if not given and may_generate:
            given = self._generated(name)
        if not given:
            raise ImproperlyConfigured(f"{name} is not set; set it to at least {SECRET_BYTES} random bytes.")
        if len(given.encode()) < SECRET_BYTES:
            raise ImproperlyConfigured(f"{name} is shorter than {SECRET_BYTES} bytes; set a longer random one.")
        return given

    def _generated(self, name: str) -> str:
        path = self.local_dir / name.lower()
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            # Linked into place whole, so that of two first starts one wins and none reads half a secret.
            draft = path.with_suffix(f".{os.getpid()}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(48))
            try:
                os.link(draft, path)
            except FileExistsError:
                pass
            finally:
                draft.unlink()
            return path.read_text().strip()
        except OSError as error:
            raise ImproperlyConfigured(f"{name} is not set and {path} cannot be written ({error.strerror}).") from error
