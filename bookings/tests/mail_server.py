"""A real mail server for the tests, and processes that deliver to it."""

import email
import email.policy
import logging
import os
import subprocess
import sys
import threading

import pytest
from aiosmtpd.controller import Controller
from django.conf import settings
from django.db import connection

from bookings.outbox import Mail
from bookings.services import notifications
from ticks.tests.served import TIMEOUT_SECONDS, free_port

OK = "250 OK"
# It writes each address into its log.
logging.getLogger("mail.log").setLevel(logging.ERROR)


class MailServer:
    """Keeps what it accepts. `answer(address)` is its reply to a recipient; before each reply to a whole mail it calls
    `on_mail`."""

    def __init__(self, port: int):
        self.port = port
        self.mails: list[email.message.EmailMessage] = []
        self.answer = lambda address: OK
        # It ends a session after so many mails.
        self.mails_a_session = None
        self.on_mail = lambda: None
        self.lock = threading.Lock()
        self.controller = None

    # aiosmtpd calls these by their names.
    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if self.mails_a_session is not None and getattr(session, "taken", 0) >= self.mails_a_session:
            return "421 too many mails in this session"
        reply = self.answer(address)
        if reply == OK:
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        session.taken = getattr(session, "taken", 0) + 1
        with self.lock:
            self.mails.append(mail)
        self.on_mail()
        return OK

    def start(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self.controller.start()

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    def told(self) -> list[tuple[str, str]]:
        """The recipient and the subject of each mail, in the order in which they came."""
        return [(mail["To"], mail["Subject"]) for mail in self.mails]

    def identities(self) -> list[str]:
        return [mail["Message-ID"] for mail in self.mails]


@pytest.fixture
def mail_server(settings):
    """A mail server that this process's deliveries go to."""
    server = MailServer(free_port())
    server.start()
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", server.port
    settings.MAIL_ENABLED = True
    yield server
    server.stop()


@pytest.fixture
def at_once(monkeypatch):
    """Every fact is told in a mail of its own, which is due at once."""
    monkeypatch.setattr(notifications, "MERGED_WITHIN", notifications.timedelta(0))


@pytest.fixture
def mails_on(settings):
    settings.MAIL_ENABLED = True


def read_all() -> None:
    """Reads all news, until nothing is left."""
    notifications.add_positions()
    for event_id in notifications.events_with_news():
        while notifications.read_part(event_id):
            pass


def stored_mails(**chosen) -> list[tuple]:
    """Booking, address and kinds of the mails, in the order in which they were made."""
    mails = Mail.objects.filter(**chosen).order_by("pk")
    return [(mail.booking_id, mail.email, [fact["kind"] for fact in mail.facts]) for mail in mails]


@pytest.fixture
def deliver(tmp_path):
    """A function that starts `manage.py deliver` on the tests' own database, and returns the process."""
    started = []

    def start(*options, **more):
        process = subprocess.Popen(
            [sys.executable, "manage.py", "deliver", *options],
            cwd=settings.BASE_DIR,
            env=os.environ | own_database() | {"TICKS_ENV_FILE": "", "LOG_DIR": str(tmp_path / "logs")} | more,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIMEOUT_SECONDS)


def own_database() -> dict[str, str]:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return {"DATABASE_URL": f"sqlite:///{name}"}
    before, _, options = os.environ["DATABASE_URL"].partition("?")
    return {"DATABASE_URL": f"{before.rpartition('/')[0]}/{name}{'?' if options else ''}{options}"}


def by_mail(server: MailServer) -> dict[str, str]:
    return {
        "EMAIL_URL": f"smtp://127.0.0.1:{server.port}",
        "DEFAULT_FROM_EMAIL": "Ticks <tickets@example.org>",
        "SITE_URL": "http://127.0.0.1:8000",
        "MAIL_DELAY_SECONDS": "0",
    }
