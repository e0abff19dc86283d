"""SVG without script and without style of its own: classes for `charts.css`, attributes for the rest.

Across, everything is in per cent of the page's width, and down in pixels: so letters keep their
size on a phone, where a picture that shrinks as a whole could not be read.
"""

from dataclasses import dataclass
from itertools import count
from typing import NamedTuple

from django.template.loader import render_to_string

# Of each panel: the picture, and the room above it for its heading. Below all of them: the times.
PLOT, HEADING, FOOT = 130, 36, 24


class Tick(NamedTuple):
    """A label of a scale; a spare one is left out where the page is narrow."""

    at: str
    label: str
    anchor: str = "middle"
    is_spare: bool = False


class Column(NamedTuple):
    """One period: where it can be pointed at, what it says then, and the bar in it."""

    x: str
    width: str
    said: str
    bar_x: str
    bar_width: str
    bar_y: str
    bar_height: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure over time on a scale of its own: bars, or a line. `limit` is drawn across, `said` when pointed at."""

    heading: str
    values: list[int]
    said: list[str]
    is_bars: bool = False
    limit: int | None = None
    limit_said: str = ""
    # How many panels are above it.
    above: int = 0

    @property
    def top(self) -> int:
        return self.above * (HEADING + PLOT) + HEADING

    @property
    def bottom(self) -> int:
        return self.top + PLOT

    @property
    def heading_y(self) -> int:
        return self.top - 12

    @property
    def limit_y(self) -> str:
        return self.y(self.limit)

    @property
    def limit_label_y(self) -> str:
        return f"{float(self.limit_y) - 4:.1f}"

    @property
    def scale(self) -> list[int]:
        return round_numbers(max(*self.values, self.limit or 0, 1))

    @property
    def ticks(self) -> list[Tick]:
        return [Tick(self.y(value), short(value)) for value in self.scale]

    @property
    def columns(self) -> list[Column]:
        wide, height = 100 / len(self.values), PLOT / self.scale[-1]
        return [
            Column(
                *(percent(n * wide), percent(wide), said),
                *(percent((n + 0.1) * wide), percent(0.8 * wide), self.y(value), f"{height * value:.1f}"),
            )
            for n, (value, said) in enumerate(zip(self.values, self.said, strict=True))
        ]

    @property
    def points(self) -> str:
        """Of the line, in a box of 100 x PLOT that is stretched: from nothing, by the end of each period."""
        wide, height = 100 / len(self.values), PLOT / self.scale[-1]
        by_end = [0, *self.values]
        return " ".join(f"{n * wide:.2f},{PLOT - height * value:.1f}" for n, value in enumerate(by_end))

    def y(self, value: int) -> str:
        return f"{self.bottom - PLOT * value / self.scale[-1]:.1f}"


@dataclass(frozen=True, slots=True)
class Chart:
    """Panels one above the other over the same times. Without panels only the words are shown."""

    name: str
    title: str
    words: str
    panels: list[Panel]
    times: list[Tick]
    heads: list[str]
    rows: list[tuple]

    @property
    def height(self) -> int:
        return self.foot + FOOT

    @property
    def foot(self) -> int:
        return len(self.panels) * (HEADING + PLOT)

    @property
    def times_y(self) -> int:
        return self.height - 6

    def __str__(self) -> str:
        return render_to_string("bookings/chart.html", {"chart": self, "plot": PLOT})


def percent(share: float) -> str:
    return f"{share:.3f}%"


def round_numbers(largest: int) -> list[int]:
    """From 0 to `largest` or a little more, in at most five steps of 1, 2 or 5 and zeros."""
    steps = (factor * 10**zeros for zeros in count() for factor in (1, 2, 5))
    step = next(step for step in steps if largest <= 5 * step)
    return list(range(0, largest + step, step))


def short(number: int) -> str:
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size and number % (size // 10) == 0:
            return f"{number / size:g}{letter}"
    return str(number)
