"""Import of events from CSV: upload or paste, look at what will be created, then create all of it or nothing."""

import hashlib
import secrets

from django.conf import settings
from django.contrib import messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse

from bookings.admin.events.sheet import (
    EXAMPLE,
    LABELS,
    MAX_ROWS,
    Sheet,
    Unreadable,
    decoded,
    read_sheet,
    warn_of_doubles,
)
from bookings.services.events import open_events
from events.models import Event
from ticks.exceptions import Refusal

# In the session: what may be created, once; and the ids of what was created last.
OFFER, CREATED = "event_import_offer", "event_import_created"
CHANGED = "The text is not the one that was checked, so nothing was created. Look at it again below."
TOO_LARGE = "This is too large: at most 1 MB at once. Split it, or leave long descriptions out."
TWICE = "This import had been sent before, so nothing was created a second time."
LOST_ACCENTS = "The file is not in UTF-8, so it was read as Windows-1252. Look whether all letters are right."


class Importable:
    """A list of events with a page that imports some. Among a ModelAdmin's first bases."""

    def get_urls(self):
        views = {"": self.import_view, "example/": self.example_view, "done/": self.done_view}
        return [
            path(
                f"import/{tail}",
                self.admin_site.admin_view(self.for_who_may_add(view)),
                name=f"events_event_import{'_' + tail.rstrip('/') if tail else ''}",
            )
            for tail, view in views.items()
        ] + super().get_urls()

    def for_who_may_add(self, view):
        def run(request):
            if not self.has_add_permission(request):
                raise PermissionDenied
            return view(request)

        return run

    def import_view(self, request):
        if request.method != "POST":
            return self.import_page(request)
        text = request.POST.get("text", "")
        if int(request.META.get("CONTENT_LENGTH") or 0) > settings.BODY_LIMIT:
            # What there is of it was not read.
            return self.import_page(request, problem=TOO_LARGE)
        try:
            if "file" in request.FILES:
                text, encoding = decoded(request.FILES["file"].read())
                if encoding == "Windows-1252":
                    messages.warning(request, LOST_ACCENTS)
            sheet = read_sheet(text)
        except Unreadable as error:
            return self.import_page(request, text=text, problem=str(error))
        if sheet.is_right and request.POST.get("create"):
            return self.create_events(request, text, sheet)
        return self.import_page(request, text=text, sheet=sheet)

    def create_events(self, request, text: str, sheet: Sheet):
        offer = request.session.get(OFFER) or {}
        if offer.get("token") == request.POST["create"] and offer["digest"] != digest_of(text):
            return self.import_page(request, text=text, sheet=sheet, problem=CHANGED)
        if not take_offer(request.session, request.POST["create"]):
            messages.warning(request, TWICE)
            return HttpResponseRedirect(reverse("admin:events_event_import_done"))
        try:
            events = open_events([row.form.cleaned_data for row in sheet.rows], actor=request.user)
        except Refusal as refusal:
            return self.import_page(request, text=text, sheet=sheet, problem=str(refusal))
        LogEntry.objects.log_actions(request.user.pk, events, ADDITION, "Imported.")
        request.session[CREATED] = [event.pk for event in events]
        return HttpResponseRedirect(reverse("admin:events_event_import_done"))

    def import_page(self, request, *, text: str = "", sheet: Sheet | None = None, problem: str = ""):
        token = ""
        if sheet:
            warn_of_doubles(sheet.rows)
            if sheet.is_right:
                token = secrets.token_urlsafe(16)
                request.session[OFFER] = {"token": token, "digest": digest_of(text)}
        context = {
            **self.admin_site.each_context(request),
            "title": "Import events",
            "opts": self.opts,
            "text": text,
            "sheet": sheet,
            "problem": problem,
            "token": token,
            "labels": LABELS.values(),
            "max_rows": MAX_ROWS,
        }
        return TemplateResponse(request, "bookings/admin/event_import.html", context)

    def example_view(self, request):
        headers = {"Content-Disposition": 'attachment; filename="ticks-events-example.csv"'}
        return HttpResponse(f"\ufeff{EXAMPLE}", content_type="text/csv; charset=utf-8", headers=headers)

    def done_view(self, request):
        ids = request.session.get(CREATED, [])
        context = {
            **self.admin_site.each_context(request),
            "title": "Imported events",
            "opts": self.opts,
            "events": Event.objects.filter(pk__in=ids).order_by("pk"),
        }
        return TemplateResponse(request, "bookings/admin/event_import_done.html", context)


def digest_of(text: str) -> str:
    # A browser's line breaks in a text are its own.
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


def take_offer(session, token: str) -> bool:
    """Whether it was still there. Of two requests at once, a double click, one gets it: the stored session decides."""
    with transaction.atomic():
        # The lock; what is read after it is what the one before has left.
        session.row().select_for_update().first()
        stored = type(session)(session.session_key)
        if stored.get(OFFER, {}).get("token") != token:
            return False
        del stored[OFFER]
        stored.save(must_create=False)
    del session[OFFER]
    return True
