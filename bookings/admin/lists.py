"""Lists of the staff's site: their filters are a form, and those of long tables count no rows."""

import time
from contextlib import suppress
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, IGNORED_PARAMS, PAGE_VAR, SEARCH_VAR, ChangeList
from django.db.models import QuerySet, prefetch_related_objects

from ticks.db.scanning import TookTooLong, range_of, rows_beside, scan
from ticks.formatting import time_tag
from ticks.parsing import parse_id

AFTER, BEFORE = "after", "before"
NOT_FILTERS = {*IGNORED_PARAMS, AFTER, BEFORE} - {SEARCH_VAR}
# A page for which rows are scanned is there within 300 ms.
SCAN_SECONDS, STATEMENT_SECONDS = 0.1, 0.03


class FilteredList(ChangeList):
    """A list with a form for its filters, which keeps what was typed and says what is wrong with it."""

    has_known_count = True

    def get_queryset(self, request, exclude_parameters=None):
        self.filter_specs, self.has_filters = [], False
        values = {name: value for name, value in self.params.items() if name not in NOT_FILTERS}
        if values.keys() - self.model_admin.filter_form.base_fields.keys():
            # Django leads from here to the whole list.
            raise IncorrectLookupParameters
        self.has_active_filters = any(values.values())
        self.form = self.model_admin.filter_form(values)
        if not self.form.is_valid():
            return self.root_queryset.none()
        rows = self.filter_rows(self.root_queryset, **self.form.cleaned_data)
        return rows.order_by(*self.get_ordering(request, rows))

    def filter_rows(self, rows: QuerySet, **values) -> QuerySet:
        """The rows that the values of the form leave."""
        raise NotImplementedError

    def link(self, **changes) -> str:
        """This list from its beginning, with some filters chosen otherwise; None leaves one out."""
        return self.get_query_string({**dict.fromkeys((AFTER, BEFORE, PAGE_VAR, ALL_VAR)), **changes})

    @property
    def event_links(self) -> list[tuple]:
        return [(event, self.link(event=event.pk)) for event in self.form.events]

    @property
    def span_links(self) -> list[tuple[str, str, bool]]:
        chosen = [self.params.get(name) or None for name in ("since", "until")]
        return [
            (name, self.link(**span), [day and str(day) for day in span.values()] == chosen)
            for name, span in self.form.quick_spans()
        ]


class Page(NamedTuple):
    """Rows, and the positions that the pages around them begin or end at."""

    rows: list
    newer: int | None = None
    older: int | None = None
    # Where the scan for more rows ran out of time; None where it did not.
    scanned_to: int | None = None


class KeysetList(FilteredList):
    """Newest first, by a column that rises with time; the links carry the position that a page begins or ends at."""

    column = "pk"
    # They have one value in all rows of the list, and stand first in its order: an index that begins with them serves.
    fixed_columns: tuple[str, ...] = ()
    # No index leads to the rows.
    is_scanned = False
    # Rows to show at once, whether or not the scan gets to them.
    indexed_ids: tuple[int, ...] = ()
    # The lowest and the highest `column` that rows of the list have.
    bounds: tuple[int, int] | None = None

    def get_ordering(self, request, queryset):
        return [f"-{column}" for column in (*self.fixed_columns, self.column)]

    def get_ordering_field_columns(self):
        return {}

    def all_rows(self) -> QuerySet:
        """The rows that `column` numbers, whatever the filters say."""
        return self.model._default_manager.all()

    def between(self, rows: QuerySet, since, until) -> QuerySet:
        """The rows made in a span of time, of which an index knows nothing."""
        self.bounds = range_of(self.all_rows(), self.column, since, until)
        rows = rows.filter(**{f"{self.column}__range": self.bounds})
        rows = rows.filter(created_at__gte=since) if since else rows
        return rows.filter(created_at__lt=until) if until else rows

    def known_count(self) -> int | None:
        """How many rows there are in all, if somebody keeps that."""
        raise NotImplementedError

    def get_results(self, request):
        self.page = self.asked_page() if self.form.is_valid() else Page([])
        self.result_list = self.page.rows
        prefetch_related_objects(self.result_list, *self.list_select_related)
        self.is_whole = self.page.older is None and self.page.newer is None
        count = len(self.result_list) if self.is_whole else self.known_count()
        # "All of them" cannot be selected where nobody knows how many that are.
        self.has_known_count = count is not None
        self.result_count = count if self.has_known_count else len(self.result_list)
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all, self.multi_page, self.paginator = True, False, False, None

    def asked_page(self) -> Page:
        names = [name for name in (AFTER, BEFORE) if name in self.params]
        if not names:
            return self.read_page(None)
        position = parse_id(self.params[names[0]])
        if position is None or len(names) > 1:
            raise IncorrectLookupParameters
        return self.read_page(position, is_before=names[0] == BEFORE)

    def read_page(self, position: int | None, *, is_before: bool = False) -> Page:
        """The page after a position or before it; without one the first, and before 0 the last."""
        size = self.list_per_page
        rows, scanned_to = self.read_rows(position, size + 1, is_before)
        ends = [] if scanned_to is None else [scanned_to]
        if len(rows) > size:
            ends.append(getattr(rows[size - 1], self.column))
        elif is_before and not ends:
            # Rows have gone since the link was made, or all are on one page: this is the beginning.
            return self.read_page(None)
        rows = rows[:size]
        back = position and (getattr(rows[0], self.column) if rows else position)
        if is_before:
            return Page(rows[::-1], min(ends), back or None, scanned_to)
        return Page(rows, back, max(ends, default=None), scanned_to)

    def read_rows(self, position: int | None, wanted: int, is_before: bool) -> tuple[list, int | None]:
        """The nearest rows, if so many there are, and where a scan for them ran out of time."""
        if not self.is_scanned:
            return list(rows_beside(self.queryset, position, self.column, is_before=is_before)[:wanted]), None
        indexed = self.queryset.filter(pk__in=self.indexed_ids) if self.indexed_ids else self.queryset.none()
        found = list(rows_beside(indexed, position, self.column, is_before=is_before)[:wanted])
        scanned, scanned_to = self.scan_rows(position, wanted, is_before)
        rows = {row.pk: row for row in found + scanned}
        return sorted(rows.values(), key=attrgetter(self.column), reverse=not is_before)[:wanted], scanned_to

    def scan_rows(self, position: int | None, wanted: int, is_before: bool) -> tuple[list, int | None]:
        low, high = self.bounds or range_of(self.all_rows(), self.column)
        if is_before:
            low = max(low, position + 1)
        elif position is not None:
            high = min(high, position - 1)
        ordered = self.queryset.reverse() if is_before else self.queryset
        first, last = (low, high) if is_before else (high, low)
        deadline, found, scanned_to = time.monotonic() + SCAN_SECONDS, [], first - 1 if is_before else first + 1
        with suppress(TookTooLong):
            for rows, end in scan(ordered, self.column, low=low, high=high, limit=wanted, seconds=STATEMENT_SECONDS):
                found, scanned_to = found + rows, end
                if len(found) >= wanted or time.monotonic() > deadline:
                    break
        is_complete = len(found) >= wanted or low > high or scanned_to == last
        return found, None if is_complete else scanned_to

    @cached_property
    def scanned_to(self) -> str | None:
        """When the row was made that a scan ended at; None where it did not end early."""
        if self.page.scanned_to is None:
            return None
        rows = self.all_rows().filter(**{f"{self.column}__gte": self.page.scanned_to}).order_by(self.column)
        return time_tag(rows.values_list("created_at", flat=True).first())

    @property
    def there_may_be_more(self) -> str:
        return "on this page, and there are more" if self.page.scanned_to is None else "found so far"

    @property
    def scan_link(self) -> str:
        """The page on which a scan that ended early goes on."""
        return self.page_links["Newer" if BEFORE in self.params and "Newer" in self.page_links else "Older"]

    @property
    def page_links(self) -> dict[str, str]:
        links = {}
        if self.page.newer is not None:
            links |= {"Newest": self.link(), "Newer": self.link(before=self.page.newer)}
        if self.page.older is not None:
            links |= {"Older": self.link(after=self.page.older), "Oldest": self.link(before=0)}
        return links
