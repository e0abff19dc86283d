import factory

from accounts.tests.factories import UserFactory
from bookings.models import Booking
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.events import open_event
from events.models import Event


class EventFactory(factory.django.DjangoModelFactory):
    """An event that its service made, with its ledger. `available_tickets` follows from the bookings."""

    class Meta:
        model = Event

    name = factory.Sequence(lambda n: f"Concert {n}")
    total_tickets = 10
    created_by = factory.SubFactory(UserFactory, is_staff=True)

    @classmethod
    def _create(cls, model_class, *args, created_by, **fields):
        return open_event(fields, actor=created_by)


class BookingFactory(factory.django.DjangoModelFactory):
    """A booking made by its service: completed or waitlisted, as the event has room. `user=None`: a guest."""

    class Meta:
        model = Booking

    event = factory.SubFactory(EventFactory)
    user = factory.SubFactory(UserFactory)
    tickets = 1
    first_name = "Ada"
    last_name = "Lovelace"
    email = factory.Sequence(lambda n: f"ada{n}@example.org")

    @classmethod
    def _create(cls, model_class, *args, event, **fields):
        receipt = book_tickets(BookingRequest(event_id=event.pk, **fields))
        booking = Booking.objects.get(pk=receipt.booking.pk)
        booking.token = receipt.token
        return booking
