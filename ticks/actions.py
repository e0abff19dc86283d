"""What is previewed and confirmed: a form, a preview of what will happen, a confirmation, and a report.

A preview writes nothing. Its page carries a stamp of what it showed, and a confirmation with another stamp is answered
with a new preview. The staff's pages and the holder's page share this."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.translation import gettext, gettext_noop

from ticks.db.transactions import OutcomeUnknown
from ticks.exceptions import Refusal

CHANGED = gettext_noop("This changed since you looked. Below is what would happen now; confirm again if it still fits.")
NOT_SHOWN = gettext_noop("Nothing was done yet. Below is what will happen with what you typed; confirm it if it fits.")
KEY_REUSED = "idempotency_key_reused"
# Each code of the services has a sentence for people here. Holders see it translated.
MESSAGES = {
    OutcomeUnknown.code: gettext_noop(
        "The database was lost while it saved this: it may be done or not. Look before you repeat it."
    ),
    "idempotency_key_in_flight": gettext_noop(
        "This is being done already. Send it again in a second to see how it went."
    ),
    KEY_REUSED: gettext_noop(
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


def new_key() -> str:
    return secrets.token_hex(16)


class KeyedForm(ActionForm):
    """A form whose idempotency key is drawn with the page, so that a page that is sent twice is carried out once."""

    key = forms.CharField(min_length=16, max_length=64, widget=forms.HiddenInput)

    def refuse(self, refusal):
        if refusal.code == KEY_REUSED:
            # The user went back and typed something else. If that is confirmed, it is carried out as well.
            self.data["key"] = new_key()
        super().refuse(refusal)


class Action:
    """An action on a subject. A subclass previews it and carries it out."""

    name: str
    title: str
    button: str
    form_class: type[ActionForm] = ActionForm
    template: str
    is_dangerous = False
    # If true, the form is valid as it opens, so that the first page shows the preview.
    previews_at_once = False

    def __init__(self, request: HttpRequest, subject):
        self.request, self.subject = request, subject

    def address(self) -> str:
        """The page to which the action returns."""
        raise NotImplementedError

    def closed_reason(self) -> str | None:
        """The reason why this action is no longer possible for the subject; None if it is possible."""

    def initial(self) -> dict:
        return {}

    def form(self, data=None, files=None) -> ActionForm:
        return self.form_class(data, files, initial=self.initial())

    def earlier_report(self, form: ActionForm) -> Report | None:
        """The report of an earlier confirmation of this very page. Raises `Refusal`."""

    def preview(self, form: ActionForm) -> Preview:
        """Raises `Refusal`."""
        raise NotImplementedError

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
        return self.page(form, preview.lines)

    def finish(self, report: Report) -> HttpResponse:
        for error in report.errors:
            messages.error(self.request, error)
        if report.lines:
            messages.add_message(self.request, report.level, " ".join(line for line in report.lines if line))
        return HttpResponseRedirect(report.address or self.address())

    def page(self, form: ActionForm, lines: Sequence[str] = ()) -> HttpResponse:
        return render(self.request, self.template, self.context(form, lines))

    def context(self, form: ActionForm, lines: Sequence[str]) -> dict:
        return {"action": self, "form": form, "lines": [line for line in lines if line]}
