import logging
import os
import signal
import socket
import subprocess
import sys

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, call_command
from django.db import connection

from ticks.db.migrations import refuse_newer_schema, refuse_other_schema

# glibc would learn from the first password's hash, 19 MiB, to keep such blocks, for each thread its own: 400 MB after
# 39 logins. With a fixed threshold they go back to the system.
MALLOC_THRESHOLD = "MALLOC_MMAP_THRESHOLD_", str(1024 * 1024)


class Command(BaseCommand):
    help = "Serves Ticks on HOST and PORT with granian, WORKERS processes of THREADS threads each."
    requires_system_checks: list = []

    def add_arguments(self, parser):
        parser.add_argument(
            "--prepare",
            action="store_true",
            help="first migrate, and load demo data if the database is the embedded default and empty",
        )
        parser.add_argument("--deliver", action="store_true", help="run a manage.py deliver beside it, until it ends")
        parser.add_argument("--demo", action="store_true", help="load demo data into any empty database")

    def handle(self, *args, prepare, demo, deliver, **options):
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Ctrl-C ends the command at once. An exception would be lost if Python runs a finalizer at that moment, and
            # migrations leave many; then the server would still start.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        address = free_address()
        refuse_unreachable_database()
        refuse_too_few_connections()
        if prepare:
            refuse_newer_schema()
            call_command("migrate", verbosity=0)
        else:
            refuse_other_schema()
        if demo or (prepare and settings.EMBEDDED_DEFAULT):
            call_command("seed_demo", if_empty=True, stdout=self.stdout)
        self.say_what_is_missing()
        nobody_sends = settings.MAIL_ENABLED and not deliver
        self.stdout.write(settings.MAIL_STATUS + (" manage.py deliver sends them." if nobody_sends else ""))
        connection.close()
        local = f"http://[{address}]:{settings.PORT}" if ":" in address else f"http://{address}:{settings.PORT}"
        site = public_site() or local
        behind = "" if site == local else f" Its proxy reaches it at {local}."
        self.stdout.write(
            f"Ticks runs on {connection.display_name}.{behind}\n"
            f"  Start here     {site}/\n"
            f"  API docs       {site}/api/docs\n"
            f"  Browsable API  {site}/api/v1/event\n"
            f"  Admin          {site}/admin/\n"
            "Ctrl-C ends it."
        )
        self.stdout.flush()
        os.chdir(settings.BASE_DIR)
        if deliver:
            start_deliveries()
        # exec replaces this process, so nothing runs that would run at its end.
        logging.shutdown()
        os.environ.setdefault(*MALLOC_THRESHOLD)
        # The server takes this process's place, so that signals reach it.
        options = [address, str(settings.PORT), str(settings.WORKERS)]
        os.execv(sys.executable, [sys.executable, "-m", "ticks.server.process", *options])  # noqa: S606

    def say_what_is_missing(self) -> None:
        # The embedded database always has generated secrets, and never a second host.
        generated = {} if settings.EMBEDDED else settings.GENERATED_SECRETS
        for name, path in generated.items():
            self.stdout.write(
                f"{name} is not set, so Ticks generated one, which it keeps in {path}. "
                f"Servers on other hosts must have the same {name}."
            )
        if not get_user_model().objects.exists():
            self.stdout.write(
                "There is no account yet: `.venv/bin/python manage.py createsuperuser` makes the first admin, "
                "and `make demo` loads demo data."
            )


def start_deliveries() -> None:
    """Starts a `deliver`, which ends when this process does, also after the exec that makes it the server."""
    command = [sys.executable, "manage.py", "deliver", "--parent", str(os.getpid())]
    subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 (our own command)


def free_address() -> str:
    """The IP address of HOST, which granian needs. Raises `CommandError` if its port is taken.

    The workers' sockets share their port. Without this check a second server would share it, unnoticed.
    """
    with socket.socket(socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
            return probe.getsockname()[0]
        except OSError as error:
            raise CommandError(
                f"HOST {settings.HOST}, PORT {settings.PORT} cannot be served ({error.strerror}); set another."
            ) from error


def public_site() -> str | None:
    """The address that a browser needs where only HTTPS and the names of ALLOWED_HOSTS are served."""
    name = settings.ALLOWED_HOSTS[0].lstrip(".")
    return f"https://{name}" if settings.HTTPS and name != "*" else None


def refuse_unreachable_database() -> None:
    try:
        connection.ensure_connection()
    except Exception as error:
        # This catches not only database errors: for a wrong option of DATABASE_URL the driver raises a TypeError.
        # The driver's own message names the socket, which the user has not set.
        hint = " Set DB_PORT to connect to localhost by its port." if is_default_socket() else ""
        raise CommandError(f"The database cannot be reached ({error}); check DATABASE_URL or DB_*.{hint}") from error


def is_default_socket() -> bool:
    database = settings.DATABASE
    return not settings.EMBEDDED and database["HOST"] == "localhost" and "unix_socket" not in database["OPTIONS"]


def refuse_too_few_connections() -> None:
    """Each thread of a worker keeps a connection. One that is refused is a 503 in the middle of an on-sale."""
    if connection.vendor != "mysql":
        return
    needed = settings.WORKERS * (settings.THREADS + settings.OTHER_CONNECTIONS) + settings.RESERVED_CONNECTIONS
    with connection.cursor() as cursor:
        # The session's value is the account's own limit; 0 means that it has none.
        cursor.execute("SELECT @@GLOBAL.max_connections, @@SESSION.max_user_connections")
        limits = dict(zip(("max_connections", "max_user_connections"), cursor.fetchone(), strict=True))
    for name, limit in limits.items():
        if 0 < limit < needed:
            raise CommandError(
                f"The database lets {limit} connections in ({name}), and {needed} may be needed: {settings.WORKERS} "
                f"workers (WORKERS) of {settings.THREADS} threads (THREADS) and {settings.OTHER_CONNECTIONS} more "
                f"each, and {settings.RESERVED_CONNECTIONS} for commands; lower WORKERS or THREADS, or raise {name} "
                f"to {needed}."
            )
