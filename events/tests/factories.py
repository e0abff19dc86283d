import factory
from django.utils import timezone

from accounts.tests.factories import UserFactory
from events.models import Event


class EventFactory(factory.django.DjangoModelFactory):
    """A row as readers find it. Where tickets move, use the factory of `bookings`: it keeps the ledger."""

    class Meta:
        model = Event

    name = factory.Sequence(lambda n: f"Concert {n}")
    total_tickets = 10
    available_tickets = factory.SelfAttribute("total_tickets")
    waitlisted_count = 0
    booking_count = factory.SelfAttribute("waitlisted_count")
    ledger_sequence = 1
    created_by = factory.SubFactory(UserFactory, is_staff=True)

    class Params:
        deleted = factory.Trait(deleted_at=factory.LazyFunction(timezone.now))
