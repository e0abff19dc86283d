"""Editing an event: what will change and whom that serves; and if somebody else was faster, both versions."""

from dataclasses import dataclass

from django import forms

from bookings.admin import fields, formatting
from bookings.admin.action import Preview, Report
from bookings.admin.events.actions import EditForm, EventEdit
from bookings.enums import LedgerKind
from bookings.exceptions import InvalidTerms, StaleVersion
from bookings.models import LedgerEntry
from bookings.rules import ChangeTerms
from bookings.services.preview import foresee
from events.admin import LinesField
from events.models import Event
from ticks.db.fields import MAX_TICKETS
from ticks.formatting import exact_time, format_time

# What the page showed travels along: only what was edited from there is saved, whatever happened since.
KEPT = {"show_hidden_initial": True}
EMPTY = "nothing"
NOT_EDITED = "not edited"


class TermsForm(EditForm):
    name = fields.LineField(label="Name", max_length=200, **KEPT)
    date = fields.moment(label="Date", required=False, help_text="UTC.", **KEPT)
    venue = fields.LineField(label="Venue", max_length=200, required=False, **KEPT)
    description = LinesField(
        label="Description", max_length=5000, required=False, widget=forms.Textarea(attrs={"rows": 4}), **KEPT
    )
    max_tickets_per_booking = fields.tickets(
        label="Tickets a booking, at most",
        required=False,
        max_value=MAX_TICKETS,
        help_text="Empty: as many as the event has.",
        **KEPT,
    )
    waitlist_enabled = forms.BooleanField(label="Waitlist", required=False, **KEPT)
    waitlist_policy = forms.ChoiceField(
        label="Who is served first", choices=Event.WaitlistPolicy.choices, widget=forms.RadioSelect, **KEPT
    )

    def edits(self) -> dict:
        return {name: self.cleaned_data[name] for name in self.changed_data if name in TERMS}

    def rebase(self, event: Event) -> None:
        """The same edits, made from the event as it is now."""
        for name in TERMS:
            if name not in self.changed_data:
                self.put(name, getattr(event, name))
            self.data[self.add_initial_prefix(name)] = self.shown(name, getattr(event, name))
        self.data["version"] = event.version

    def put(self, name: str, value) -> None:
        if isinstance(value, bool):
            # A checkbox that is off is not sent.
            self.data.setlist(name, ["on"] if value else [])
        else:
            self.data[name] = self.shown(name, value)

    def showed(self, name: str):
        """What the page had in a field; nothing where no page of ours had that."""
        try:
            return self.fields[name].to_python(self.data.get(self.add_initial_prefix(name)))
        except forms.ValidationError:
            return None

    def shown(self, name: str, value) -> str:
        if isinstance(value, bool):
            return str(value)
        field = self.fields[name]
        shown = field.widget.format_value(field.prepare_value(value))
        return str((shown[0] if isinstance(shown, list) else shown) or "")


TERMS = [name for name in TermsForm.base_fields if name not in EditForm.base_fields]


@dataclass(slots=True)
class Side:
    """One field of two versions: as stored now, and as somebody wanted it."""

    label: str
    stored: str
    yours: str
    is_conflict: bool


class EditEvent(EventEdit):
    name, title, button = "edit", "Edit event", "Save"
    form_class = TermsForm

    def initial(self):
        return {**super().initial(), **{name: getattr(self.subject, name) for name in TERMS}}

    def preview(self, form):
        event = self.subject
        if form.cleaned_data["version"] != event.version:
            self.sides = sides(event, form)
            self.sides_told = told_edit(event)
            form.rebase(event)
            return Preview([], refusal=StaleVersion("Nothing was saved: somebody else changed this event meanwhile."))
        edits = form.edits()
        if not edits:
            return Preview([], refusal=InvalidTerms("Nothing is different from what is stored."))
        lines = [
            f"{form.fields[name].label}: {worded(name, getattr(event, name))} → {worded(name, value)}"
            for name, value in edits.items()
        ]
        forecast = foresee(
            event, [ChangeTerms(event.total_tickets, edits.get("waitlist_policy", event.waitlist_policy))]
        )
        if edits.get("waitlist_enabled") is False and event.waitlisted_count:
            lines.append("Nobody else can wait; who does keeps their place and is still served.")
        if forecast.served:
            lines += [formatting.promotes(forecast), formatting.then(forecast)]
        return Preview(lines)

    def carry_out(self, form):
        change = self.edited(form, form.edits())
        return Report([f"Saved {change.event}.", formatting.served(change.served, verb="Promoted")])


def sides(event: Event, form: TermsForm) -> list[Side]:
    """What was edited here, and what differs by now from what this page showed."""
    rows = []
    for name in TERMS:
        field, stored = form.fields[name], getattr(event, name)
        is_edited = name in form.changed_data
        is_changed = field.has_changed(form.showed(name), form.shown(name, stored))
        if is_edited or is_changed:
            yours = worded(name, form.cleaned_data[name]) if is_edited else NOT_EDITED
            rows.append(Side(field.label, worded(name, stored), yours, is_edited and is_changed))
    return rows


def told_edit(event: Event) -> str:
    """Who changed it last, and when."""
    edits = LedgerEntry.objects.filter(event=event, booking=None).exclude(kind=LedgerKind.OPENED)
    last = edits.select_related("actor").order_by("-sequence").first()
    return f"{last.actor} changed it {format_time(last.created_at)}." if last and last.actor else ""


def worded(name: str, value) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if hasattr(value, "astimezone"):
        return exact_time(value)
    if name == "waitlist_policy":
        return str(Event.WaitlistPolicy(value).label)
    return EMPTY if value in (None, "") else f"“{value}”"
