from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import AttemptCounter, LoginSession, User
from bookings.management.commands import seed_demo
from bookings.models import Booking, IdempotencyKey, LedgerEntry
from bookings.services import upkeep
from bookings.services.booking import BookingRequest, book_tickets
from bookings.services.events import close_event
from bookings.services.verification import verify_events
from bookings.tests.factories import BookingFactory, EventFactory
from events.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def password_file(tmp_path, monkeypatch):
    monkeypatch.setattr(seed_demo, "PASSWORD_FILE", tmp_path / "local" / "password")
    return tmp_path / "local" / "password"


def run(command, **options):
    out = StringIO()
    call_command(command, stdout=out, **options)
    return out.getvalue()


def test_seed_demo_makes_events_in_every_state(password_file):
    said = run("seed_demo")

    now = timezone.now()
    assert Event.objects.count() == 12
    assert Event.objects.on_sale(now).filter(available_tickets__gt=10).exists()
    assert Event.objects.on_sale(now).filter(available_tickets__range=(1, 3)).count() == 2
    waiting = Booking.objects.waitlisted()
    assert waiting.filter(tickets_reserved__gte=2, event__available_tickets=0).count() > 2
    assert Event.objects.filter(sales_start__gt=now).count() == 2
    assert Event.objects.filter(date__lt=now, sales_end__lt=now).count() == 1
    assert [report.findings for report in verify_events()] == [[]] * 12
    admin = User.objects.get(username="admin")
    assert admin.is_superuser
    assert admin.check_password(password_file.read_text())
    assert password_file.stat().st_mode & 0o777 == 0o600
    assert said.endswith(f"Demo admin: admin, password {password_file.read_text()}\n")


def test_seed_demo_twice_changes_nothing():
    run("seed_demo")
    before = [Event.objects.count(), Booking.objects.count(), LedgerEntry.objects.count(), User.objects.count()]

    said = run("seed_demo")

    after = [Event.objects.count(), Booking.objects.count(), LedgerEntry.objects.count(), User.objects.count()]
    assert after == before
    assert said.startswith("Demo data: 0 events made, 12 were there.\n")


def test_seed_demo_if_empty_leaves_a_used_database_alone():
    EventFactory()

    said = run("seed_demo", if_empty=True)

    assert said == ""
    assert Event.objects.count() == 1


def test_seed_demo_does_not_tell_a_changed_password(password_file):
    run("seed_demo")
    admin = User.objects.get(username="admin")
    admin.set_password("another one 17")
    admin.save()

    assert "password" not in run("seed_demo")


def test_prune_keeps_keys_as_long_as_the_setting_says(settings):
    settings.IDEMPOTENCY_HOURS = 48
    book_tickets(BookingRequest(event_id=EventFactory().pk, tickets=1, first_name="Ada"), key="k")

    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=47))
    assert run("prune").startswith("Deleted 0 idempotency keys")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=49))
    assert run("prune").startswith("Deleted 1 idempotency keys")


def test_prune_says_which_cancellation_it_could_not_finish(monkeypatch, admin_user):
    monkeypatch.setattr("bookings.services.events.BOOKINGS_A_PART", 1)
    event = EventFactory(total_tickets=9)
    BookingFactory.create_batch(3, event=event)
    close_event(event.pk, actor=admin_user)

    def fail(event_id, **options):
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "finish_cancellation", fail)
        with pytest.raises(CommandError, match=rf"^The cancellation of 1 event \({event.pk}\) could not be finished."):
            run("prune")
    run("prune")

    assert not Booking.objects.live().exists()


def test_prune_deletes_only_what_has_run_out(user):
    event = EventFactory()
    now = timezone.now()
    for number, hours in enumerate((23, 25)):
        request = BookingRequest(event_id=event.pk, tickets=1, first_name="Ada")
        book_tickets(request, key=f"key {number}")
        IdempotencyKey.objects.filter(booking=Booking.objects.first()).update(created_at=now - timedelta(hours=hours))
    for days in (-1, 1):
        moment = now + timedelta(days=days)
        LoginSession.objects.create(user=user, refresh_hash="x", expires_at=moment)
        AttemptCounter.objects.create(key="k", window=days + 1, expires_at=moment)

    said = run("prune")

    assert (
        said == "Deleted 1 idempotency keys, 2 expired logins and attempt counters, 0 old rows of mails and webhooks.\n"
    )
    assert IdempotencyKey.objects.get().created_at > now - timedelta(hours=24)
    assert LoginSession.objects.get().expires_at > now
    assert AttemptCounter.objects.get().expires_at > now
    assert Booking.objects.count() == 2
