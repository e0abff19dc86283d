from collections import defaultdict
from collections.abc import Collection
from datetime import date, datetime, tzinfo
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import connection, models
from django.db.models import F, Q, Sum
from django.utils import timezone
from django.utils.functional import cached_property

from ticks.db.fields import ExactTextField
from ticks.parsing import EARLIEST, LATEST, MAX_TICKETS, is_day, moment_of
from ticks.search import contains_words, fold_words, search_text
from ticks.zones import end_of_day, fault_of_zone

# Lists search these fields, by `search_text`.
SEARCHED = ("name", "venue", "description")
STATES = [
    ("on_sale", "On sale"),
    ("sold_out", "Sold out"),
    ("not_open", "Not open yet"),
    ("closed", "Closed"),
    ("cancelled", "Cancelled"),
]
BOUNDS = [
    MinValueValidator(EARLIEST, "Choose a time from the year 1900 on."),
    MaxValueValidator(LATEST, "Choose a time before the year 9999."),
]


def default_time_zone() -> str:
    return settings.EVENT_TIME_ZONE


def validate_time_zone(name: str) -> None:
    if fault := fault_of_zone(name):
        raise ValidationError(fault)


def is_on_sale(now: datetime) -> Q:
    has_opened = Q(sales_start=None) | Q(sales_start__lte=now)
    is_open = Q(sales_end=None) | Q(sales_end__gt=now)
    return Q(deleted_at=None) & has_opened & is_open


class EventQuerySet(models.QuerySet):
    def standing(self):
        """The events that are not deleted, which readers and buyers see."""
        return self.filter(deleted_at=None)

    def search(self, text: str):
        """The events that have each word of a text in their name, venue or description."""
        words = fold_words(text)
        return self.filter(contains_words(words, SEARCHED)) if words else self.none()

    def dated(self, lookup: str, value: datetime | date):
        """The events whose date compares so (`gte`, `lt`, ...) with a moment, or with a day's beginning in the zone of
        each event."""
        if not is_day(value):
            return self.filter(**{f"date__{lookup}": value})
        zones: dict[datetime, list[str]] = defaultdict(list)
        for name in Event.objects.order_by().values_list("time_zone", flat=True).distinct():
            zones[moment_of(value, ZoneInfo(name))].append(name)
        wanted = Q(pk__in=[])
        for moment, names in zones.items():
            wanted |= Q(time_zone__in=names, **{f"date__{lookup}": moment})
        return self.filter(wanted)

    def available(self):
        return self.filter(available_tickets__gt=0)

    def sold_out(self):
        return self.filter(available_tickets=0)

    def count_bookings(self, event_id: int | None = None, status: str | None = None) -> int:
        """The number of bookings of one event or of all, with one status or with any, taken from the events' counts."""
        events = self if event_id is None else self.filter(pk=event_id)
        column = F("booking_count")
        if status == "cancelled":
            column = F("booking_count") - F("completed_count") - F("waitlisted_count")
        elif status:
            column = F(f"{status}_count")
        return events.aggregate(n=Sum(column))["n"] or 0

    def on_sale(self, now):
        return self.filter(is_on_sale(now))

    def bookable(self):
        return self.on_sale(timezone.now()).available()

    def not_bookable(self):
        return self.exclude(is_on_sale(timezone.now()), available_tickets__gt=0)

    def in_state(self, state: str):
        """Events of one of `STATES`; without a state every event that is not cancelled."""
        now = timezone.now()
        match state:
            case "on_sale":
                return self.bookable()
            case "sold_out":
                return self.on_sale(now).sold_out()
            case "not_open":
                return self.standing().filter(sales_start__gt=now)
            case "closed":
                return self.standing().filter(sales_end__lte=now)
            case "cancelled":
                return self.exclude(deleted_at=None)
        return self.standing()


class Event(models.Model):
    """Something with a fixed number of tickets.

    The counts and `ledger_sequence` move only in `bookings.services`, under a lock on this row.
    """

    class WaitlistPolicy(models.TextChoices):
        FIRST_FIT = "first_fit", "First fit: the earliest booking that fits whole"
        STRICT = "strict", "Strict: nobody passes the head of the queue"

    # These are the fields that staff may set, in the order of forms and files: `EDITABLE_FIELDS`.
    name = models.CharField(max_length=200)
    date = models.DateTimeField(
        null=True,
        blank=True,
        db_index=True,
        validators=BOUNDS,
        help_text="Empty for events made by the one-ticket contract.",
    )
    # Servers of the version before insert events without it.
    time_zone = models.CharField(
        max_length=64, validators=[validate_time_zone], default=default_time_zone, db_default="UTC"
    )
    venue = models.CharField(max_length=200, blank=True)
    description = models.TextField(max_length=5000, blank=True)
    total_tickets = models.PositiveIntegerField(validators=[MinValueValidator(1), MaxValueValidator(MAX_TICKETS)])
    max_tickets_per_booking = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TICKETS)],
        help_text="Empty: as many as the event has.",
    )
    max_tickets_per_person = models.PositiveIntegerField(
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(MAX_TICKETS)],
        help_text="Held and waiting, of an account or of a guest's mail address. Empty: no limit.",
    )
    sales_start = models.DateTimeField(null=True, blank=True, validators=BOUNDS, help_text="Empty: on sale at once.")
    sales_end = models.DateTimeField(
        null=True, blank=True, validators=BOUNDS, help_text="Empty: on sale until it is deleted."
    )
    waitlist_enabled = models.BooleanField(default=True)
    waitlist_policy = models.CharField(max_length=16, choices=WaitlistPolicy.choices, default=WaitlistPolicy.FIRST_FIT)

    available_tickets = models.PositiveIntegerField(editable=False)
    booking_count = models.PositiveIntegerField(
        default=0, editable=False, help_text="All bookings ever made, cancelled ones too."
    )
    completed_count = models.PositiveIntegerField(default=0, editable=False, help_text="Bookings that hold tickets.")
    waitlisted_count = models.PositiveIntegerField(default=0, editable=False, help_text="Waiting bookings.")
    waitlisted_tickets = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Tickets that the waiting bookings want."
    )
    ledger_sequence = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="Number of the event's latest ledger entry."
    )

    search_text = ExactTextField(null=True, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False, help_text="Rises with every staff edit.")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+", editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        # Events are cancelled, not deleted, so the permission has a name of its own.
        permissions = [("cancel_event", "Can cancel event")]
        constraints = [
            models.CheckConstraint(condition=Q(total_tickets__gte=1), name="event_has_tickets"),
            models.CheckConstraint(
                condition=Q(available_tickets__gte=0, available_tickets__lte=F("total_tickets")),
                name="event_available_within_total",
            ),
            models.CheckConstraint(
                condition=Q(booking_count__gte=F("completed_count") + F("waitlisted_count")),
                name="event_counts_live_bookings",
            ),
            # Each completed booking holds at least one ticket, so a deleted event has none.
            models.CheckConstraint(
                condition=Q(total_tickets__gte=F("available_tickets") + F("completed_count")),
                name="event_completed_within_held",
            ),
            # Each waiting booking wants at least one ticket, and only waiting bookings do.
            models.CheckConstraint(
                condition=Q(waitlisted_tickets__gte=F("waitlisted_count"))
                & (Q(waitlisted_count__gte=1) | Q(waitlisted_tickets=0)),
                name="event_waiting_want_tickets",
            ),
            models.CheckConstraint(condition=Q(version__gte=1), name="event_version_from_one"),
            models.CheckConstraint(
                condition=Q(max_tickets_per_booking=None) | Q(max_tickets_per_booking__gte=1),
                name="event_booking_limit_from_one",
            ),
            models.CheckConstraint(
                condition=Q(max_tickets_per_person=None) | Q(max_tickets_per_person__gte=1),
                name="event_person_limit_from_one",
            ),
            models.CheckConstraint(
                condition=Q(sales_start=None) | Q(sales_end=None) | Q(sales_end__gt=F("sales_start")),
                name="event_sales_end_after_start",
            ),
            models.CheckConstraint(condition=Q(waitlist_policy__in=["first_fit", "strict"]), name="event_policy_known"),
            models.CheckConstraint(
                condition=Q(deleted_at=None) | Q(waitlisted_count=0, available_tickets=F("total_tickets")),
                name="event_deleted_holds_nothing",
            ),
        ]

    def __str__(self):
        return self.name

    def save(self, *args, update_fields=None, **kwargs):
        if update_fields is None or not {*SEARCHED}.isdisjoint(update_fields):
            self.search_text = search_text(*(getattr(self, name) for name in SEARCHED))
            update_fields = update_fields and {*update_fields, "search_text"}
        super().save(*args, update_fields=update_fields, **kwargs)

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.time_zone)

    @property
    def held_tickets(self) -> int:
        return self.total_tickets - self.available_tickets

    @cached_property
    def sales_open(self) -> bool:
        """Whether it can be booked, apart from how many tickets are left.

        It is computed once. Otherwise sales could begin or end between an answer and its `ETag`.
        """
        now = timezone.now()
        has_started = self.sales_start is None or self.sales_start <= now
        return has_started and not self.has_ended(now) and self.deleted_at is None

    def has_ended(self, now: datetime) -> bool:
        """Whether sales have ended. Then nothing is booked, and only staff promote waiting bookings."""
        return self.sales_end is not None and self.sales_end <= now

    @property
    def state(self) -> str:
        """The name of its state, one of `STATES`."""
        now = timezone.now()
        if self.deleted_at:
            return "Cancelled"
        if self.has_ended(now):
            return "Closed"
        if self.sales_start and self.sales_start > now:
            return "Not open yet"
        return "On sale" if self.available_tickets else "Sold out"

    @property
    def etag(self) -> str:
        """Changes with every staff edit, with every ticket, and when sales open or close. `If-Match` compares the part
        before the first dot."""
        closed = "" if self.sales_open else ".closed"
        return f'"{self.version}.{self.ledger_sequence}{closed}"'


def default_sales_end(when: datetime | date, zone: tzinfo) -> datetime:
    """When sales of a new event end unless staff choose: at its date, or at the end of that day if it has no time."""
    return min(end_of_day(when, zone), LATEST) if is_day(when) else when


EDITABLE_FIELDS = [field.name for field in Event._meta.concrete_fields if field.editable and not field.primary_key]


COUNTS_SQL = (
    "SELECT id, available_tickets, waitlisted_count"  # noqa: S608
    f" FROM {Event._meta.db_table} WHERE deleted_at IS NULL AND id IN "
)


def counts_of(event_ids: Collection[int]) -> dict[int, tuple[int, int]]:
    """Tickets left and bookings waiting, by event id; an event that does not exist is left out.

    Many clients poll it, so the SQL is built once. The ORM takes six times as long.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"{COUNTS_SQL}({', '.join(['%s'] * len(event_ids))})", list(event_ids))
        return {event_id: counts for event_id, *counts in cursor.fetchall()}
