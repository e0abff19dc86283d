"""A body that is recognised without the serializer gives what the serializer makes of it."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from bookings.api import serializers
from bookings.api.serializers import BOOKING_CREATE, validated_booking
from ticks.parsing import MAX_ID, MAX_TICKETS

PLAIN = {
    "eventId": 1,
    "firstName": "Ada",
    "lastName": "King-Noël of O'Lovelace Jr.",
    "email": "ada.king+1@mail.example.org",
    "ticketsReserved": 2,
}
NUMBERS = st.integers() | st.integers(-1, 3) | st.sampled_from([MAX_ID, MAX_ID + 1, MAX_TICKETS, MAX_TICKETS + 1, True])
NAMES = (
    st.text()
    | st.text(st.sampled_from("a \u0301\u3164\u115f\u202e\u200b\u212b\u1112\u1161\uf900"))
    | st.from_regex(r"[\w.' -]{0,110}", fullmatch=True)
    | st.sampled_from(["a" * 100, "a" * 101, "a\n"])
)
EMAILS = (
    st.emails()
    | st.text()
    | st.from_regex(r"[a-z0-9._+-]{1,9}@[a-z0-9.-]{1,70}", fullmatch=True)
    | st.sampled_from(
        ["a@b.co", "a@b.co\n", "A@B.co", f"{'a' * 250}@b.co", f"a@{'b.' * 125}co", "a@b.c-", "\u017f@b.co"]
    )
)
ODD = st.none() | st.booleans() | st.floats() | st.text() | st.lists(st.integers(), max_size=1)
BODIES = st.fixed_dictionaries(
    {
        "eventId": NUMBERS | ODD,
        "firstName": NAMES | ODD,
        "lastName": NAMES | ODD,
        "email": EMAILS | ODD,
        "ticketsReserved": NUMBERS | ODD,
    }
)


def result_of(validate, body):
    try:
        return list(validate(body).items())
    except ValidationError as error:
        return error.detail


@pytest.fixture
def without_serializer(monkeypatch):
    """Whatever is not recognised without the serializer fails."""
    monkeypatch.setattr(serializers, "BOOKING_CREATE", None)


@pytest.mark.drawn
@given(BODIES)
@example(PLAIN)
def test_body_gives_what_the_serializer_makes_of_it(body):
    assert result_of(validated_booking, body) == result_of(BOOKING_CREATE.run_validation, body)


@pytest.mark.drawn
@given(st.fixed_dictionaries({name: st.just(value) for name, value in PLAIN.items()}), NAMES, EMAILS)
def test_names_and_addresses_one_by_one(body, name, email):
    for changes in ({"firstName": name}, {"lastName": name}, {"email": email}):
        changed = body | changes

        assert result_of(validated_booking, changed) == result_of(BOOKING_CREATE.run_validation, changed)


def test_body_without_a_last_name_needs_no_serializer(without_serializer):
    assert validated_booking({**PLAIN, "lastName": ""})["last_name"] == ""


def test_plain_body_needs_no_serializer(without_serializer):
    assert validated_booking(PLAIN) == {
        "event_id": 1,
        "first_name": "Ada",
        "last_name": "King-Noël of O'Lovelace Jr.",
        "email": "ada.king+1@mail.example.org",
        "tickets": 2,
    }


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        None,
        "eventId",
        {**PLAIN, "more": 1},
        {name: PLAIN[name] for name in list(PLAIN)[1:]},
        {**PLAIN, "eventId": "1"},
        {**PLAIN, "eventId": True},
        {**PLAIN, "ticketsReserved": 0},
        {**PLAIN, "ticketsReserved": MAX_TICKETS + 1},
        {**PLAIN, "firstName": " Ada"},
        {**PLAIN, "firstName": "a\x85"},
        {**PLAIN, "lastName": "\u3164"},
        {**PLAIN, "lastName": "\u212bngstrom"},
        {**PLAIN, "firstName": "\u1112\u1161\u11ab"},
        {**PLAIN, "email": "Ada@example.org"},
        {**PLAIN, "email": "ada@exämple.org"},
    ],
)
def test_other_bodies_are_left_to_the_serializer(without_serializer, body):
    with pytest.raises(AttributeError):
        validated_booking(body)


def test_text_that_the_serializer_changes_is_changed():
    fields = validated_booking({**PLAIN, "eventId": " 7 ", "firstName": " Ada ", "email": "ADA@Example.org"})

    assert (fields["event_id"], fields["first_name"], fields["email"]) == (7, "Ada", "ada@example.org")
