"""Lists of the staff's site: their filters are a form, and those over long tables count no rows."""

from dataclasses import dataclass, field
from functools import cached_property

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, IGNORED_PARAMS, PAGE_VAR, SEARCH_VAR, ChangeList
from django.db.models import QuerySet

from bookings.admin.scanning import look_for
from ticks.formatting import time_tag
from ticks.parsing import parse_id

AFTER, BEFORE = "after", "before"
NO_FILTERS = {*IGNORED_PARAMS, AFTER, BEFORE} - {SEARCH_VAR}
# What links of Django's kind call the same.
DJANGOS_NAMES = {
    "event__id__exact": "event",
    "booking__id__exact": "booking",
    "status__exact": "status",
    "kind__exact": "kind",
}


class FilteredList(ChangeList):
    """A list with a form for its filters, which keeps what was typed and says what is wrong with it."""

    has_known_count = True

    def get_queryset(self, request, exclude_parameters=None):
        self.filter_specs, self.has_filters = [], False
        given = self.given_filters()
        self.has_active_filters = any(given.values())
        self.form = self.model_admin.filter_form(given)
        if not self.form.is_valid():
            return self.root_queryset.none()
        rows = self.filtered(self.root_queryset)
        return rows.order_by(*self.get_ordering(request, rows))

    def given_filters(self) -> dict[str, str]:
        """By the form's names. Anything else leads back to the whole list, as Django has it."""
        self.params, self.filter_params = in_our_names(self.params), in_our_names(self.filter_params)
        given = {name: value for name, value in self.params.items() if name not in NO_FILTERS}
        if given.keys() - self.model_admin.filter_form.base_fields.keys():
            raise IncorrectLookupParameters
        return given

    def filtered(self, rows: QuerySet) -> QuerySet:
        raise NotImplementedError

    def link(self, **changes) -> str:
        """This list from its beginning, with some filters chosen otherwise; None leaves one out."""
        return self.get_query_string({**dict.fromkeys((AFTER, BEFORE, PAGE_VAR, ALL_VAR)), **changes})

    @property
    def links_to_events(self) -> list[tuple]:
        return [(event, self.link(event=event.pk)) for event in self.form.events]

    @property
    def links_to_spans(self) -> list[tuple[str, str, bool]]:
        chosen = [self.params.get(name) or None for name in ("since", "until")]
        return [
            (name, self.link(**span), [day and str(day) for day in span.values()] == chosen)
            for name, span in self.model_admin.quick_spans()
        ]


def in_our_names(parameters: dict) -> dict:
    return {DJANGOS_NAMES.get(name, name): value for name, value in parameters.items()}


@dataclass(slots=True)
class Page:
    """Rows, and the positions of the pages around them; `got_to` where a look for more of them was not at its end."""

    rows: list = field(default_factory=list)
    older: int | None = None
    newer: int | None = None
    got_to: int | None = None


class PositionedList(FilteredList):
    """Newest first, by a column that rises with time; the links carry the position that a page begins or ends at."""

    column = "pk"
    # Those with one value in all rows of the list stand first in its order: an index that begins with them serves it.
    fixed_columns: tuple[str, ...] = ()
    # Where no index leads to the rows.
    is_looked_through = False
    # The lowest and highest `column`, where a span of time is asked for.
    bounds: tuple[int, int] | None = None

    def get_ordering(self, request, queryset):
        return [f"-{column}" for column in (*self.fixed_columns, self.column)]

    def get_ordering_field_columns(self):
        return {}

    def get_results(self, request):
        self.page = self.read_page() if self.form.is_valid() else Page()
        self.result_list = self.page.rows
        self.is_whole = self.page.older is None and self.page.newer is None
        count = len(self.result_list) if self.is_whole else self.known_count()
        self.has_known_count = count is not None
        # Nobody selects all of them where it is not known how many that are.
        self.result_count = count if self.has_known_count else len(self.result_list)
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all, self.multi_page, self.paginator = True, False, False, None

    def known_count(self) -> int | None:
        """How many rows there are in all, if somebody keeps that."""
        raise NotImplementedError

    def read_page(self) -> Page:
        given = [name for name in (AFTER, BEFORE) if name in self.params]
        if not given:
            return self.read_on(None)
        position = parse_id(self.params[given[0]])
        if position is None or len(given) > 1:
            raise IncorrectLookupParameters
        return self.read_on(position) if given[0] == AFTER else self.read_back(position)

    def read_on(self, position: int | None) -> Page:
        """The page that begins after a position, or the first."""
        rows, got_to = self.read(high=None if position is None else position - 1)
        page = Page(rows[: self.list_per_page])
        if position is not None:
            page.newer = self.position_of(rows[0]) if rows else position
        ends = [self.position_of(page.rows[-1])] if len(rows) > self.list_per_page else []
        if got_to is not None:
            page.got_to = got_to + 1
            ends.append(page.got_to)
        page.older = max(ends, default=None)
        return page

    def read_back(self, position: int) -> Page:
        """The page that ends before a position; before 0, the last."""
        rows, got_to = self.read(low=position + 1, is_rising=True)
        if len(rows) <= self.list_per_page and got_to is None:
            # Rows have gone since the link was made, or all are on one page: this is the beginning.
            return self.read_on(None)
        page = Page(rows[: self.list_per_page][::-1])
        if position:
            page.older = self.position_of(rows[0]) if rows else position
        starts = [self.position_of(page.rows[0])] if len(rows) > self.list_per_page else []
        if got_to is not None:
            page.got_to = got_to - 1
            starts.append(page.got_to)
        page.newer = min(starts)
        return page

    def read(self, *, low: int = 0, high: int | None = None, is_rising: bool = False) -> tuple[list, int | None]:
        """One row more than a page has, if there are, in the order of reading; and where a look for them ended."""
        if self.bounds:
            low = max(low, self.bounds[0])
            high = self.bounds[1] if high is None else min(high, self.bounds[1])
        wanted, got_to = self.list_per_page + 1, None
        if self.is_looked_through:
            rows = self.looked_through()
            look = look_for(
                rows.reverse() if is_rising else rows,
                self.column,
                low=low,
                high=self.highest() if high is None else high,
                wanted=wanted,
                is_rising=is_rising,
            )
            positions, got_to = {*look.found, *self.found_by_index(low, high)}, look.got_to
        else:
            rows = self.between(self.queryset, low, high)
            positions = set((rows.reverse() if is_rising else rows).values_list(self.column, flat=True)[:wanted])
        return self.rows_at(sorted(positions, reverse=not is_rising)[:wanted]), got_to

    def rows_at(self, positions: list[int]) -> list:
        """Read by themselves: of a list with its events joined to it, the database may begin with those, and sort."""
        if not positions:
            return []
        rows = self.apply_select_related(self.all_rows()).filter(**{f"{self.column}__in": positions}).order_by()
        by_position = {self.position_of(row): row for row in rows}
        return [by_position[position] for position in positions if position in by_position]

    def between(self, rows: QuerySet, low: int, high: int | None) -> QuerySet:
        if low:
            rows = rows.filter(**{f"{self.column}__gte": low})
        return rows if high is None else rows.filter(**{f"{self.column}__lte": high})

    def looked_through(self) -> QuerySet:
        """The rows to look for one by one, ordered as the list is."""
        return self.queryset

    def found_by_index(self, low: int, high: int | None) -> list[int]:
        """Positions of rows that need not be looked for."""
        return []

    def highest(self) -> int:
        newest = self.all_rows().order_by(f"-{self.column}")
        return newest.values_list(self.column, flat=True).first() or 0

    def all_rows(self) -> QuerySet:
        """Those that the column orders, whatever the filters say."""
        return self.model._default_manager.all()

    @cached_property
    def looked_to(self) -> str | None:
        """When the row was made that a look ended at; None where it did not end early."""
        if self.page.got_to is None:
            return None
        rows = self.between(self.all_rows(), self.page.got_to, None).order_by(self.column)
        return time_tag(rows.values_list("created_at", flat=True).first())

    @property
    def there_may_be_more(self) -> str:
        return "on this page, and there are more" if self.page.got_to is None else "found so far"

    @property
    def link_to_newest(self) -> str:
        return self.link()

    @property
    def link_to_oldest(self) -> str:
        return self.link(before=0)

    @property
    def link_to_newer(self) -> str:
        return self.link(before=self.page.newer)

    @property
    def link_to_older(self) -> str:
        return self.link(after=self.page.older)

    def position_of(self, row) -> int:
        return getattr(row, self.column)
