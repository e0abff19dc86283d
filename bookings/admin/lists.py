"""Lists of long tables: their rows are not counted, and links lead from page to page by the position of a row."""

import time
from contextlib import suppress
from operator import attrgetter

from django.contrib.admin.options import IncorrectLookupParameters
from django.db.models import QuerySet, prefetch_related_objects

from bookings.admin.filters import FilteredList
from ticks.db.scanning import TookTooLong, beside, range_of, scan
from ticks.formatting import time_tag
from ticks.parsing import parse_id

# A page that scans rows must be there within 300 ms.
SCAN_SECONDS, STATEMENT_SECONDS = 0.1, 0.03


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
    # If the scan for more rows ran out of time: when the row was made at which it ended, and where it continues.
    scanned_to = scan_link = ""
    page_links: dict[str, str] = {}

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
        self.result_list = self.read_page() if self.form.is_valid() else []
        prefetch_related_objects(self.result_list, *self.list_select_related)
        count = self.known_count() if self.page_links else len(self.result_list)
        # "All of them" cannot be selected if their number is not known.
        self.has_known_count = count is not None
        self.result_count = count if self.has_known_count else len(self.result_list)
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all, self.multi_page, self.paginator = True, False, False, None

    def read_page(self) -> list:
        """The page after or before the position in the query string. Without one it is the first page, and before 0
        the last."""
        names = [name for name in ("after", "before") if name in self.params]
        position = parse_id(self.params[names[0]]) if names else None
        if len(names) > 1 or (names and position is None):
            raise IncorrectLookupParameters
        is_before, size = "before" in names, self.list_per_page
        rows, scan_end = self.read_rows(position, size + 1, is_before)
        if is_before and len(rows) <= size and scan_end is None:
            # Rows were deleted since the link was made, or all rows fit on one page. So this is the beginning.
            position, is_before = None, False
            rows, scan_end = self.read_rows(position, size + 1, is_before)
        ends = [] if scan_end is None else [scan_end]
        if len(rows) > size:
            ends.append(getattr(rows[size - 1], self.column))
        rows = rows[:size]
        back = getattr(rows[0], self.column) if position and rows else position
        newer, older = (min(ends), back or None) if is_before else (back, max(ends, default=None))
        self.page_links = {}
        if newer is not None:
            self.page_links |= {"Newest": self.link(), "Newer": self.link(before=newer)}
        if older is not None:
            self.page_links |= {"Older": self.link(after=older), "Oldest": self.link(before=0)}
        if scan_end is not None:
            self.scan_link = self.page_links["Newer" if is_before else "Older"]
            reached = self.all_rows().filter(**{f"{self.column}__gte": scan_end}).order_by(self.column).first()
            self.scanned_to = time_tag(reached and reached.created_at)
        return rows[::-1] if is_before else rows

    def read_rows(self, position: int | None, wanted: int, is_before: bool) -> tuple[list, int | None]:
        """The nearest rows, at most `wanted`, and where the scan for them ran out of time."""
        rows = self.queryset.filter(pk__in=self.indexed_ids) if self.is_scanned else self.queryset
        at = None if position is None else [position]
        found = list(beside(rows, [f"-{self.column}"], at, is_before=is_before)[:wanted])
        if not self.is_scanned:
            return found, None
        low, high = self.bounds or range_of(self.all_rows(), self.column)
        rows, positions = self.queryset, range(high if position is None else min(high, position - 1), low - 1, -1)
        if is_before:
            rows, positions = rows.reverse(), range(max(low, position + 1), high + 1)
        deadline, scanned, end = time.monotonic() + SCAN_SECONDS, [], positions.start - positions.step
        with suppress(TookTooLong):
            for part, reached in scan(rows, positions, column=self.column, limit=wanted, seconds=STATEMENT_SECONDS):
                scanned, end = scanned + part, reached
                if len(scanned) >= wanted or time.monotonic() > deadline:
                    break
        is_complete = len(scanned) >= wanted or not positions or end == positions[-1]
        found = {row.pk: row for row in found + scanned}.values()
        return sorted(found, key=attrgetter(self.column), reverse=not is_before)[:wanted], None if is_complete else end

    @property
    def there_may_be_more(self) -> str:
        return "found so far" if self.scan_link else "on this page, and there are more"
