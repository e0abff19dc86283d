"""A client that openapi-python-client generates from the schema books, replays and cancels on a running server."""

import importlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import get_type_hints

import pytest
from django.conf import settings
from django.core.management import call_command

PASSWORD = "nine lovely engines"


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """The generated package; no network is needed, only the schema's file."""
    directory = tmp_path_factory.mktemp("generated")
    call_command("spectacular", format="openapi-json", file=str(directory / "schema.json"))
    # It takes a file only as this type.
    overrides = "content_type_overrides:\n  application/pdf: application/octet-stream\n"
    (directory / "config.yaml").write_text(f"post_hooks: []\n{overrides}")
    subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none", "--fail-on-warning"),
            *("--path", "schema.json", "--config", "config.yaml", "--output-path", "ticks_client"),
        ],
        cwd=directory,
        check=True,
        timeout=60,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(directory))
        importlib.import_module("ticks_client.models")
        yield importlib.import_module("ticks_client")


def operation(name):
    """The generated module of an operation, which has `sync_detailed`."""
    [path] = Path(importlib.import_module("ticks_client").__file__).parent.glob(f"api/*/{name}.py")
    return importlib.import_module(f"ticks_client.api.{path.parent.name}.{name}")


def send(name, *args, **kwargs):
    return operation(name).sync_detailed(*args, **kwargs)


def test_requests_have_plain_types(client):
    models = client.models
    hints = get_type_hints(models.EventCreateRequest)
    requests = [getattr(models, name) for name in models.__all__ if name.endswith("Request")]

    assert hints["date"] is datetime
    assert str(hints["sales_end"]) == "datetime.datetime | None | ticks_client.types.Unset"
    assert hints["total_tickets"] is int
    assert operation("get_event").sync.__annotations__["id"] is int
    assert len(requests) > 8
    assert [model for model in requests if "Any" in {str(hint) for hint in get_type_hints(model).values()}] == []


@pytest.fixture
def callers(client, start, port, database, tmp_path):
    """Starts the server; gives the generated clients of a guest and of an admin."""
    start()
    environment = {**os.environ, **database, "TICKS_ENV_FILE": "", "LOCAL_DIR": str(tmp_path / ".local")}
    environment |= {"LOG_DIR": str(tmp_path / "logs"), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    subprocess.run(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "createsuperuser", "--noinput", "--username", "keeper",
         "--email", "keeper@example.org"],
        env=environment,
        check=True,
        timeout=60,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    with client.Client(base_url=address, raise_on_unexpected_status=True) as guest:
        login = send("log_in", client=guest, body=client.models.LoginRequest(username="keeper", password=PASSWORD))
        with client.AuthenticatedClient(base_url=address, token=login.parsed.data.token) as admin:
            yield guest, admin


@pytest.mark.django_db(transaction=True)
def test_generated_client_books_replays_and_cancels(client, callers):
    models, (guest, admin) = client.models, callers
    date = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
    made = send("create_event", client=admin, body=models.EventCreateRequest(name="Gala", date=date, total_tickets=3))
    event = made.parsed.data
    wanted = models.BookingCreateRequest(
        event_id=event.id, first_name="Ada", last_name="Lovelace", email="ada@example.org", tickets_reserved=2
    )

    booked = send("book_tickets", client=guest, body=wanted, idempotency_key="key-of-ada")
    replayed = send("book_tickets", client=guest, body=wanted, idempotency_key="key-of-ada")
    waiting = send("book_tickets", client=guest, body=wanted, idempotency_key="key-of-bob").parsed.data
    booking = booked.parsed.data
    key = {"client": guest, "booking_token": booking.booking_token}
    read = send("get_booking", booking.id, **key)
    part = send("cancel_booking", booking.id, body=models.CancellationRequest(tickets_to_cancel=1), **key)
    status = send("get_event_status", event.id, client=guest).parsed.data
    served = send("get_booking", waiting.id, client=guest, booking_token=waiting.booking_token).parsed.data
    rest = send("cancel_booking", booking.id, body=models.CancellationRequest(), **key)
    again = send("cancel_booking", booking.id, body=models.CancellationRequest(), **key)
    events = send("list_events", client=admin, date_from=date, date_to=date).parsed

    assert (made.status_code, event.date, event.available_tickets) == (201, date, 3)
    assert made.headers["Location"] == f"/api/v1/event/{event.id}"
    assert (booked.status_code, booked.parsed.error, booking.booking_status) == (201, False, "completed")
    assert booked.headers["Location"] == f"/api/v1/booking/{booking.id}"
    assert replayed.content == booked.content
    assert replayed.headers["Idempotent-Replayed"] == "true"
    assert (read.status_code, read.parsed.data.tickets_reserved) == (200, 2)
    assert (waiting.booking_status, served.booking_status) == ("waitlisted", "completed")
    assert (part.status_code, status.available_tickets, rest.status_code) == (200, 0, 200)
    assert (again.status_code, again.parsed.code, again.parsed.error) == (409, "already_cancelled", True)
    assert [listed.id for listed in events.data] == [event.id]
    assert (events.pagination.count, events.pagination.next_) == (1, None)
