"""Actions of staff. Each has a form, a preview of what will happen, a confirmation, and a report.

A preview writes nothing. Its page carries a stamp of what it showed, and a confirmation with another stamp is answered
with a new preview."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext, gettext_noop

from ticks.db.transactions import OutcomeUnknown
from ticks.exceptions import Refusal
from ticks.formatting import counted
from ticks.parsing import parse_id

CHANGED = gettext_noop("This changed since you looked. Below is what would happen now; confirm again if it still fits.")
NOT_SHOWN = gettext_noop("Nothing was done yet. Below is what will happen with what you typed; confirm it if it fits.")
MAX_LISTED = 50
# Each code of the services has a sentence for people here. Holders, whose pages use this too, see it translated.
MESSAGES = {
    OutcomeUnknown.code: gettext_noop(
        "The database was lost while it saved this: it may be done or not. Look before you repeat it."
    ),
    "idempotency_key_in_flight": gettext_noop(
        "This is being done already. Send it again in a second to see how it went."
    ),
    "idempotency_key_reused": gettext_noop(
        "This page was confirmed already, with other input. Look whether you want this as well, and confirm again."
    ),
}


class Table(NamedTuple):
    caption: str
    columns: Sequence[str]
    rows: list[Sequence[str]]


class Preview(NamedTuple):
    """A preview of what will happen, one sentence a line. A confirmation covers the input and the `fingerprint`."""

    lines: list[str]
    fingerprint: Any = None


@dataclass(slots=True)
class Report:
    """The result of an action: what was done, what was not (`errors`), and the address of the next page."""

    lines: list[str] = field(default_factory=list)
    address: str = ""
    level: int = messages.SUCCESS
    errors: list[str] = field(default_factory=list)


class ActionForm(forms.Form):
    """A form that is confirmed. `stamp` is the one of the page that was confirmed."""

    stamp = forms.CharField(required=False, widget=forms.HiddenInput)
    # A service names a field in its refusals; this gives the form's field for it.
    refused_fields: dict[str, str] = {}
    # The checkbox, if any, that must be ticked beside the button that confirms. Its field is not required.
    consent = ""
    is_outcome_unknown = False

    def stamp_of(self, preview: Preview) -> str:
        """The hash of the input, and behind a dot that of the preview's fingerprint."""
        values = self.cleaned_data.items()
        values = sorted((name, repr(value)) for name, value in values if name not in ("stamp", self.consent))
        return ".".join(sha256(repr(part).encode()).hexdigest()[:32] for part in (values, preview.fingerprint))

    def has_consent(self) -> bool:
        if self.consent and not self.cleaned_data[self.consent]:
            self.add_error(self.consent, "Tick this to confirm.")
            return False
        return True

    def fields_before_preview(self) -> list[forms.BoundField]:
        return [field for field in self.visible_fields() if field.name != self.consent]

    def consent_field(self) -> forms.BoundField | None:
        return self[self.consent] if self.consent else None

    def refuse(self, refusal: Refusal) -> None:
        self.is_outcome_unknown = isinstance(refusal, OutcomeUnknown)
        name = self.refused_fields.get(refusal.field or "", refusal.field)
        self.add_error(name if name in self.fields else None, gettext(MESSAGES.get(refusal.code, str(refusal))))
        self.data["stamp"] = ""


class Action:
    """An action of staff on a subject. A subclass previews it and carries it out."""

    # Templates list the classes, so they must not call them.
    do_not_call_in_templates = True
    name: str
    title: str
    button: str
    permission: str
    form_class: type[ActionForm] = ActionForm
    template = "admin/action.html"
    is_dangerous = False
    # If true, the form is valid as it opens, so that the first page shows the preview.
    previews_at_once = False
    # The action is for these subjects; None if it has no subject.
    subjects: QuerySet | None = None
    # The table has details of a preview or of a refusal.
    table: Table | None = None

    def __init__(self, request: HttpRequest, subject, model_admin: admin.ModelAdmin):
        self.request, self.subject, self.model_admin = request, subject, model_admin

    def address(self) -> str:
        """The page to which the action returns."""
        opts = self.model_admin.opts
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")

    def subject_name(self) -> str:
        return str(self.subject or "")

    def closed_reason(self) -> str | None:
        """The reason why this action is no longer possible for the subject; None if it is possible."""

    def current_state(self) -> str:
        return ""

    def initial(self) -> dict:
        return {}

    def hidden_inputs(self) -> list[tuple[str, str]]:
        """Names and values that the page sends back in addition to the form's."""
        return []

    def form(self, data=None, files=None) -> ActionForm:
        return self.form_class(data, files, initial=self.initial())

    def earlier_report(self, form: ActionForm) -> Report | None:
        """The report of an earlier confirmation of this very page. Raises `Refusal`."""

    def preview(self, form: ActionForm) -> Preview:
        """Raises `Refusal`."""
        raise NotImplementedError

    def told(self, form: ActionForm) -> list[str]:
        """Sentences for a preview that say who will be told of it by mail."""
        return []

    def carry_out(self, form: ActionForm) -> Report:
        """Raises `Refusal`; then nothing was done."""
        raise NotImplementedError

    def respond(self) -> HttpResponse:
        reason = self.closed_reason()
        if reason:
            messages.warning(self.request, gettext(reason))
            return HttpResponseRedirect(self.address())
        if self.request.method == "POST":
            return self.submit(self.form(self.request.POST.copy(), self.request.FILES))
        return self.submit(self.form(self.initial())) if self.previews_at_once else self.page(self.form())

    def submit(self, form: ActionForm) -> HttpResponse:
        if not form.is_valid():
            return self.page(form)
        is_confirmed = "confirm" in self.request.POST
        try:
            # This comes first. After the first of two confirmations, a preview could no longer describe the second.
            report = self.earlier_report(form) if is_confirmed else None
            if report is None:
                preview = self.preview(form)
                shown, stamp = form.cleaned_data["stamp"], form.stamp_of(preview)
                if is_confirmed and shown == stamp and form.has_consent():
                    report = self.carry_out(form)
        except Refusal as refusal:
            form.refuse(refusal)
            return self.page(form)
        if report:
            return self.finish(report)
        if is_confirmed and shown != stamp:
            is_other_input = shown.partition(".")[0] != stamp.partition(".")[0]
            add = messages.info if is_other_input else messages.warning
            add(self.request, gettext(NOT_SHOWN if is_other_input else CHANGED))
        form.data["stamp"] = stamp
        return self.page(form, preview.lines, self.told(form))

    def finish(self, report: Report) -> HttpResponse:
        for error in report.errors:
            messages.error(self.request, error)
        if report.lines:
            messages.add_message(self.request, report.level, " ".join(line for line in report.lines if line))
        return HttpResponseRedirect(report.address or self.address())

    def page(self, form: ActionForm, lines: Sequence[str] = (), told: Sequence[str] = ()) -> HttpResponse:
        context = {
            **self.model_admin.admin_site.each_context(self.request),
            "title": self.title,
            "subtitle": self.subject_name(),
            "opts": self.model_admin.opts,
            "action": self,
            "form": form,
            "lines": [line for line in lines if line],
            "told": [line for line in told if line],
        }
        return TemplateResponse(self.request, self.template, context)


class SelectionAction(Action):
    """An action on the rows that were chosen in a list; `subject` is these rows.

    Its page names the rows by their ids, and only those are confirmed. Meanwhile the list's filters may no longer match
    a row that changed, and "all rows" may have become more.
    """

    previews_at_once = True
    is_dangerous = True
    # The list offers the action by this text.
    choice: str
    thing: str
    limit: int
    # A row that is done already is refused with this error.
    already_done: type[Refusal] | tuple[()] = ()

    @classmethod
    def respond_to_list(cls, model_admin, request: HttpRequest, queryset: QuerySet) -> HttpResponse | None:
        if "stamp" in request.POST:
            ids = set(map(parse_id, request.POST.getlist(ACTION_CHECKBOX_NAME)))
        else:
            ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: cls.limit + 1])
        if len(ids) > cls.limit:
            text = f"Nothing was changed: select at most {cls.limit} {cls.thing}s at once."
            model_admin.message_user(request, text, level=messages.WARNING)
            return None
        return cls(request, list(cls.subjects.filter(pk__in=ids)), model_admin).respond()

    def address(self):
        return self.request.get_full_path()

    def subject_name(self):
        return str(self.subject[0]) if len(self.subject) == 1 else counted(len(self.subject), self.thing)

    def hidden_inputs(self):
        return [("action", self.name), *((ACTION_CHECKBOX_NAME, str(row.pk)) for row in self.subject)]

    def listed(self, lines: list[str]) -> list[str]:
        """The first of many lines, and a line with the number of the others."""
        more = len(lines) - MAX_LISTED
        return [*lines[:MAX_LISTED], f"And {more:,} more."] if more > 0 else lines

    def carry_out_on(self, row, form: ActionForm):
        """Carries out the action on one row, and returns what `summary` needs. Raises `Refusal`."""
        raise NotImplementedError

    def summary(self, results: list, already: int) -> list[str]:
        """The lines of the report: the rows that were done, and the number of those that were done already."""
        raise NotImplementedError

    def carry_out(self, form):
        report, results, already = Report(), [], 0
        for row in self.subject:
            try:
                results.append(self.carry_out_on(row, form))
            except Refusal as refusal:
                if isinstance(refusal, self.already_done):
                    already += 1
                else:
                    report.errors.append(f"{row}: {refusal}")
        report.lines = self.summary(results, already)
        report.level = messages.SUCCESS if results else messages.WARNING
        return report


def action_view(model_admin: admin.ModelAdmin, action_class: type[Action]):
    def view(request: HttpRequest, pk: str | None = None) -> HttpResponse:
        if not request.user.has_perm(action_class.permission):
            raise PermissionDenied
        has_subject = action_class.subjects is not None
        subject = get_object_or_404(action_class.subjects, pk=parse_id(pk)) if has_subject else None
        return action_class(request, subject, model_admin).respond()

    return view


class SelectionActions(admin.ModelAdmin):
    """A list with actions on the rows that are chosen in it."""

    selection_actions: list[type[SelectionAction]] = []

    def get_actions(self, request):
        return {
            one.name: (one.respond_to_list, one.name, one.choice)
            for one in self.selection_actions
            if request.user.has_perm(one.permission)
        }


class PageAdmin(SelectionActions):
    """A list whose rows have a page of their own, with what staff do there, in place of Django's form."""

    # The names of the pages begin with this, such as `bookings_event_page`.
    page_prefix: str
    page_template: str
    page_subjects: QuerySet
    page_actions: list[type[Action]]
    list_per_page = 50

    def has_delete_permission(self, request, obj=None):
        return False

    def get_urls(self):
        wrap = self.admin_site.admin_view
        actions = [
            path(f"<str:pk>/{one.name}/", wrap(action_view(self, one)), name=f"{self.page_prefix}_{one.name}")
            for one in self.page_actions
        ]
        page = path("<str:pk>/", wrap(self.page_view), name=f"{self.page_prefix}_page")
        *urls, catch_all = super().get_urls()
        return [*actions, *urls, page, catch_all]

    def page_url(self, pk: int) -> str:
        return reverse(f"admin:{self.page_prefix}_page", args=[pk])

    def find_to_view(self, request: HttpRequest, pk: str):
        """The row that a page is about. Raises `Http404` and `PermissionDenied`."""
        subject = get_object_or_404(self.page_subjects, pk=parse_id(pk))
        if not self.has_view_permission(request, subject):
            raise PermissionDenied
        return subject

    def page_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        subject = self.find_to_view(request, pk)
        actions = [
            action
            for action in self.page_actions
            if request.user.has_perm(action.permission) and not action(request, subject, self).closed_reason()
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "actions": actions,
            **self.page_context(request, subject),
        }
        return TemplateResponse(request, self.page_template, context)

    def page_context(self, request: HttpRequest, subject) -> dict:
        """What the page's template needs besides the frame of the site."""
        raise NotImplementedError

    def change_view(self, request, object_id, form_url="", extra_context=None):
        pk = parse_id(object_id)
        if pk is None:
            raise Http404
        return HttpResponseRedirect(self.page_url(pk))

    def response_action(self, request, queryset):
        """Refuses values that the list's own form does not send. Django's look-up fails on values that are no ids. In a
        list whose rows are not counted, the database would have to go through all rows for "all"."""
        has_strange_id = any(parse_id(value) is None for value in request.POST.getlist(ACTION_CHECKBOX_NAME))
        is_of_all = request.POST.get("select_across") == "1"
        if has_strange_id or (is_of_all and not self.get_changelist_instance(request).has_known_count):
            self.message_user(request, "Nothing was changed: select rows of the list.", level=messages.WARNING)
            return None
        return super().response_action(request, queryset)
