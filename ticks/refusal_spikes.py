"""Whether the API refuses more than it uses to."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Q, Sum

from ticks.models import RefusalMinute
from ticks.refusal_counts import minute_of

SPIKE = timedelta(minutes=5)
LATELY = timedelta(minutes=10)
BEFORE = timedelta(hours=1)
SPIKE_FROM = 20
TIMES_THE_USUAL = 3


@dataclass(frozen=True)
class CodeRefusals:
    code: str
    # In the last ten minutes, and in the hour before them.
    lately: int
    before: int


@dataclass(frozen=True)
class RefusalsLately:
    # Of the last ten minutes, most frequent first.
    codes: list[CodeRefusals]
    # In the last five minutes; in the last ten; in the hour before those.
    last_five: int
    lately: int
    before: int

    @property
    def is_spike(self) -> bool:
        """At least 20 in the last five minutes, and more than three times the usual of five minutes.

        The usual is what the hour before the last ten minutes had, evenly: so a spike of its first ten minutes is not
        measured by itself, one refusal after a silent hour is none, and neither is what a busy site refuses all day.
        What goes on counts as usual after half an hour; what ends is none after five minutes.
        """
        usual = self.before * (SPIKE / BEFORE)
        return self.last_five >= SPIKE_FROM and self.last_five > TIMES_THE_USUAL * usual


def refusals_lately(now: datetime) -> RefusalsLately:
    """What the API has refused in the last ten minutes, of which the current one has just begun; in one query."""
    this = minute_of(now)
    in_five, in_ten = Q(minute__gt=this - SPIKE), Q(minute__gt=this - LATELY)
    found = (
        RefusalMinute.objects.filter(minute__gt=this - LATELY - BEFORE, minute__lte=this)
        .values("code")
        .annotate(
            last_five=Sum("count", filter=in_five, default=0),
            lately=Sum("count", filter=in_ten, default=0),
            before=Sum("count", filter=~in_ten, default=0),
        )
        .order_by("-lately", "code")
    )
    rows = list(found)
    return RefusalsLately(
        codes=[CodeRefusals(row["code"], row["lately"], row["before"]) for row in rows if row["lately"]],
        **{name: sum(row[name] for row in rows) for name in ("last_five", "lately", "before")},
    )
