"""Each field of an event that staff may set is in every place that shows, takes or copies an event.

A new field of the model fails here until it is in all of them. A place that leaves one out says why.
"""

from datetime import UTC, datetime

import pytest

from bookings.admin.events.actions import OpenOrCloseSales
from bookings.admin.events.adding import FIELDS_BY_TITLE, AddEventForm, plain_title
from bookings.admin.events.admin import NO_TERMS
from bookings.admin.events.forms import EditForm
from bookings.admin.exports import EVENT_COLUMNS
from bookings.rehearsal.copy import COPIED
from bookings.tests.admin.confirming import url_of
from bookings.tests.factories import EventFactory
from events.models import EDITABLE_FIELDS
from events.serializers import EventChangeSerializer, EventCreateSerializer, EventSerializer, event_data


def sources(serializer) -> set[str]:
    return {field.source for field in serializer().fields.values()}


PLACES = {
    "add page": set(AddEventForm.base_fields),
    "edit page": set(EditForm.base_fields),
    "import": set(FIELDS_BY_TITLE.values()),
    "export": {FIELDS_BY_TITLE.get(plain_title(title)) for title in EVENT_COLUMNS},
    "API, create": sources(EventCreateSerializer),
    "API, change": sources(EventChangeSerializer),
    "API, read": sources(EventSerializer),
    "rehearsal": set(COPIED),
}
# These fields are missing from a place on purpose. Each has its reason.
EXCEPTIONS = {
    "edit page": {
        "total_tickets": "It has a page of its own, since more tickets serve the waitlist.",
        "sales_start": "It has a page of its own, which opens and closes sales.",
        "sales_end": "It has a page of its own, which opens and closes sales.",
    },
    "rehearsal": {
        "name": "The copy says in its name that it is a rehearsal.",
        "description": "The copy says in its description that it is not for sale.",
        "sales_start": "The copy is on sale at once.",
        "sales_end": "The copy is on sale until it is deleted.",
    },
}


@pytest.mark.parametrize("place", PLACES)
def test_every_field_is_in_every_place(place):
    assert set(EDITABLE_FIELDS) - PLACES[place] == EXCEPTIONS.get(place, {}).keys()


def test_every_field_that_is_read_is_answered():
    answer = event_data(EventFactory.build(pk=1, created_by_id=1))

    assert answer.keys() == EventSerializer().fields.keys()


def test_fields_that_the_edit_page_leaves_out_are_on_other_pages():
    assert {"sales_start", "sales_end"} <= OpenOrCloseSales.form_class.base_fields.keys()


@pytest.mark.django_db
def test_every_field_is_on_the_page_of_the_event(superuser_client):
    texts = {"name": "The name", "venue": "The venue", "description": "The description"}
    event = EventFactory(**texts, total_tickets=4321, date=datetime(2080, 1, 2, tzinfo=UTC))

    response = superuser_client.get(url_of(event))

    terms = len(response.context["terms"])
    assert set(NO_TERMS) == {*texts, "date", "total_tickets"}
    assert terms == len(EDITABLE_FIELDS) - len(NO_TERMS)
    content = response.content.decode()
    for text in (*texts.values(), "4,321", event.date.isoformat()):
        assert text in content
