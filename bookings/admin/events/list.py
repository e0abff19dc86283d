"""The list of events. There are only thousands, so each page may read all of them once for its totals."""

from functools import cached_property

from django.core.paginator import Paginator
from django.db.models import Count, Q, QuerySet, Sum

from bookings.admin.links import event_url
from bookings.admin.lists import FilteredList
from ticks.formatting import counted
from ticks.parsing import parse_id

SUMS = ("total_tickets", "available_tickets", "waitlisted_count", "waitlisted_tickets")


class TotalsPaginator(Paginator):
    """Counts the rows and adds their numbers up in one query: there are thousands of events, not a million."""

    @cached_property
    def totals(self) -> dict[str, int]:
        sums = {f"sum_{name}": Sum(name) for name in SUMS}
        totals = self.object_list.aggregate(sum_events=Count("pk"), **sums)
        return {name.removeprefix("sum_"): int(number or 0) for name, number in totals.items()}

    @property
    def count(self) -> int:
        return self.totals["events"]


class EventList(FilteredList):
    def filter_rows(self, rows: QuerySet, *, q, state, since, until, waits) -> QuerySet:
        rows = rows.in_state(state)
        if since:
            rows = rows.filter(date__gte=since)
        if until:
            rows = rows.filter(date__lt=until)
        if waits:
            rows = rows.filter(waitlisted_count__gt=0)
        for word in q.split():
            number = parse_id(word.removeprefix("#"))
            contains_word = Q(name__icontains=word) | Q(venue__icontains=word)
            rows = rows.filter(contains_word if number is None else contains_word | Q(pk=number))
        return rows

    def url_for_result(self, result):
        return event_url(result.pk)

    @property
    def summary(self) -> str:
        totals = self.paginator.totals
        held = totals["total_tickets"] - totals["available_tickets"]
        waiting = totals["waitlisted_count"]
        waitlist = f"{counted(waiting, 'booking')} waiting for {counted(totals['waitlisted_tickets'], 'ticket')}"
        return (
            f"{counted(totals['events'], 'event')}: {held:,} of {counted(totals['total_tickets'], 'ticket')} held, "
            f"{waitlist if waiting else 'nobody waits'}"
        )
