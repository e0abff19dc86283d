"""Wrong input of staff about a booking is reported at its field, and the input is kept."""

import pytest

from bookings.tests.admin.confirming import errors, fields_of, look, url_of
from bookings.tests.state import digest_of_all_tables

pytestmark = pytest.mark.django_db

HUGE = str(10**29)
NO_CONTROL = ["Control characters such as line breaks are not allowed."]
NO_NUL = ["Null characters are not allowed."]
NOTHING_SHOWN = ["Write at least one character that can be seen."]
# The small letters of the address are longer than the address was typed.
TOO_LONG = ["Enter a valid email address.", "Ensure this value has at most 254 characters (it has 256)."]
REQUIRED = ["This field is required."]
NO_SUCH_PLACE = ["3 bookings wait; choose a place from 1 on."]
AT_LEAST_ONE = ["Ensure this value is greater than or equal to 1."]
REFUSED = [
    ("Ada", "cancel", {"tickets": "5"}, {"tickets": ["This booking has 4 tickets; cancel at most that many."]}),
    ("Ada", "cancel", {"tickets": "0"}, {"tickets": AT_LEAST_ONE}),
    ("Ada", "cancel", {"tickets": "-3"}, {"tickets": AT_LEAST_ONE}),
    ("Ada", "cancel", {"tickets": HUGE}, {"tickets": ["Ensure this value is less than or equal to 1000000."]}),
    ("Ada", "cancel", {"tickets": ""}, {"tickets": REQUIRED}),
    (
        "Ada",
        "transfer",
        {"who": "same"},
        {"__all__": ["Nothing is different; change the name, the mail address or the language."]},
    ),
    ("Ada", "transfer", {"who": ""}, {"who": REQUIRED}),
    (
        "Ada",
        "transfer",
        {"who": "nobody"},
        {"who": ["Select a valid choice. nobody is not one of the available choices."]},
    ),
    ("Ada", "transfer", {"who": "same", "first_name": ""}, {"first_name": REQUIRED}),
    ("Ada", "transfer", {"who": "same", "first_name": "A\tB"}, {"first_name": NO_CONTROL}),
    ("Ada", "transfer", {"who": "same", "email": "ada@"}, {"email": ["Enter a valid email address."]}),
    ("Ada", "transfer", {"who": "same", "email": f"{'İ' * 58}@{'a.' * 68}org"}, {"email": TOO_LONG}),
    ("Ada", "transfer", {"who": "same", "last_name": "\u2800"}, {"last_name": NOTHING_SHOWN}),
    ("Ada", "transfer", {"who": "same", "reason": "a\0b"}, {"reason": NO_NUL}),
    ("Alan", "move", {"position": "1"}, {"reason": REQUIRED}),
    ("Alan", "move", {"position": "4", "reason": "x"}, {"position": NO_SUCH_PLACE}),
    ("Alan", "move", {"position": HUGE, "reason": "x"}, {"position": NO_SUCH_PLACE}),
    ("Alan", "move", {"position": "1.000", "reason": "x"}, {"position": ["Write 1000, without separators."]}),
    ("Alan", "move", {"position": "0", "reason": "x"}, {"position": AT_LEAST_ONE}),
    ("Alan", "move", {"position": "2", "reason": "x"}, {"position": ["The booking already has this place."]}),
    ("Alan", "move", {"position": "1", "reason": "x\ty"}, {"reason": NO_CONTROL}),
    ("Alan", "serve", {}, {"reason": REQUIRED}),
    (
        "Alan",
        "serve",
        {"reason": "x" * 201},
        {"reason": ["Ensure this value has at most 200 characters (it has 201)."]},
    ),
    (
        "Alan",
        "serve",
        {"reason": "x"},
        {
            "__all__": [
                "It needs 3 tickets and 1 is available: add what is missing to the capacity, or free tickets first."
            ]
        },
    ),
]


@pytest.mark.parametrize(("name", "action", "typed", "refused"), REFUSED)
def test_input_that_cannot_be_is_refused_at_its_field_and_kept(superuser_client, line, name, action, typed, refused):
    before = digest_of_all_tables()

    response = look(superuser_client, line[name], action, **typed)

    assert errors(response) == refused
    sent = fields_of(response)
    unknown = ("", "nobody")
    assert {field: sent.get(field) for field in typed} == {
        field: None if field == "who" and value in unknown else [value] for field, value in typed.items()
    }
    assert digest_of_all_tables() == before


@pytest.mark.parametrize(("asked", "offered"), [("1", "1"), ("x", "3"), ("9" * 30, "3"), ("%C2%B2", "3")])
def test_form_to_move_opens_with_the_place_that_was_asked_for(superuser_client, line, asked, offered):
    response = superuser_client.get(f"{url_of(line['Kurt'], 'move')}?position={asked}")

    assert fields_of(response)["position"] == [offered]
