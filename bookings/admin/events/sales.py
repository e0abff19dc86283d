"""Opening and closing an event's sales, now or at a time."""

from django import forms
from django.utils import timezone

from bookings.admin import fields
from bookings.admin.action import Preview, Report
from bookings.admin.events.actions import EditForm, EventEdit
from bookings.exceptions import InvalidTerms
from bookings.services.events import sales_closed, sales_opened
from ticks.formatting import exact_time


class SalesForm(EditForm):
    OPEN, CLOSE, TIMES = "open", "close", "times"

    refused_fields = {"salesEnd": "sales_end"}

    what = forms.ChoiceField(
        label="What to do",
        widget=forms.RadioSelect,
        choices=[(OPEN, "Open sales now"), (CLOSE, "Close sales now"), (TIMES, "Set the times below")],
    )
    sales_start = fields.moment(label="Sales start", required=False, help_text="UTC. Empty: on sale at once.")
    sales_end = fields.moment(label="Sales end", required=False, help_text="UTC. Empty: no end.")

    def clean(self):
        wanted = super().clean()
        start, end = wanted.get("sales_start"), wanted.get("sales_end")
        if wanted.get("what") == self.TIMES and start and end and end <= start:
            self.add_error("sales_end", "Sales must end after they start.")
        return wanted


class OpenOrCloseSales(EventEdit):
    name, title, button = "sales", "Open or close sales", "Save"
    form_class = SalesForm

    def initial(self):
        event = self.subject
        asked = self.request.GET.get("what")
        what = asked if asked in dict(SalesForm.base_fields["what"].choices) else None
        return {
            **super().initial(),
            "what": what or SalesForm.TIMES,
            "sales_start": event.sales_start,
            "sales_end": event.sales_end,
        }

    def wanted(self, form) -> dict:
        # Whole seconds: what the page shows and sends back.
        now = timezone.now().replace(microsecond=0)
        match form.cleaned_data["what"]:
            case SalesForm.OPEN:
                return sales_opened(self.subject, now=now)
            case SalesForm.CLOSE:
                return sales_closed(self.subject, now=now)
        return {name: form.cleaned_data[name] for name in ("sales_start", "sales_end")}

    def preview(self, form):
        stale = self.stale(form)
        if stale:
            return Preview([], refusal=stale)
        try:
            wanted = self.wanted(form)
        except InvalidTerms as refusal:
            return Preview([], refusal=refusal)
        lines = [window(wanted["sales_start"], wanted["sales_end"])]
        if self.subject.waitlisted_count:
            lines.append("Who waits keeps their place and is still served when tickets come back.")
        return Preview(lines)

    def carry_out(self, form):
        event = self.edited(form, self.wanted(form)).event
        return Report([f"{event}: {window(event.sales_start, event.sales_end)}"])


def window(start, end) -> str:
    """Whether anybody can book, and until when."""
    now = timezone.now()
    if end and end <= now:
        return f"Sales are closed since {exact_time(end)}: nobody can book."
    until = f" until {exact_time(end)}" if end else ""
    if start and start > now:
        return f"Sales open {exact_time(start)}{f' and end {exact_time(end)}' if end else ''}; nobody can book before."
    return f"Sales are open{until}: anybody can book."
