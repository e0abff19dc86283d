"""Tickets as a PDF: what is on a page, and that the QR codes are read by another program."""

import os
import random
import re
import shutil
import subprocess
import threading
from datetime import UTC, datetime

import pytest
from django.db import connection

from bookings.documents import pdf
from bookings.documents.pdf import tickets_pdf
from bookings.models import Booking
from bookings.services.tickets import Ticket, ticket_code, tickets_of
from events.models import Event
from ticks.db.transactions import Busy

pytestmark = pytest.mark.embedded
NAMES = [
    *("Ada Lovelace", "Žofia Łuczak", "Мария Иванова", "Ωμέγα", "דוד כהן", "محمد بن سلمان", "李小龍", "👩‍👩‍👧 😀"),
    *("x" * 150, "a\u0301\u0323" * 40, "(", "\\)Tj ET", "%PDF", "<b>&amp;", "नमस्ते", "\u2028"),
]


def booking_of(number, *, name="Ada Lovelace", tickets=4, date=datetime(2030, 12, 1, 20, tzinfo=UTC), venue="Hall 3"):
    first, _, last = name.partition(" ")
    event = Event(pk=7, name=f"Concert {name}"[:200], venue=venue, date=date)
    booking = Booking(pk=number, event=event, reference="4JYMC-YKT94T", tickets_reserved=tickets, status="completed")
    booking.first_name, booking.last_name = first, last
    booking._state.fields_cache["ticket_epoch"] = None
    return booking


def program(name):
    found = shutil.which(name)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is missing; tools/setup.sh --test installs it")
    if found is None:
        pytest.skip(f"{name} is missing; tools/setup.sh --test installs it")
    return found


def run(name, *arguments):
    command = [program(name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.decode()


def text_of(content, tmp_path):
    path = tmp_path / "tickets.pdf"
    path.write_bytes(content)
    return run("pdftotext", "-layout", path, "-")


def test_page_says_what_people_at_a_door_ask_for(tmp_path):
    booking = booking_of(61, tickets=2)
    tickets = tickets_of(booking, most=2)

    first, second, rest = text_of(tickets_pdf(booking, tickets), tmp_path).split("\f")

    for page, ticket in ((first, tickets[0]), (second, tickets[1])):
        lines = [line.strip() for line in page.splitlines() if line.strip()]
        assert lines[:8] == [
            "Concert Ada Lovelace",
            "Sunday, 1 December 2030, 20:00 UTC",
            "Hall 3",
            ticket.code,
            "Ada Lovelace",
            f"Ticket {ticket.seat} of 2",
            "Booking 4JYMC-YKT94T",
            lines[7],
        ]
    assert rest == ""


def test_page_leaves_out_what_an_event_has_not(tmp_path):
    booking = booking_of(61, date=None, venue="")

    page = text_of(tickets_pdf(booking, tickets_of(booking, most=1)), tmp_path)

    assert "UTC" not in page
    assert "None" not in page


def test_codes_of_a_hundred_odd_bookings_are_read_from_the_page(tmp_path):
    program("pdftoppm"), program("zbarimg")
    dice = random.Random(14)  # noqa: S311 (the same bookings each time)
    expected = []
    for place in range(100):
        seats = dice.choice([1, 2, 9, 1000, 10**6])
        booking = booking_of(
            dice.randrange(1, 10 ** dice.randint(1, 12)), name=NAMES[place % len(NAMES)], tickets=seats
        )
        seat = dice.randint(1, seats)
        ticket = Ticket(seat, ticket_code(booking.pk, seat, dice.choice([0, 1, 40])))
        expected.append(ticket.code)
        path = tmp_path / f"{place:03}"
        path.with_suffix(".pdf").write_bytes(tickets_pdf(booking, [ticket]))
        run("pdftoppm", "-r", "72", "-gray", "-singlefile", path.with_suffix(".pdf"), path)

    read = run("zbarimg", "--quiet", "--raw", *sorted(tmp_path.glob("*.pgm")))

    assert read.split() == expected


def test_same_tickets_make_the_same_file():
    booking = booking_of(61)
    tickets = tickets_of(booking, most=4)

    assert tickets_pdf(booking, tickets) == tickets_pdf(booking, tickets)


def test_file_has_its_fonts_inside(tmp_path):
    booking = booking_of(61, name="Žofia Ω Ж")
    path = tmp_path / "tickets.pdf"
    path.write_bytes(tickets_pdf(booking, tickets_of(booking, most=1)))

    fonts = run("pdffonts", path).splitlines()[2:]

    used = [line for line in fonts if "DejaVu" in line]
    assert used
    assert all(re.search(r"TrueType +\S+ +yes yes", line) for line in used)


def test_file_says_what_it_is_and_who_made_it(tmp_path):
    booking = booking_of(61)
    path = tmp_path / "tickets.pdf"
    path.write_bytes(tickets_pdf(booking, tickets_of(booking, most=1)))

    lines = dict(re.split(r":\s+", line, maxsplit=1) for line in run("pdfinfo", path).splitlines())

    assert (lines["Title"], lines["Author"], lines["Creator"]) == ("Tickets 4JYMC-YKT94T", "Ticks", "Ticks")


def test_rendering_asks_no_database(monkeypatch):
    booking = booking_of(61)
    tickets = tickets_of(booking, most=1)
    monkeypatch.setattr(connection, "cursor", None)

    assert tickets_pdf(booking, tickets).startswith(b"%PDF-")


def test_files_are_rendered_one_at_a_time(monkeypatch):
    monkeypatch.setattr(pdf, "WAIT_SECONDS", 0.05)
    booking = booking_of(61)
    tickets = tickets_of(booking, most=1)
    held, done = threading.Event(), threading.Event()

    def hold():
        with pdf.turn_to_render():
            held.set()
            done.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    try:
        with pytest.raises(Busy):
            tickets_pdf(booking, tickets)
    finally:
        done.set()
        thread.join()
    assert tickets_pdf(booking, tickets)
