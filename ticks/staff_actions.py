"""Actions of staff: what the admin adds to the actions of `ticks.actions`, and its lists and pages that offer them."""

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import path, reverse

from ticks.actions import Action, ActionForm, Report, Table
from ticks.exceptions import Refusal
from ticks.formatting import counted
from ticks.parsing import parse_id

MAX_LISTED = 50


class StaffAction(Action):
    # Templates list the classes, so they must not call them.
    do_not_call_in_templates = True
    permission: str
    template = "admin/action.html"
    # The action is for these subjects; None if it has no subject.
    subjects: QuerySet | None = None
    # The table has details of a preview or of a refusal.
    table: Table | None = None

    def __init__(self, request: HttpRequest, subject, model_admin: admin.ModelAdmin):
        super().__init__(request, subject)
        self.model_admin = model_admin

    def address(self):
        opts = self.model_admin.opts
        return reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")

    def subject_name(self) -> str:
        return str(self.subject or "")

    def current_state(self) -> str:
        return ""

    def hidden_inputs(self) -> list[tuple[str, str]]:
        """Names and values that the page sends back in addition to the form's."""
        return []

    def recipients(self, form: ActionForm) -> list[str]:
        """Sentences for a preview that say who will be notified by mail."""
        return []

    def context(self, form, lines):
        return {
            **self.model_admin.admin_site.each_context(self.request),
            **super().context(form, lines),
            "title": self.title,
            "subtitle": self.subject_name(),
            "opts": self.model_admin.opts,
            "recipients": [line for line in self.recipients(form) if line] if lines else [],
        }


class SelectionAction(StaffAction):
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


def action_view(model_admin: admin.ModelAdmin, action_class: type[StaffAction]):
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
    page_actions: list[type[StaffAction]]
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
