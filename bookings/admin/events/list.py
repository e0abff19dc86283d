"""The list of events: there are thousands, so each page may read all of them once for its totals."""

from functools import cached_property

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Sum
from django.urls import reverse

from bookings.admin.lists import FilteredList
from events.admin import in_state
from ticks.formatting import counted
from ticks.parsing import parse_id

SUMS = ("total_tickets", "available_tickets", "waitlisted_count", "waitlisted_tickets")


class TotalsPaginator(Paginator):
    """Counts the rows and adds them up in one go."""

    @cached_property
    def totals(self) -> dict[str, int]:
        sums = {name: Sum(name) for name in SUMS}
        found = self.object_list.aggregate(events=Count("pk"), **{f"of_{name}": total for name, total in sums.items()})
        return {name.removeprefix("of_"): int(number or 0) for name, number in found.items()}

    @property
    def count(self) -> int:
        return self.totals["events"]


class EventList(FilteredList):
    def filtered(self, rows: QuerySet) -> QuerySet:
        asked, span = self.form.cleaned_data, self.form.span()
        rows = in_state(rows, asked["state"])
        if span.since:
            rows = rows.filter(date__gte=span.since)
        if span.until:
            rows = rows.filter(date__lt=span.until)
        if asked["waits"]:
            rows = rows.filter(waitlisted_count__gt=0)
        for word in asked["q"].split():
            number = parse_id(word.removeprefix("#"))
            of_word = Q(name__icontains=word) | Q(venue__icontains=word)
            rows = rows.filter(of_word if number is None else of_word | Q(pk=number))
        return rows

    def url_for_result(self, result):
        return reverse("admin:bookings_event_page", args=[result.pk])

    @property
    def summary(self) -> str:
        totals = self.paginator.totals
        held = totals["total_tickets"] - totals["available_tickets"]
        waiting = totals["waitlisted_count"]
        line = f"{counted(waiting, 'booking')} waiting for {counted(totals['waitlisted_tickets'], 'ticket')}"
        return (
            f"{counted(totals['events'], 'event')}: {held:,} of {counted(totals['total_tickets'], 'ticket')} held, "
            f"{line if waiting else 'nobody waits'}"
        )
