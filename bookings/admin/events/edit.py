"""The form of an event, the edit of its fields, and the opening and closing of its sales."""

from datetime import datetime

from django import forms
from django.utils import timezone

from bookings.admin import formatting
from bookings.admin.events.actions import EventEdit, VersionForm
from bookings.admin.fields import LineField, LinesField, MomentField, SwitchField
from bookings.commands import ChangeTerms
from bookings.enums import LedgerKind
from bookings.exceptions import InvalidTerms, StaleVersion
from bookings.models import LedgerEntry
from bookings.services.events import sales_closed, sales_opened
from events.models import EDITABLE_FIELDS, Event
from ticks.formatting import exact_time, format_time
from ticks.staff_actions import ActionForm, Preview, Report, Table

# These fields have actions of their own.
NOT_EDITED = ("total_tickets", "sales_start", "sales_end")
EMPTY = {"max_tickets_per_booking": "no limit", "sales_start": "at once", "sales_end": "open"}


class EventForm(forms.ModelForm, ActionForm):
    """The fields of an event that staff may set. The model has the rules for their values."""

    refused_fields = {"salesEnd": "sales_end"}

    class Meta:
        model = Event
        fields = EDITABLE_FIELDS
        field_classes = {
            "name": LineField,
            "venue": LineField,
            "description": LinesField,
            "date": MomentField,
            "sales_start": MomentField,
            "sales_end": MomentField,
            "waitlist_enabled": SwitchField,
        }
        widgets = {
            **dict.fromkeys(("date", "sales_start", "sales_end"), MomentField.widget),
            "description": LinesField.widget,
            "waitlist_policy": forms.RadioSelect,
        }

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # Django would ask the database about each constraint, but the fields and `clean` check the same.
        self.instance.validate_constraints = lambda exclude=None: None

    def clean(self):
        values = super().clean()
        start, end = values.get("sales_start"), values.get("sales_end")
        if start and end and end <= start:
            self.add_error("sales_end", "Sales must end after they start.")
        return values


LABELS = {name: field.label for name, field in EventForm.base_fields.items() if name in EDITABLE_FIELDS}


def format_value(name: str, value) -> str:
    """The value of a field in words."""
    if value in (None, ""):
        return EMPTY.get(name, "nothing")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, datetime):
        return exact_time(value)
    if isinstance(value, int):
        return f"{value:,}"
    return str(Event.WaitlistPolicy(value).label) if name == "waitlist_policy" else value


class EditForm(EventForm, VersionForm):
    """The page sends back the values that it showed. Only fields with other values are saved, so later changes are
    kept."""

    class Meta(EventForm.Meta):
        fields = [name for name in EDITABLE_FIELDS if name not in NOT_EDITED]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in self.Meta.fields:
            self.fields[name].show_hidden_initial = True

    def edits(self) -> dict:
        return {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.changed_data}

    def rebase(self, event: Event) -> None:
        """Bases the same edits on the event as it is now."""
        for name in self.Meta.fields:
            stored = getattr(event, name)
            if name not in self.changed_data:
                # Browsers do not send a checkbox that is off.
                self.data.setlist(name, [] if stored is False else [self.as_sent(name, stored)])
            self.data[self.add_initial_prefix(name)] = self.as_sent(name, stored)
        self.data["version"] = event.version

    def as_sent(self, name: str, value) -> str:
        """A value as the page has it in its inputs."""
        if isinstance(value, bool):
            return str(value)
        field = self.fields[name]
        text = field.widget.format_value(field.prepare_value(value))
        # Radio buttons have their value in a list.
        text = text[0] if isinstance(text, list) else text
        return "" if text is None else str(text)

    def differs(self, name: str, event: Event) -> bool:
        """Whether the event's value is no longer the one that the page showed."""
        try:
            shown = self.fields[name].to_python(self.data.get(self.add_initial_prefix(name)))
        except forms.ValidationError:
            shown = None
        return self.fields[name].has_changed(shown, self.as_sent(name, getattr(event, name)))


class EditEvent(EventEdit):
    name, title, button = "edit", "Edit event", "Save"
    form_class = EditForm

    def initial(self):
        return {**super().initial(), **{name: getattr(self.subject, name) for name in EditForm.Meta.fields}}

    def preview(self, form):
        event = self.subject
        if form.cleaned_data["version"] != event.version:
            self.table = two_versions(event, form)
            form.rebase(event)
            raise StaleVersion("Nothing was saved: somebody else changed this event meanwhile.")
        edits = form.edits()
        if not edits:
            raise InvalidTerms("Nothing is different from what is stored.")
        lines = [
            f"{LABELS[name]}: {format_value(name, getattr(event, name))} → {format_value(name, value)}"
            for name, value in edits.items()
        ]
        policy = edits.get("waitlist_policy", event.waitlist_policy)
        forecast = self.forecast(ChangeTerms(event.total_tickets, policy))
        if edits.get("waitlist_enabled") is False and event.waitlisted_count:
            lines.append("No other booking can wait. Those that wait keep their places and are still served.")
        if forecast.promoted:
            lines += [formatting.promotes(forecast), formatting.counts_after(forecast)]
        return Preview(lines)

    def carry_out(self, form):
        change = self.save(form, form.edits())
        return Report([f"Saved {change.event}.", formatting.served(change.served, verb="Promoted")])


def two_versions(event: Event, form: EditForm) -> Table:
    """The table of what was edited here, and of what has changed since the page was shown."""
    rows, edits = [], form.edits()
    for name in form.Meta.fields:
        is_changed = form.differs(name, event)
        if name in edits or is_changed:
            edit = format_value(name, edits[name]) if name in edits else "not edited"
            conflict = "both changed it" if name in edits and is_changed else ""
            rows.append([LABELS[name], format_value(name, getattr(event, name)), edit, conflict])
    caption = "Your edits are above, on top of what is stored now. Look at what will happen, then save."
    return Table(f"{last_change(event)} {caption}".strip(), ["Field", "Stored now", "Yours", "Look at"], rows)


def last_change(event: Event) -> str:
    changes = LedgerEntry.objects.filter(event=event, booking=None).exclude(kind=LedgerKind.OPENED)
    last = changes.select_related("actor").order_by("-sequence").first()
    return f"{last.actor} changed it {format_time(last.created_at)}." if last and last.actor else ""


class SalesForm(VersionForm):
    OPEN, CLOSE, TIMES = "open", "close", "times"

    refused_fields = {"salesEnd": "sales_end"}

    what = forms.ChoiceField(
        label="What to do",
        widget=forms.RadioSelect,
        choices=[(OPEN, "Open sales now"), (CLOSE, "Close sales now"), (TIMES, "Set the times below")],
    )
    sales_start = MomentField(label="Sales start", required=False, help_text="UTC. Empty: on sale at once.")
    sales_end = MomentField(label="Sales end", required=False, help_text="UTC. Empty: no end.")

    def clean(self):
        values = super().clean()
        start, end = values.get("sales_start"), values.get("sales_end")
        if values.get("what") == self.TIMES and start and end and end <= start:
            self.add_error("sales_end", "Sales must end after they start.")
        return values


class OpenOrCloseSales(EventEdit):
    name, title, button = "sales", "Open or close sales", "Save"
    form_class = SalesForm

    def initial(self):
        what = self.request.GET.get("what")
        return {
            **super().initial(),
            "what": what if what in dict(SalesForm.base_fields["what"].choices) else SalesForm.TIMES,
            "sales_start": self.subject.sales_start,
            "sales_end": self.subject.sales_end,
        }

    def changes(self, form) -> dict:
        # The time has whole seconds, since the page shows and sends them so.
        now = timezone.now().replace(microsecond=0)
        match form.cleaned_data["what"]:
            case SalesForm.OPEN:
                return sales_opened(self.subject, now=now)
            case SalesForm.CLOSE:
                return sales_closed(self.subject, now=now)
        return {name: form.cleaned_data[name] for name in ("sales_start", "sales_end")}

    def preview(self, form):
        self.refuse_stale(form)
        lines = [sales_window(**self.changes(form))]
        if self.subject.waitlisted_count:
            lines.append("Bookings that wait keep their places and are still served when tickets come back.")
        return Preview(lines)

    def carry_out(self, form):
        event = self.save(form, self.changes(form)).event
        return Report([f"{event}: {sales_window(event.sales_start, event.sales_end)}"])


def sales_window(sales_start: datetime | None, sales_end: datetime | None) -> str:
    """Whether anybody can book now, and until when."""
    now = timezone.now()
    if sales_end and sales_end <= now:
        return f"Sales are closed since {exact_time(sales_end)}: nobody can book."
    if sales_start and sales_start > now:
        end = f" and end {exact_time(sales_end)}" if sales_end else ""
        return f"Sales open {exact_time(sales_start)}{end}; nobody can book before."
    until = f" until {exact_time(sales_end)}" if sales_end else ""
    return f"Sales are open{until}: anybody can book."
