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
# A page that scans rows must be there within 300 ms.
SCAN_SECONDS, STATEMENT_SECONDS = 0.1, 0.03


class FilteredList(ChangeList):
    """A list with a form for its filters. The form keeps what was typed, and shows what is wrong with it."""

    has_known_count = True

    def get_queryset(self, request, exclude_parameters=None):
        self.filter_specs, self.has_filters = [], False
        values = {name: value for name, value in self.params.items() if name not in NOT_FILTERS}
        if values.keys() - self.model_admin.filter_form.base_fields.keys():
            # With this error Django redirects to the whole list.
            raise IncorrectLookupParameters
        self.has_active_filters = any(values.values())
        self.form = self.model_admin.filter_form(values)
        if not self.form.is_valid():
            return self.root_queryset.none()
        rows = self.filter_rows(self.root_queryset, **self.form.cleaned_data)
        return rows.order_by(*self.get_ordering(request, rows))

    def filter_rows(self, rows: QuerySet, **values) -> QuerySet:
        """The rows that match the values of the form."""
        raise NotImplementedError

    def link(self, **changes) -> str:
        """The link to this list from its beginning, with some filters changed; None removes a filter."""
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
    """The rows of a page, and the positions at which the pages around it begin or end."""

    rows: list
    newer: int | None = None
    older: int | None = None
    # This is where the scan for more rows ran out of time; None if it did not.
    scanned_to: int | None = None


class KeysetList(FilteredList):
    """A list with the newest rows first, by a column that rises with time. Links have the position where a page begins
    or ends."""

    column = "pk"
    # These columns have one value in all rows of the list. They stand first in its order, so that an index that begins
    # with them can be used.
    fixed_columns: tuple[str, ...] = ()
    # True if no index leads to the rows.
    is_scanned = False
    # These rows are shown at once, even if the scan does not reach them.
    indexed_ids: tuple[int, ...] = ()
    # These are the lowest and the highest `column` of the list's rows.
    bounds: tuple[int, int] | None = None

    def get_ordering(self, request, queryset):
        return [f"-{column}" for column in (*self.fixed_columns, self.column)]

    def get_ordering_field_columns(self):
        return {}

    def all_rows(self) -> QuerySet:
        """All rows that `column` numbers, without the filters."""
        return self.model._default_manager.all()

    def between(self, rows: QuerySet, since, until) -> QuerySet:
        """The rows that were made in a span of time, for which there is no index."""
        self.bounds = range_of(self.all_rows(), self.column, since, until)
        rows = rows.filter(**{f"{self.column}__range": self.bounds})
        rows = rows.filter(created_at__gte=since) if since else rows
        return rows.filter(created_at__lt=until) if until else rows

    def known_count(self) -> int | None:
        """The number of all rows, if it is stored somewhere; otherwise None."""
        raise NotImplementedError

    def get_results(self, request):
        self.page = self.asked_page() if self.form.is_valid() else Page([])
        self.result_list = self.page.rows
        prefetch_related_objects(self.result_list, *self.list_select_related)
        self.is_whole = self.page.older is None and self.page.newer is None
        count = len(self.result_list) if self.is_whole else self.known_count()
        # "All of them" cannot be selected if their number is not known.
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
        """The page after or before a position. Without a position it is the first page, and before 0 the last."""
        size = self.list_per_page
        rows, scanned_to = self.read_rows(position, size + 1, is_before)
        ends = [] if scanned_to is None else [scanned_to]
        if len(rows) > size:
            ends.append(getattr(rows[size - 1], self.column))
        elif is_before and not ends:
            # Rows were deleted since the link was made, or all rows fit on one page. So this is the beginning.
            return self.read_page(None)
        rows = rows[:size]
        back = position and (getattr(rows[0], self.column) if rows else position)
        if is_before:
            return Page(rows[::-1], min(ends), back or None, scanned_to)
        return Page(rows, back, max(ends, default=None), scanned_to)

    def read_rows(self, position: int | None, wanted: int, is_before: bool) -> tuple[list, int | None]:
        """The nearest rows, at most `wanted`, and where the scan for them ran out of time."""
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
        """When the row was made at which the scan ended; None if the scan did not end early."""
        if self.page.scanned_to is None:
            return None
        rows = self.all_rows().filter(**{f"{self.column}__gte": self.page.scanned_to}).order_by(self.column)
        return time_tag(rows.values_list("created_at", flat=True).first())

    @property
    def there_may_be_more(self) -> str:
        return "on this page, and there are more" if self.page.scanned_to is None else "found so far"

    @property
    def scan_link(self) -> str:
        """The link to the page on which a scan that ended early continues."""
        return self.page_links["Newer" if BEFORE in self.params and "Newer" in self.page_links else "Older"]

    @property
    def page_links(self) -> dict[str, str]:
        links = {}
        if self.page.newer is not None:
            links |= {"Newest": self.link(), "Newer": self.link(before=self.page.newer)}
        if self.page.older is not None:
            links |= {"Older": self.link(after=self.page.older), "Oldest": self.link(before=0)}
        return links
