"""Tickets as a PDF: a page of the size A5 for each, which fits a telephone's screen and half a sheet of paper."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby

import segno
from django.utils.translation import gettext, gettext_lazy, override
from reportlab.lib.pagesizes import A5
from reportlab.pdfgen.canvas import Canvas

from bookings.documents.text import draw_runs, runs_of, width_of, wrapped
from bookings.models import Booking
from ticks.db.transactions import Busy
from ticks.formatting import date_with_weekday

WIDTH, HEIGHT = A5
MARGIN = 40
INNER = WIDTH - 2 * MARGIN
QR_SIZE = 200
ADVICE = gettext_lazy("The code admits one person, once. Show it on a screen or on paper, and keep it to yourself.")
# A worker renders one file at a time, since bookings want the interpreter too. Whoever waits occupies a thread.
rendering = threading.Lock()
WAIT_SECONDS = 2


@contextmanager
def turn_to_render() -> Iterator[None]:
    """Raises `Busy` if other files are being rendered for too long."""
    if not rendering.acquire(timeout=WAIT_SECONDS):
        raise Busy
    try:
        yield
    finally:
        rendering.release()


def tickets_pdf(booking: Booking, tickets: Sequence[tuple[int, str]]) -> bytes:
    """A file with these tickets (seats and codes) of a booking, whose event and account are loaded. Call it outside of
    transactions and locks. Raises `Busy`."""
    language = booking.holder_language
    with turn_to_render(), override(language):
        file = BytesIO()
        # The same tickets make the same file.
        canvas = Canvas(file, pagesize=A5, invariant=1, lang=language)
        canvas.setTitle(gettext("Tickets %(reference)s") % {"reference": booking.reference})
        canvas.setAuthor("Ticks")
        canvas.setCreator("Ticks")
        for seat, code in tickets:
            draw_ticket(canvas, booking, seat, code)
            canvas.showPage()
        canvas.save()
        return file.getvalue()


def draw_ticket(canvas: Canvas, booking: Booking, seat: int, code: str) -> None:
    event = booking.event
    y = draw_lines(canvas, HEIGHT - MARGIN, event.name, size=20, most=3, is_bold=True)
    if event.date:
        y = draw_lines(canvas, y, date_with_weekday(event.date, event.zone), size=12)
    draw_lines(canvas, y, event.venue, size=12, most=2)
    top = HEIGHT - MARGIN - 150
    draw_qr(canvas, (WIDTH - QR_SIZE) / 2, top - QR_SIZE, code)
    draw_centred(canvas, top - QR_SIZE - 14, code, size=9)
    y = top - QR_SIZE - 34
    y = draw_lines(canvas, y, booking.full_name, size=16, most=2, is_bold=True)
    of_all = gettext("Ticket %(seat)d of %(tickets)d") % {"seat": seat, "tickets": booking.tickets_reserved}
    y = draw_lines(canvas, y, of_all, size=12)
    draw_lines(canvas, y, gettext("Booking %(reference)s") % {"reference": booking.reference}, size=12)
    draw_lines(canvas, MARGIN + 12, str(ADVICE), size=8, most=2)


def draw_lines(canvas: Canvas, y: float, text: str, *, size: float, most: int = 1, is_bold: bool = False) -> float:
    """Draws the text below a height, and returns the height below it."""
    for runs in wrapped(text, size=size, width=INNER, most=most, is_bold=is_bold):
        y -= size * 1.35
        draw_runs(canvas, MARGIN, y, runs, size)
    return y - size * 0.25


def draw_centred(canvas: Canvas, y: float, text: str, *, size: float) -> None:
    runs = runs_of(text)
    draw_runs(canvas, (WIDTH - width_of(runs, size)) / 2, y, runs, size)


def draw_qr(canvas: Canvas, x: float, y: float, code: str) -> None:
    """A code of version 2 or 3, of which a quarter may be dirty or torn, with the empty border that scanners want."""
    matrix = segno.make(code, error="q", micro=False).matrix
    module = QR_SIZE / (len(matrix) + 8)
    path = canvas.beginPath()
    for row, modules in enumerate(matrix):
        column = 0
        for is_dark, some in groupby(modules):
            length = len(list(some))
            if is_dark:
                corner = x + (column + 4) * module, y + QR_SIZE - (row + 5) * module
                path.rect(*corner, length * module, module)
            column += length
    canvas.drawPath(path, stroke=0, fill=1)
