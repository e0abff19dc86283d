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

from accounts.models import User
from bookings.management.commands import rehearse as rehearse_command
from bookings.management.commands.rehearse import Comparison
from bookings.models import Booking, LedgerEntry
from bookings.rehearsal import crowd as crowds
from bookings.tests.rehearsal.rehearsing import refused, rehearse
from bookings.tests.state import digest_of_all_tables
from events.models import Event
from ticks.tests.served import DATABASE, TIMEOUT_SECONDS

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


def figure(output, label):
    return re.search(rf"^ *{label} +(.*)$", output, re.MULTILINE)[1].strip()


def test_rehearsal_reports_what_the_database_holds(served, monkeypatch):
    event = demo("Chef's Table")
    before = digest_of_all_tables()
    stored = []

    def look_and_compare(copy, crowd, began):
        entries = LedgerEntry.objects.filter(event=copy)
        stored.extend(entries.filter(kind=kind).count() for kind in ("booked", "waitlisted"))
        stored.append((copy.pk != event.pk, copy.name, copy.total_tickets, copy.waitlist_policy))
        return Comparison(copy, crowd, began)

    monkeypatch.setattr(rehearse_command, "Comparison", look_and_compare)

    output = rehearse(event.pk, buyers=20, seconds=2, tickets=1, url=served)

    assert stored == [12, 8, (True, "Rehearsal of Chef's Table", 12, "strict")]
    assert figure(output, "Tickets sold") == "12 of 12 (100 %)"
    assert "\n20 buyers came within 2 s, each for 1 ticket.\n" in output
    assert figure(output, "Buyers who got tickets") == "12"
    assert figure(output, "Buyers who waited") == "8"
    assert figure(output, "Buyers who were refused") == "0"
    assert 0 <= float(figure(output, "Sold out after").removesuffix(" s")) < 10
    times = r"half within \d\.\d{3} s, 95 % within \d\.\d{3} s, 99 % within \d\.\d{3} s, all within \d\.\d{3} s"
    assert re.fullmatch(times, figure(output, "Answers to bookings"))
    assert "IN ORDER: nothing oversold; 20 bookings acknowledged, and all of them stored.\n" in output
    assert "No request was refused or lost.\n" in output
    assert output.endswith("Deleted again: 1 event, 20 bookings, 21 accounts.\n")
    assert digest_of_all_tables() == before


def test_rehearsal_leaves_nothing_and_the_event_untouched(served, monkeypatch):
    monkeypatch.setattr(crowds, "THINK_SECONDS", (0, 0.1))
    event = demo("Members' Rehearsal")
    before = digest_of_all_tables()

    output = rehearse(event.pk, buyers=20, seconds=1, tickets=2, url=served)

    assert digest_of_all_tables() == before
    assert figure(output, "Tickets sold") == "20 of 20 (100 %)"
    assert figure(output, "Buyers who were refused") == "10"
    assert re.search(r"\nRefused requests\n      10  409 sold_out: [A-Z].*\.\n", output)
    assert output.endswith("Deleted again: 1 event, 10 bookings, 21 accounts.\n")


def test_rehearsal_that_oversells_fails_and_says_so(served, monkeypatch):
    monkeypatch.setattr(crowds, "THINK_SECONDS", (0, 0.1))
    event = demo("Chef's Table")
    before = digest_of_all_tables()
    drive = crowds.drive

    def drive_and_damage(address, clients, **options):
        tally = drive(address, clients, **options)
        if len(clients) == 1:
            # The questions before the rush.
            return tally
        sold = Booking.objects.filter(event__name="Rehearsal of Chef's Table", status="completed")
        sold.update(tickets_reserved=F("tickets_reserved") + 1)
        gone = sold.last()
        LedgerEntry.objects.filter(booking=gone)._raw_delete(connection.alias)
        gone.delete()
        return tally

    monkeypatch.setattr(crowds, "drive", drive_and_damage)
    out = StringIO()

    with pytest.raises(CommandError, match=r"^The rehearsal found bookings that are not in order; see above\.$"):
        call_command(*f"rehearse {event.pk} --buyers=20 --seconds=1 --tickets=1 --url={served}".split(), stdout=out)

    output = out.getvalue()
    assert "NOT IN ORDER\n  oversold: 22 tickets held of 12\n" in output
    assert "\n  acknowledged bookings that are not stored: 1\n" in output
    assert "\n  bookings stored for another buyer or number of tickets than was answered: 11\n" in output
    assert figure(output, "Tickets sold") == "22 of 12 (183 %)"
    assert "IN ORDER: nothing" not in output
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
        output = ""
        while "On sale" not in output:
            line = process.stdout.readline()
            assert line, process.communicate(timeout=TIMEOUT_SECONDS)
            output += line
        return process, output

    process, _ = begin()
    output = refused(event.pk, url=served)
    process.kill()
    process.communicate(timeout=TIMEOUT_SECONDS)

    assert output == "Another rehearsal is running here; wait until it ends."
    assert User.objects.filter(username__startswith="rehearsal:").count() == 51
    assert Event.objects.filter(name="Rehearsal of Night of the Cellos").count() == 1

    process, output = begin()
    process.send_signal(signal.SIGTERM)
    rest, error = process.communicate(timeout=TIMEOUT_SECONDS)

    assert re.match(r"Deleted what an earlier rehearsal had left: 1 event, \d+ bookings?, 51 accounts\.\n", output)
    assert rest == "Removing what was made ...\n"
    assert "CommandError: Interrupted. Anything that is left is deleted by the next rehearsal" in error
    assert process.returncode == 130
    assert digest_of_all_tables() == before
