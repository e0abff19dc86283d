"""The links above a list that export its rows, after filters and search, as CSV or XLSX."""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from operator import attrgetter

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, Http404, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.text import Truncator
from django.views.decorators.http import require_GET
from xlsxwriter.exceptions import XlsxWriterException

from bookings.admin.filters import FilteredAdmin
from bookings.admin.formatting import actor_name
from bookings.models import Booking, LedgerEntry, attach_positions, show_cancelled
from events.models import Event
from ticks.db.scanning import TookTooLong, range_of, scan
from ticks.formatting import counted
from ticks.parsing import EARLIEST
from ticks.server.stopping import GivenUp, check_wanted
from ticks.sheets import Cell, write_csv, write_xlsx
from ticks.zones import is_shown_twice

log = logging.getLogger("ticks.exports")
TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
STATEMENT_SECONDS = 0.1
# The places of this many bookings are looked up at once. They may wait for as many events, each a part of the query.
PLACES_A_STATEMENT = 100
# The lock is held while a file is made, so that each worker makes one at a time.
making = threading.Lock()
TAKEN = "Another export is being made, and there is one at a time. Try again in half a minute."
GIVEN_UP = (
    "The export was given up: the server is about to stop, its disk is full, or the database takes too long to find "
    "these rows. Try again in half a minute; with a filter it is quicker."
)


def local_cell(moment: datetime | None, event: Event) -> Cell:
    """A time in the event's zone. Where that would be unclear it is text with its offset, which the import reads."""
    if moment is None:
        return None
    local = moment.astimezone(event.zone)
    # Spreadsheet programs know no times before 1900.
    is_text = is_shown_twice(moment, event.zone) or local.year < EARLIEST.year
    return local.isoformat(" ", "seconds") if is_text else local


# This maps each column's title to the value of its cells. Times are in the time zone that stands beside them.
BOOKING_COLUMNS: dict[str, Callable[[Booking], Cell]] = {
    "Reference": attrgetter("reference"),
    "First name": attrgetter("first_name"),
    "Last name": attrgetter("last_name"),
    "Email": attrgetter("email"),
    "Tickets": attrgetter("tickets_reserved"),
    "Status": lambda booking: booking.status.capitalize(),
    "Place in line": attrgetter("waitlist_position"),
    "Event": attrgetter("event.name"),
    "Event date": lambda booking: local_cell(booking.event.date, booking.event),
    "User": lambda booking: booking.user and booking.user.username,
    "Created at": lambda booking: local_cell(booking.created_at, booking.event),
    "Updated at": lambda booking: local_cell(booking.updated_at, booking.event),
    "Time zone": attrgetter("event.time_zone"),
}
# The import of events reads columns with the same titles.
EVENT_COLUMNS: dict[str, Callable[[Event], Cell]] = {
    "Id": attrgetter("pk"),
    "Name": attrgetter("name"),
    "Date": lambda event: local_cell(event.date, event),
    "Time zone": attrgetter("time_zone"),
    "Venue": attrgetter("venue"),
    "State": attrgetter("state"),
    "Total tickets": attrgetter("total_tickets"),
    "Held": attrgetter("held_tickets"),
    "Available": attrgetter("available_tickets"),
    "Waiting bookings": attrgetter("waitlisted_count"),
    "Waiting tickets": attrgetter("waitlisted_tickets"),
    "Bookings ever": attrgetter("booking_count"),
    "Max tickets per booking": attrgetter("max_tickets_per_booking"),
    "Max tickets per person": attrgetter("max_tickets_per_person"),
    "Sales start": lambda event: local_cell(event.sales_start, event),
    # An import takes an empty cell for the event's date.
    "Sales end": lambda event: local_cell(event.sales_end, event) or "never",
    "Waitlist enabled": lambda event: "yes" if event.waitlist_enabled else "no",
    "Waitlist policy": lambda event: event.get_waitlist_policy_display().partition(":")[0],
    "Description": attrgetter("description"),
    "Created at": lambda event: local_cell(event.created_at, event),
}
LEDGER_COLUMNS: dict[str, Callable[[LedgerEntry], Cell]] = {
    "Created at": lambda entry: local_cell(entry.created_at, entry.event),
    "Time zone": attrgetter("event.time_zone"),
    "Event": attrgetter("event.name"),
    "Event id": attrgetter("event_id"),
    "#": attrgetter("sequence"),
    "Kind": lambda entry: entry.get_kind_display(),
    "Tickets": attrgetter("tickets"),
    "Booking": lambda entry: entry.booking and entry.booking.reference,
    "By": actor_name,
    "Left": attrgetter("available_after"),
    "Waiting": attrgetter("waitlisted_after"),
    "Note": attrgetter("note"),
}
# Each entry has the beginning of the file's name, and the file's columns.
EXPORTS = {
    Booking: ("bookings", BOOKING_COLUMNS),
    Event: ("events", EVENT_COLUMNS),
    LedgerEntry: ("ledger", LEDGER_COLUMNS),
}


class Exportable(FilteredAdmin):
    """A filtered list that can be exported."""

    def get_urls(self):
        view = self.admin_site.admin_view(require_GET(self.export_view))
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [path("export/<str:kind>/", view, name=name), *super().get_urls()]

    def may_export(self, request) -> bool:
        """Everybody who sees events may export them. Exports with names and mail addresses need a permission."""
        is_open = self.model is Event or request.user.has_perm("bookings.export_booking")
        return is_open and self.has_view_permission(request)

    def changelist_view(self, request, extra_context=None):
        kinds = list(TYPES) if self.may_export(request) else []
        return super().changelist_view(request, {**(extra_context or {}), "export_kinds": kinds})

    def export_view(self, request, kind):
        if not self.may_export(request):
            raise PermissionDenied
        if kind not in TYPES:
            raise Http404
        changelist = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        try:
            listed = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{changelist}?{ERROR_FLAG}=1")
        if not listed.form.is_valid():
            # The list shows what is wrong.
            return HttpResponseRedirect(f"{changelist}?{request.GET.urlencode()}")
        # The lock is taken last, so that a user who may not export, or whose filters are wrong, does not block others.
        if not making.acquire(blocking=False):
            return unavailable(TAKEN)
        try:
            return self.export(request, kind, listed.queryset)
        except (GivenUp, TookTooLong, OSError, XlsxWriterException) as error:
            log.warning("An export was given up: %r", error)
            return unavailable(GIVEN_UP)
        finally:
            making.release()

    def export(self, request, kind: str, rows: QuerySet) -> FileResponse:
        """The file of these rows. Django's log of changes records who exported what."""
        name, columns = EXPORTS[self.model]
        write = write_csv if kind == "csv" else write_xlsx
        # The file has no name, so nothing is left of it, however this process ends.
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
        try:
            count = write(file, list(columns), self.export_rows(rows, partial(check_wanted, request)))
            filters = request.GET.urlencode() or "none"
            LogEntry.objects.create(
                user=request.user,
                content_type=ContentType.objects.get_for_model(self.model),
                object_repr=f"Export of {self.opts.verbose_name_plural}",
                action_flag=CHANGE,
                change_message=Truncator(
                    f"Exported {counted(count, 'row')} as {kind.upper()}. Filters: {filters}"
                ).chars(1000),
            )
        except BaseException:
            file.close()
            raise
        file.seek(0)
        filename = f"ticks-{name}-{timezone.now():%Y-%m-%d}.{kind}"
        return FileResponse(file, as_attachment=True, filename=filename, content_type=TYPES[kind])

    def export_rows(self, rows: QuerySet, check: Callable[[], None]) -> Iterator[list[Cell]]:
        """The present rows, newest first. They may change between two statements."""
        _, columns = EXPORTS[self.model]
        # Related rows are read by themselves. In a join the database might begin with the shortest table, and go
        # through the long one for each statement.
        rows = rows.order_by("-pk").prefetch_related(*(self.list_select_related or ()))
        low, high = range_of(self.model._default_manager.all())
        check()
        for found, _ in scan(rows, range(high, low - 1, -1), seconds=STATEMENT_SECONDS):
            check()
            if self.model is Booking:
                show_cancelled(found)
                for start in range(0, len(found), PLACES_A_STATEMENT):
                    attach_positions(found[start : start + PLACES_A_STATEMENT])
                    check()
            for row in found:
                yield [value(row) for value in columns.values()]


def unavailable(message: str) -> HttpResponse:
    page = render_to_string("ticks/unavailable.html", {"message": message, "is_all": True})
    return HttpResponse(page, status=503, headers={"Retry-After": "30"})
