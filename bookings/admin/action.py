"""How every action of staff goes: a form, then what it will do, and once that is confirmed what it did."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from bookings.exceptions import KeyInFlight, KeyReused
from ticks.db.transactions import OutcomeUnknown
from ticks.exceptions import Refusal
from ticks.parsing import find

CHANGED = "This changed since you looked. Below is what would happen now; confirm again if it still fits."
# What the services say to programs, said to people.
IN_WORDS = {
    OutcomeUnknown: "The database was lost while it saved this: it may be done or not. Look before you repeat it.",
    KeyInFlight: "This is being done already. Send it again in a second to see how it went.",
    KeyReused: "This page has booked already, for other input. Look whether you want this as well, and confirm again.",
}


@dataclass(slots=True)
class Preview:
    """What will happen, a sentence a line. Who confirms has agreed to the form and to the `gist`."""

    lines: list[str]
    gist: Any = None
    # Why it cannot be done, where it cannot.
    refusal: Refusal | None = None


@dataclass(slots=True)
class Report:
    """What was done, and where to go from there."""

    lines: list[str] = field(default_factory=list)
    address: str = ""
    level: int = messages.SUCCESS


class ActionForm(forms.Form):
    """`previewed` tells what was on the page when it was confirmed."""

    previewed = forms.CharField(required=False, widget=forms.HiddenInput)
    # The fields that a service names in its refusals, in the API's spelling, by ours.
    refused_fields: dict[str, str] = {}
    # Whether it is unknown what became of it.
    may_be_done = False

    def stamp(self, preview: Preview) -> str:
        told = {name: value for name, value in self.cleaned_data.items() if name != "previewed"}
        return sha256(repr((sorted(told.items(), key=str), preview.gist)).encode()).hexdigest()[:32]

    def refuse(self, refusal: Refusal) -> None:
        self.may_be_done = isinstance(refusal, OutcomeUnknown)
        field = self.refused_fields.get(refusal.field or "", refusal.field)
        self.add_error(field if field in self.fields else None, IN_WORDS.get(type(refusal), str(refusal)))


class Action:
    """One thing that staff do to a subject. A subclass says what will happen and does it."""

    # Templates list the classes.
    do_not_call_in_templates = True
    name: str
    title: str
    button: str
    permission: str
    form_class: type[ActionForm] = ActionForm
    is_dangerous = False
    # Whether the form is right as it opens, so that what will happen is shown at once.
    is_complete = False

    # Two versions of the subject, where somebody else was faster.
    sides: Sequence = ()

    def __init__(self, request: HttpRequest, subject, model_admin):
        self.request, self.subject, self.model_admin = request, subject, model_admin

    @staticmethod
    def subjects() -> QuerySet:
        """All that it can be done to."""
        raise NotImplementedError

    @staticmethod
    def address(subject) -> str:
        """Of the subject's page."""
        raise NotImplementedError

    def impossible(self) -> str | None:
        """Why there is nothing to ask about; None where there is."""

    def facts(self) -> str:
        """How it stands now, for who decides."""
        return ""

    def initial(self) -> dict:
        return {}

    def form(self, data=None, **kwargs) -> ActionForm:
        return self.form_class(data, initial=self.initial(), **kwargs)

    def done_before(self, form: ActionForm) -> Report | None:
        """What was done, where this very page was confirmed before. Raises `Refusal`."""

    def preview(self, form: ActionForm) -> Preview:
        raise NotImplementedError

    def carry_out(self, form: ActionForm) -> Report:
        """Raises `Refusal`; then nothing was done."""
        raise NotImplementedError


def action_view(model_admin, action_class: type[Action]):
    def view(request: HttpRequest, pk: str) -> HttpResponse:
        if not request.user.has_perm(action_class.permission):
            raise PermissionDenied
        subject = find(action_class.subjects(), pk)
        if subject is None:
            raise Http404
        action = action_class(request, subject, model_admin)
        impossible = action.impossible()
        if impossible:
            messages.warning(request, impossible)
            return HttpResponseRedirect(action.address(subject))
        return posted(action) if request.method == "POST" else opened(action)

    return view


def opened(action: Action) -> HttpResponse:
    form = action.form()
    preview = None
    if action.is_complete:
        filled = action.form(data=action.initial())
        preview = action.preview(filled) if filled.is_valid() else None
        if preview:
            form.initial["previewed"] = filled.stamp(preview)
    return page(action, form, preview)


def posted(action: Action) -> HttpResponse:
    form = action.form(data=action.request.POST.copy())
    if not form.is_valid():
        return page(action, form, None)
    if "confirm" in action.request.POST:
        # Sent twice: what is left by now is no answer to the second.
        answer = tell(action, form, action.done_before)
        if answer:
            return answer
    preview = action.preview(form)
    stamp = form.stamp(preview)
    if preview.refusal:
        form.refuse(preview.refusal)
        return page(action, form, None)
    if "confirm" in action.request.POST:
        if form.cleaned_data["previewed"] == stamp:
            return tell(action, form, action.carry_out)
        messages.warning(action.request, CHANGED)
    form.data["previewed"] = stamp
    return page(action, form, preview)


def tell(action: Action, form: ActionForm, do: Callable[[ActionForm], Report | None]) -> HttpResponse | None:
    """To where a report leads, or the form again with why nothing was done; None where there is nothing to report."""
    try:
        report = do(form)
    except Refusal as refusal:
        form.refuse(refusal)
        form.data["previewed"] = ""
        return page(action, form, None)
    if report is None:
        return None
    messages.add_message(action.request, report.level, " ".join(line for line in report.lines if line))
    return HttpResponseRedirect(report.address or action.address(action.subject))


def page(action: Action, form: ActionForm, preview: Preview | None) -> HttpResponse:
    context = {
        **action.model_admin.admin_site.each_context(action.request),
        "title": action.title,
        "subtitle": str(action.subject),
        "opts": action.model_admin.opts,
        "action": action,
        "subject": action.subject,
        "back": action.address(action.subject),
        "form": form,
        "fields": form.visible_fields(),
        "preview": preview,
        "lines": [line for line in preview.lines if line] if preview else [],
    }
    return TemplateResponse(action.request, "bookings/admin/action.html", context)
