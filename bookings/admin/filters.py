"""Lists that are filtered by a form: each field is a filter, all of them optional."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo

from django import forms
from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ALL_VAR, IGNORED_PARAMS, PAGE_VAR, SEARCH_VAR, ChangeList
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.utils import timezone

from bookings.admin.fields import EventField
from events.models import Event
from ticks.formatting import usual_zone
from ticks.parsing import EARLIEST, LATEST, MAX_SEARCH
from ticks.zones import start_of_day

# Positions stand in the links of pages only.
NOT_FILTERS = {*IGNORED_PARAMS, "after", "before"} - {SEARCH_VAR}


def search_field(placeholder: str) -> forms.CharField:
    # The key `/` moves the focus to this id.
    attributes = {"type": "search", "id": "searchbar", "placeholder": placeholder}
    widget = forms.TextInput(attrs=attributes)
    return forms.CharField(label="Search", required=False, max_length=MAX_SEARCH, widget=widget)


def day_field(label: str) -> forms.DateField:
    message = "Choose a day from 1900 on."
    return forms.DateField(
        label=label,
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
        # The days before and after must be valid moments as well.
        validators=[
            MinValueValidator(EARLIEST.date() + timedelta(days=1), message),
            MaxValueValidator(LATEST.date() - timedelta(days=1), message),
        ],
    )


class FilterForm(forms.Form):
    """The first field is the search. Takes two days, both included, and returns where the first begins, and the day
    after the second: rows are from the one on and before the other."""

    use_required_attribute = False
    # These are the events that the text in the field may mean.
    events: Sequence[Event] = ()
    # Links to spans: the name, and the first and the last day as numbers of days from today on.
    spans: Sequence[tuple[str, int | None, int | None]] = [("Today", 0, None), ("7 days", -6, None)]

    since = day_field("From")
    until = day_field("to")

    def __init__(self, values: dict[str, str]):
        super().__init__(values, auto_id="filter-%s", label_suffix="")

    def clean(self):
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and until < since:
            self.add_error("until", "This is before the first day.")
        self.cleaned_data["since"] = since and self.start_of(since)
        self.cleaned_data["until"] = until and self.start_of(until + timedelta(days=1))
        return self.cleaned_data

    def start_of(self, day: date) -> datetime | date:
        return start_of_day(day, self.zone)

    @property
    def zone(self) -> tzinfo:
        """The time zone of the days: of the event that is filtered by, otherwise the usual one."""
        event = getattr(self, "cleaned_data", {}).get("event")
        return event.zone if event else usual_zone()


class ByEventFilterForm(FilterForm):
    event = EventField(several="Several events have this in their names. Type more of it, or choose one:")

    @property
    def events(self) -> Sequence[Event]:
        return self.fields["event"].events


class FilteredList(ChangeList):
    """A list with a form for its filters, `filter_form` of its admin. The form keeps what was typed, and shows what is
    wrong with it."""

    has_known_count = True

    def get_queryset(self, request, exclude_parameters=None):
        self.filter_specs, self.has_filters = [], False
        values = {name: value for name, value in self.params.items() if name not in NOT_FILTERS}
        if values.keys() - self.model_admin.filter_form.base_fields.keys():
            # With this error Django redirects to the whole list.
            raise IncorrectLookupParameters
        self.has_active_filters = any(values.values())
        self.form = self.model_admin.filter_form(values)
        if not self.form.is_valid():
            return self.root_queryset.none()
        rows = self.filter_rows(self.root_queryset, **self.form.cleaned_data)
        return rows.order_by(*self.get_ordering(request, rows))

    def filter_rows(self, rows: QuerySet, **values) -> QuerySet:
        """The rows that match the values of the form."""
        raise NotImplementedError

    def link(self, **changes) -> str:
        """The link to this list from its beginning, with some filters changed; None removes a filter."""
        return self.get_query_string({**dict.fromkeys(("after", "before", PAGE_VAR, ALL_VAR)), **changes})

    @property
    def event_links(self) -> list[tuple]:
        return [(event, self.link(event=event.pk)) for event in self.form.events]

    @property
    def span_links(self) -> list[tuple[str, str, bool]]:
        """The name of each span, the link that chooses it, and whether it is chosen."""
        today, chosen = (
            timezone.now().astimezone(self.form.zone).date(),
            [self.params.get(name) or None for name in ("since", "until")],
        )
        links = []
        for name, *days in self.form.spans:
            span = [None if number is None else str(today + timedelta(days=number)) for number in days]
            links.append((name, self.link(since=span[0], until=span[1]), span == chosen))
        return links


class FilteredAdmin(admin.ModelAdmin):
    """The options of a filtered list, newest rows first. Django's own search, filters and counts are off."""

    list_class: type[FilteredList]
    filter_form: type[FilterForm]
    ordering = ["-pk"]
    sortable_by = ()
    empty_value_display = ""
    preserve_filters = False
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_changelist(self, request, **kwargs):
        return self.list_class
