import os
import re
import signal
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F

from accounts.models import LoginSession, User
from bookings.models import Booking, LedgerEntry
from bookings.rehearsal import crowd as crowds
from bookings.rehearsal import run as runs
from bookings.rehearsal import scratch
from bookings.tests.rehearsal.rehearsing import refused, rehearse
from bookings.tests.state import digest_of_all_tables
from events.models import Event
from ticks.tests.served import DATABASE, PATIENCE_SECONDS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _own_lock(tmp_path, settings):
    settings.LOCAL_DIR = tmp_path / ".local"


@pytest.fixture
def served(transactional_db, start, port, tmp_path, settings):
    """A running server with the demo's events; this process, too, then uses its database. Yields its address."""
    start(SECRET_KEY=settings.SECRET_KEY, JWT_SECRET=settings.JWT_SECRET)
    usual = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(tmp_path / "served.sqlite3") if connection.vendor == "sqlite" else DATABASE
    yield f"http://127.0.0.1:{port}"
    connection.close()
    connection.settings_dict["NAME"] = usual


def demo(name):
    return Event.objects.get(name=name)


def figure(said, label):
    return re.search(rf"^ *{label} +(.*)$", said, re.MULTILINE)[1].strip()


def test_rehearsal_tells_what_the_database_holds(served):
    event = demo("Chef's Table")
    before = digest_of_all_tables()

    said = rehearse(event.pk, buyers=20, seconds=2, tickets=1, url=served, keep=True)

    copy = Event.objects.get(name="Rehearsal of Chef's Table")
    bookings = Booking.objects.filter(event=copy)
    entries = LedgerEntry.objects.filter(event=copy)
    assert copy.pk != event.pk
    assert (copy.total_tickets, copy.waitlist_policy, copy.waitlist_enabled) == (12, "strict", True)
    assert copy.deleted_at is not None
    assert bookings.filter(status="cancelled").count() == 20
    assert [entries.filter(kind=kind).count() for kind in ("booked", "waitlisted")] == [12, 8]
    assert figure(said, "Tickets sold") == "12 of 12 (100 %)"
    assert figure(said, "Oversold") == "0"
    assert figure(said, "Buyers") == "20"
    assert figure(said, "got tickets") == "12"
    assert figure(said, "waitlisted") == "8"
    assert figure(said, "refused") == "0"
    assert 0 <= float(figure(said, "Sold out after").removesuffix(" s")) < 10
    assert re.fullmatch(r"(\d+ ms +){3}\d+ ms", figure(said, "bookings"))
    assert "IN ORDER: nothing oversold; 20 bookings acknowledged, and all of them stored.\n" in said
    assert "No request was refused or lost.\n" in said
    assert said.endswith(f"Kept: event {copy.pk}, cancelled, and its accounts; --clean deletes them.\n")
    assert not scratch.accounts_of().filter(is_active=True).exists()
    assert not LoginSession.objects.exists()

    said = rehearse(clean=True)

    assert said.endswith(": 1 copy of an event, its bookings (20) and its accounts (21).\n")
    assert digest_of_all_tables() == before


def test_rehearsal_leaves_nothing_and_the_event_untouched(served, monkeypatch):
    monkeypatch.setattr(crowds, "THINK_SECONDS", (0, 0.1))
    event = demo("Members' Rehearsal")
    before = digest_of_all_tables()

    said = rehearse(event.pk, buyers=20, seconds=1, tickets=2, connections=3, url=served)

    assert digest_of_all_tables() == before
    assert figure(said, "Tickets sold") == "20 of 20 (100 %)"
    assert figure(said, "refused") == "10"
    assert "Refused requests\n      10  409 sold_out: sold out, and the event has no waitlist\n" in said
    assert said.endswith("1 copy of an event, its bookings (10) and its accounts (21).\n")


def test_rehearsal_that_oversells_fails_and_says_so(served, monkeypatch):
    monkeypatch.setattr(crowds, "THINK_SECONDS", (0, 0.1))
    event = demo("Chef's Table")
    before = digest_of_all_tables()
    drive = runs.drive

    def drive_and_damage(*args, **options):
        tally = drive(*args, **options)
        sold = Booking.objects.filter(event__name="Rehearsal of Chef's Table", status="completed")
        sold.update(tickets_reserved=F("tickets_reserved") + 1)
        gone = sold.last()
        LedgerEntry.objects.filter(booking=gone)._raw_delete(connection.alias)
        gone.delete()
        return tally

    monkeypatch.setattr(runs, "drive", drive_and_damage)
    out = StringIO()

    with pytest.raises(CommandError, match=r"^The rehearsal found bookings that are not in order; see above\.$"):
        call_command("rehearse", str(event.pk), buyers=20, seconds=1, tickets="1", url=served, stdout=out)

    said = out.getvalue()
    assert "NOT IN ORDER\n  oversold: 22 tickets held of 12\n" in said
    assert "\n  acknowledged bookings that are not stored: 1\n" in said
    assert "\n  bookings stored for another buyer or number of tickets than was answered: 11\n" in said
    assert figure(said, "Oversold") == "10"
    assert "IN ORDER: nothing" not in said
    assert digest_of_all_tables() == before


def test_interrupted_or_killed_rehearsal_is_cleaned_up(served, tmp_path, settings):
    event = demo("Night of the Cellos")
    before = digest_of_all_tables()

    def begin():
        name = connection.settings_dict["NAME"]
        url = os.environ.get("DATABASE_URL", "").partition("?")
        if connection.vendor == "sqlite":
            url = f"sqlite:///{name}"
        else:
            url = f"{url[0].rpartition('/')[0]}/{name}{url[1]}{url[2]}"
        environment = os.environ | {
            "TICKS_ENV_FILE": "",
            "DATABASE_URL": url,
            "LOCAL_DIR": str(settings.LOCAL_DIR),
            "LOG_DIR": str(tmp_path / "logs"),
            "SECRET_KEY": settings.SECRET_KEY,
            "JWT_SECRET": settings.JWT_SECRET,
        }
        command = [str(settings.BASE_DIR / "manage.py"), "rehearse", str(event.pk), "--buyers", "50", "--url", served]
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        while "On sale" not in said:
            line = process.stdout.readline()
            assert line, process.communicate(timeout=PATIENCE_SECONDS)
            said += line
        return process, said

    process, _ = begin()
    said = refused(event.pk, url=served)
    process.kill()
    process.communicate(timeout=PATIENCE_SECONDS)

    assert said == "Another rehearsal is running on this database; wait until it ends."
    assert User.objects.filter(username__startswith="rehearsal:").count() == 51
    assert Event.objects.filter(name="Rehearsal of Night of the Cellos").count() == 1

    process, said = begin()
    process.send_signal(signal.SIGTERM)
    rest, error = process.communicate(timeout=PATIENCE_SECONDS)

    assert re.match(r"Deleted what earlier rehearsals had left: 1 copy of an event, .* its accounts \(51\)\.\n", said)
    assert rest == "Removing what was made ...\n"
    assert error == "CommandError: Interrupted.\n"
    assert process.returncode == 130
    assert digest_of_all_tables() == before
