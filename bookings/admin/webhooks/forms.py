"""The forms of the staff's pages for webhooks."""

from datetime import timedelta

from django import forms

from bookings.admin import fields
from bookings.enums import LedgerKind
from bookings.services.webhooks.subscriptions import Terms
from ticks.actions import ActionForm
from ticks.formatting import usual_zone
from ticks.forms import LineField
from ticks.public_urls import fault_of_url

OVERLAPS = [
    (0, "At once: the former secret is known to others"),
    (60, "In an hour"),
    (24 * 60, "In a day"),
    (7 * 24 * 60, "In a week"),
]


class TermsForm(ActionForm):
    name = LineField(max_length=100, label="Name", help_text="For people: what is told, such as “Till” or “CRM”.")
    url = forms.CharField(
        max_length=500,
        label="Address",
        widget=forms.URLInput(attrs={"autocomplete": "off", "placeholder": "https://shop.example.org/ticks"}),
        help_text="It gets a POST request for each change, and must answer within ten seconds with a status of 2xx.",
    )
    event = fields.EventField(
        several="Several events have this in their names; type the number of one: %(events)s.",
        widget=forms.TextInput(fields.NO_AUTOCOMPLETE),
        help_text="Its number or name. If it is empty, changes of all events are sent.",
    )
    kinds = forms.MultipleChoiceField(
        required=False,
        label="What is sent",
        choices=LedgerKind.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="If none is ticked, everything is sent, also kinds that later versions add.",
    )

    def clean_url(self) -> str:
        url = self.cleaned_data["url"]
        if fault := fault_of_url(url):
            raise forms.ValidationError(fault)
        return url

    def terms(self) -> Terms:
        return Terms(*(self.cleaned_data[name] for name in Terms._fields))


class AddWebhookForm(TermsForm):
    NOW, BEGINNING = "now", "beginning"

    start = forms.ChoiceField(
        label="From when on",
        widget=forms.RadioSelect,
        choices=[(NOW, "What happens from now on"), (BEGINNING, "All that has happened as well")],
    )


class RotateForm(ActionForm):
    overlap = forms.TypedChoiceField(
        label="When does the former secret end?",
        widget=forms.RadioSelect,
        choices=OVERLAPS,
        coerce=int,
        help_text="Until then each message is signed with both, so that the receiver can change over at any time.",
    )

    def length(self) -> timedelta:
        return timedelta(minutes=self.cleaned_data["overlap"])


class SwitchOnForm(ActionForm):
    WHERE_IT_WAS, NOW = "where", "now"

    start = forms.ChoiceField(
        label="From when on",
        widget=forms.RadioSelect,
        choices=[
            (WHERE_IT_WAS, "Everything since it was switched off, and what waits"),
            (NOW, "Only what happens from now on"),
        ],
    )


class SpanForm(ActionForm):
    since = fields.MomentField(label="From")
    until = fields.MomentField(label="To")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        # The page of the webhook shows its messages' times in this zone.
        zone = usual_zone()
        for name in ("since", "until"):
            self.fields[name].zone = zone
            self.fields[name].help_text = f"When the messages were made, in the time zone {zone.key}."

    def clean(self):
        values = super().clean()
        since, until = values.get("since"), values.get("until")
        if since and until and until <= since:
            self.add_error("until", "This is not after the beginning.")
        return values
