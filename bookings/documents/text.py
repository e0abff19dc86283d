"""Text in a PDF, where each character needs a font that has it, and where nothing turns around what is written from
right to left."""

import logging
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path

from django.conf import settings
from reportlab.pdfbase.pdfmetrics import registerFont, stringWidth
from reportlab.pdfbase.ttfonts import TTFError, TTFont
from reportlab.pdfgen.canvas import Canvas

from ticks.text import HIDDEN, composed

log = logging.getLogger("ticks.documents")
FOLDER = Path(__file__).parent / "fonts"
# A character that no font has is shown as this.
PLACEHOLDER = "□"
ELLIPSIS = "…"
MIRRORED = dict(zip("()[]{}<>«»", ")(][}{><»«", strict=True))
# Part of a line: the name of its font, and the text.
Run = tuple[str, str]


@cache
def fonts(*, is_bold: bool) -> list[TTFont]:
    """The fonts in which a character is looked for, one after the other."""
    own = [("Ticks Bold", FOLDER / "DejaVuSans-Bold.ttf")] if is_bold else []
    own += [("Ticks", FOLDER / "DejaVuSans.ttf")]
    others = [(f"Ticks {place}", path) for place, path in enumerate(settings.TICKET_FONTS)]
    return [font for name, path in [*own, *others] if (font := load_font(name, str(path)))]


@cache
def load_font(name: str, path: str) -> TTFont | None:
    try:
        font = TTFont(name, path)
    except TTFError as error:
        log.error("The font %s cannot be used: %s", path, error)
        return None
    registerFont(font)
    return font


@cache
def glyphs(*, is_bold: bool) -> list[tuple[str, dict]]:
    return [(font.fontName, font.face.charToGlyph) for font in fonts(is_bold=is_bold)]


def runs_of(text: str, *, is_bold: bool = False) -> list[Run]:
    """The text in the order in which it is written on paper, in parts of one font each."""
    text = from_left(printable(text))
    pairs = [font_and_character(character, is_bold=is_bold) for character in text]
    runs = [
        (font, "".join(character for _, character in some)) for font, some in groupby(pairs, key=lambda one: one[0])
    ]
    return [run for run in runs if run[1]]


def font_and_character(character: str, *, is_bold: bool) -> Run:
    for name, known in glyphs(is_bold=is_bold):
        if ord(character) in known:
            return name, character
    first = glyphs(is_bold=is_bold)[0][0]
    # A mark without its glyph is left out; the letter that it belongs to says more than a box beside it.
    return first, "" if unicodedata.combining(character) else PLACEHOLDER


def printable(text: str) -> str:
    """One line, without what shows nothing and what only turns the text around it."""
    text = HIDDEN.sub("", composed(" ".join(text.split())))
    return "".join(character for character in text if not unicodedata.category(character).startswith("C"))


def from_left(text: str) -> str:
    """The text as it is seen from left to right. What is written from right to left is turned around.

    It does for a name or a title what the algorithm of Unicode (UAX 9) does for any text. Without a library, since that
    one's licence (LGPL) is no other package's here.
    """
    directions = [direction_of(character) for character in text]
    if "R" not in directions:
        return text
    base = next(direction for direction in directions if direction)
    resolved = resolve_neutrals(directions, base)
    parts = [
        (direction, "".join(character for _, character in some))
        for direction, some in groupby(zip(resolved, text, strict=True), key=lambda one: one[0])
    ]
    parts = parts[::-1] if base == "R" else parts
    return "".join(turned(part) if direction == "R" else part for direction, part in parts)


def direction_of(character: str) -> str:
    """L, R, or nothing for what goes with its neighbours, such as a space."""
    kind = unicodedata.bidirectional(character)
    if kind in ("R", "AL"):
        return "R"
    return "L" if kind in ("L", "EN", "AN") else ""


def resolve_neutrals(directions: Sequence[str], base: str) -> list[str]:
    """What stands between two of one direction has it too, and everything else that of the whole text."""
    before, after = list(directions), list(directions)
    for place in range(1, len(before)):
        before[place] = before[place] or before[place - 1]
    for place in range(len(after) - 2, -1, -1):
        after[place] = after[place] or after[place + 1]
    return [one if one and one == other else base for one, other in zip(before, after, strict=True)]


def turned(text: str) -> str:
    """The letters from the last to the first, each with its marks behind it, and brackets the other way round."""
    letters: list[str] = []
    for character in text:
        if letters and unicodedata.combining(character):
            letters[-1] += character
        else:
            letters.append(MIRRORED.get(character, character))
    return "".join(reversed(letters))


def width_of(runs: Sequence[Run], size: float) -> float:
    return sum(stringWidth(text, font, size) for font, text in runs)


def draw_runs(canvas: Canvas, x: float, y: float, runs: Sequence[Run], size: float) -> None:
    for font, text in runs:
        canvas.setFont(font, size)
        canvas.drawString(x, y, text)
        x += stringWidth(text, font, size)


def wrapped(text: str, *, size: float, width: float, most: int, is_bold: bool = False) -> list[list[Run]]:
    """The text in at most so many lines of this width. What does not fit into the last one ends with an ellipsis."""
    lines, words = [], text.split()
    while words and len(lines) < most:
        is_last = len(lines) == most - 1
        line = words.pop(0)
        while words and fits(f"{line} {words[0]}", size, width, is_bold):
            line = f"{line} {words.pop(0)}"
        if is_last and words:
            line = cut_to_width(f"{line} {' '.join(words)}", size, width, is_bold)
        elif not fits(line, size, width, is_bold):
            kept = beginning(line, size, width, is_bold)
            if is_last:
                line = cut_to_width(line, size, width, is_bold)
            else:
                # A word that is longer than a line goes on in the next one.
                words.insert(0, line[kept:])
                line = line[:kept]
        lines.append(runs_of(line, is_bold=is_bold))
    return lines


def fits(text: str, size: float, width: float, is_bold: bool) -> bool:
    return width_of(runs_of(text, is_bold=is_bold), size) <= width


def cut_to_width(text: str, size: float, width: float, is_bold: bool) -> str:
    return text[: beginning(text, size, width, is_bold, ELLIPSIS)].rstrip() + ELLIPSIS


def beginning(text: str, size: float, width: float, is_bold: bool, end: str = "") -> int:
    """How many characters fit into the width, together with `end`; at least one."""
    low, high = 1, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(text[:middle] + end, size, width, is_bold):
            low = middle
        else:
            high = middle - 1
    return low
