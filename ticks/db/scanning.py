"""The rows of a table, however many, newest first: read in many short statements, so that none takes long."""

import time
from collections.abc import Callable, Iterator, Sequence

from ticks.db.time_limit import TookTooLong, at_most

ROWS_A_PAGE = 2000
# Less than the second after which the driver gives a statement up.
PATIENCE_SECONDS = 0.8
QUICK_SECONDS = 0.1


def pages_of(queryset, *columns: str, check: Callable[[], None]) -> Iterator[list[tuple]]:
    """Lists of what `values_list(*columns)` has, of the rows that were there when it began. `check` may raise between.

    A statement looks at a bounded range of ids, so that even a filter which finds next to nothing does not go
    through a long table at once; the range grows where little is found quickly, and shrinks where it takes too long.
    Rows may change between two pages. Raises `TookTooLong`.
    """
    cells = Cells(queryset.model, columns)
    rows = queryset.order_by("-pk").values_list("pk", *cells.own)
    last = queryset.model._default_manager.order_by("-pk").values_list("pk", flat=True).first() or 0
    width = ROWS_A_PAGE
    while last > 0:
        check()
        began = time.monotonic()
        try:
            with at_most(PATIENCE_SECONDS):
                page = list(rows.filter(pk__lte=last, pk__gt=last - width)[:ROWS_A_PAGE])
        except TookTooLong:
            if width == 1:
                raise
            width = max(width // 8, 1)
            continue
        took = time.monotonic() - began
        last = page[-1][0] - 1 if len(page) == ROWS_A_PAGE else last - width
        if took < QUICK_SECONDS and len(page) < ROWS_A_PAGE:
            width *= 2
        yield cells.of(page)


class Cells:
    """The values that are asked for by name, some of them of rows that a row points to: `event__name`.

    Those are read by themselves, once a page. Where they are joined, the database may begin with the short table
    and go through the long one for each page.
    """

    def __init__(self, model, names: Sequence[str]):
        parts = [name.split("__") for name in names]
        self.own = list(dict.fromkeys(f"{part[0]}_id" if part[1:] else part[0] for part in parts))
        self.related: dict[str, list[str]] = {}
        # Of each name: where it is in a row, or where the id is and which value of whose it is.
        self.places: list[tuple[int, str | None, int]] = []
        for first, *rest in parts:
            if rest:
                fields = self.related.setdefault(first, [])
                fields.append(rest[0])
                self.places.append((self.place(f"{first}_id"), first, len(fields) - 1))
            else:
                self.places.append((self.place(first), None, 0))
        self.models = {name: model._meta.get_field(name).related_model for name in self.related}

    def place(self, name: str) -> int:
        return 1 + self.own.index(name)

    def of(self, page: list[tuple]) -> list[tuple]:
        """`page` are the rows' ids and what is their own."""
        found = {name: self.read(name, fields, page) for name, fields in self.related.items()}
        return [
            tuple(found[of][row[place]][which] if of else row[place] for place, of, which in self.places)
            for row in page
        ]

    def read(self, name: str, fields: list[str], page: list[tuple]) -> dict[int | None, Sequence]:
        place = self.place(f"{name}_id")
        ids = {row[place] for row in page} - {None}
        rows = self.models[name]._base_manager.filter(pk__in=ids).values_list("pk", *fields)
        return {None: [None] * len(fields)} | {pk: values for pk, *values in rows}
