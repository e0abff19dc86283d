import pytest

from accounts.tests.factories import UserFactory
from bookings.models import LedgerEntry
from bookings.tests.factories import BookingFactory, EventFactory

pytestmark = pytest.mark.django_db

LIST = "/admin/bookings/ledgerentry/"


def found(client, **query):
    return [(entry.event.name, entry.kind) for entry in client.get(LIST, query).context["cl"].result_list]


@pytest.mark.parametrize("is_known", [True, False])
def test_ledger_without_staff_status_leads_to_login(client, is_known):
    if is_known:
        client.force_login(UserFactory())

    response = client.get(LIST)

    assert response.status_code == 302
    assert response["Location"] == f"/admin/login/?next={LIST}"


def test_ledger_list_filters_and_searches(box_office):
    booking = BookingFactory(event=EventFactory(name="Chamber night"))
    BookingFactory(event=EventFactory(name="Gala"), user=None)

    assert found(box_office) == [
        ("Gala", "booked"),
        ("Gala", "opened"),
        ("Chamber night", "booked"),
        ("Chamber night", "opened"),
    ]
    assert found(box_office, kind__exact="opened") == [("Gala", "opened"), ("Chamber night", "opened")]
    assert found(box_office, q="chamber") == [("Chamber night", "booked"), ("Chamber night", "opened")]
    assert found(box_office, q=booking.reference.lower()) == [("Chamber night", "booked")]
    assert found(box_office, event__id__exact=booking.event_id, kind__exact="booked") == [("Chamber night", "booked")]
    assert "a guest" in box_office.get(LIST).content.decode()


@pytest.mark.parametrize("rows", [1, 3])
def test_ledger_list_costs_the_same_for_any_length(box_office, rows, django_assert_num_queries):
    for _ in range(rows):
        BookingFactory()

    # Session, user, count, rows.
    with django_assert_num_queries(4):
        box_office.get(LIST)


def test_ledger_entry_is_for_reading(box_office):
    BookingFactory()
    entry = LedgerEntry.objects.get(kind="booked")
    url = f"{LIST}{entry.pk}/change/"

    response = box_office.get(url)

    assert response.status_code == 200
    assert 'name="_save"' not in response.content.decode()
    assert box_office.post(url, {"tickets": 5}).status_code == 403
    assert box_office.get(f"{LIST}add/").status_code == 403
    assert box_office.post(f"{LIST}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    box_office.post(LIST, {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert LedgerEntry.objects.get(pk=entry.pk).tickets == 1
    assert LedgerEntry.objects.count() == 2
