"""The links over a list that export what its filters and its search leave, as CSV or XLSX."""

import logging
import tempfile
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, PAGE_VAR
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.text import Truncator
from django.views.decorators.http import require_GET
from xlsxwriter.exceptions import XlsxWriterException

from bookings.admin.exports import EXPORTS
from bookings.admin.lists import NO_FILTERS
from ticks.db.scanning import pages_of
from ticks.db.time_limit import TookTooLong
from ticks.server.downloads import Download, GivenUp, making, permit_of
from ticks.sheets import Cell, write_csv, write_xlsx

log = logging.getLogger("ticks.exports")
TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
# What of a list's address is not about which rows it has.
NOT_THE_ROWS = {PAGE_VAR, ERROR_FLAG, *NO_FILTERS}
TAKEN = "Another export is being made, and there is one at a time. Try again in half a minute."
STOPPING = "The server is about to stop, so the export was given up. Try again in a few seconds."
TOO_LONG = "Finding these rows takes the database too long. Choose a filter, or search for a reference, and try again."
NO_ROOM = "The export could not be written: the server's disk may be full. Nothing else was affected."


class WrongFilter(Exception):
    """The list says what is wrong with it."""


class Exportable:
    """A list that can be exported. First among a ModelAdmin's bases."""

    def get_urls(self):
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        return [
            path("export/<str:kind>/", self.admin_site.admin_view(self.export_view), name=name),
            *super().get_urls(),
        ]

    def may_export(self, request) -> bool:
        """Events are no secret to who sees them; names and mail addresses leave the site by permission only."""
        is_open = self.opts.app_label == "events"
        return self.has_view_permission(request) and (is_open or request.user.has_perm("bookings.export_booking"))

    def changelist_view(self, request, extra_context=None):
        links = self.export_links(request) if self.may_export(request) else []
        return super().changelist_view(request, {**(extra_context or {}), "export_links": links})

    def export_links(self, request) -> list[tuple[str, str]]:
        filters = request.GET.copy()
        for name in NOT_THE_ROWS & filters.keys():
            del filters[name]
        query = f"?{filters.urlencode()}" if filters else ""
        return [(kind.upper(), f"{self.export_url(kind)}{query}") for kind in TYPES]

    def export_url(self, kind: str) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_export", args=[kind])

    @method_decorator(require_GET)
    def export_view(self, request, kind):
        if not self.may_export(request):
            raise PermissionDenied
        if kind not in TYPES:
            raise Http404
        try:
            rows = filtered(self, request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{changelist_url(self.opts)}?{ERROR_FLAG}=1")
        except WrongFilter:
            return HttpResponseRedirect(f"{changelist_url(self.opts)}?{request.GET.urlencode()}")
        # Taken last, so that somebody who may not export, or whose filters are wrong, keeps nobody else from it.
        if not making.acquire(blocking=False):
            return not_now(TAKEN, retry_after=30)
        try:
            return self.exported(request, kind, rows)
        except GivenUp:
            return not_now(STOPPING, retry_after=5)
        except TookTooLong:
            return not_now(TOO_LONG, retry_after=60)
        except (OSError, XlsxWriterException):
            log.exception("An export could not be written.")
            return not_now(NO_ROOM, retry_after=60)
        finally:
            making.release()

    def exported(self, request, kind: str, rows: QuerySet) -> Download:
        export, check = EXPORTS[self.model], permit_of(request).check
        pages = pages_of(rows, *export.needs, check=check)
        # Without a name, so that nothing is left of it, however this process ends.
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
        try:
            count = write(file, kind, export, pages, check)
            self.log_export(request, kind, count)
        except BaseException:
            file.close()
            raise
        file.seek(0)
        name = f"ticks-{export.name}-{timezone.now():%Y-%m-%d}.{kind}"
        return Download(file, as_attachment=True, filename=name, content_type=TYPES[kind])

    def log_export(self, request, kind: str, count: int) -> None:
        """Who took what with them: as Django keeps what staff change."""
        filters = request.GET.urlencode() or "none"
        LogEntry.objects.create(
            user=request.user,
            content_type=ContentType.objects.get_for_model(self.model),
            object_repr=f"Export of {self.opts.verbose_name_plural}",
            action_flag=CHANGE,
            change_message=Truncator(f"Exported {count} rows as {kind.upper()}. Filters: {filters}").chars(1000),
        )


def filtered(model_admin, request):
    """The rows of the list at this address, by the list's own filters and search; nothing is read or counted.

    Raises `WrongFilter`.
    """

    class Unread(model_admin.get_changelist(request)):
        def get_results(self, request):
            pass

    listed = Unread(
        request,
        model_admin.model,
        model_admin.get_list_display(request),
        None,
        model_admin.get_list_filter(request),
        model_admin.date_hierarchy,
        model_admin.get_search_fields(request),
        model_admin.get_list_select_related(request),
        model_admin.list_per_page,
        model_admin.list_max_show_all,
        (),
        model_admin,
        (),
        model_admin.search_help_text,
    )
    if not listed.form.is_valid():
        raise WrongFilter
    return listed.queryset


def write(file: BinaryIO, kind: str, export, pages: Iterator[list[tuple]], check) -> int:
    rows: Iterator[Iterator[list[Cell]]] = (map(export.row, page) for page in pages)
    writer = write_csv if kind == "csv" else partial(write_xlsx, check=check)
    return writer(file, export.titles, rows)


def changelist_url(opts) -> str:
    return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")


def not_now(message: str, *, retry_after: int) -> HttpResponse:
    page = render_to_string("ticks/unavailable.html", {"message": message, "is_all": True})
    return HttpResponse(page, status=503, headers={"Retry-After": str(retry_after)})
