import pytest
from django.core.exceptions import ValidationError

from ticks.forms import EmailField, LineField, LinesField, WholeNumberField


def refused(field, typed):
    with pytest.raises(ValidationError) as error:
        field.clean(typed)
    return error.value.messages


@pytest.mark.parametrize(
    ("typed", "number"), [("1000", 1000), (" 7 ", 7), ("+5", 5), ("-5", -5), ("007", 7), (12, 12), ("", None)]
)
def test_whole_number_is_read(typed, number):
    assert WholeNumberField(required=False).clean(typed) == number


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("1.000", "1000"),
        ("5.000", "5000"),
        ("1,000", "1000"),
        ("1 000", "1000"),
        ("1\u00a0000", "1000"),
        ("1\u202f000", "1000"),
        ("1'000", "1000"),
        ("1\u2019000", "1000"),
        ("1_000", "1000"),
        ("1.000.000", "1000000"),
        ("1,00,000", "100000"),
        ("-1.000", "-1000"),
    ],
)
def test_number_with_separators_is_refused_with_the_one_to_write(typed, meant):
    assert refused(WholeNumberField(), typed) == [f"Write {meant}, without separators."]


@pytest.mark.parametrize(
    "typed", ["1.0", "1.5", "10.00", "1.00", "1e3", "ten", "1__000", "0x10", "1.0000", "9" * 31, ".000"]
)
def test_what_is_no_whole_number_is_refused(typed):
    assert refused(WholeNumberField(), typed) == ["Enter a whole number."]


def test_length_of_an_address_is_that_of_its_stored_spelling():
    # The small letter of each has two characters, and so the address has 256.
    longest = EmailField(max_length=254)

    assert longest.clean("ADA@example.org\u200b" + "\u200b" * 200) == "ada@example.org"
    assert refused(longest, f"{'İ' * 58}@{'a.' * 68}org")[-1] == (
        "Ensure this value has at most 254 characters (it has 256)."
    )
    assert refused(EmailField(max_length=20), "ada@exämple.org") == [
        "Ensure this value has at most 20 characters (it has 22)."
    ]


@pytest.mark.parametrize("field", [EmailField(required=False), EmailField(required=False, empty_value=None)])
@pytest.mark.parametrize("typed", ["", " ", "\u200b", None])
def test_address_of_nothing_visible_is_empty(field, typed):
    assert field.clean(typed) == field.empty_value


def test_line_is_composed_and_checked():
    assert LineField(max_length=4).clean(" Noe\u0308l ") == "Noël"
    assert refused(LineField(), "\u3164") == ["Write at least one character that can be seen."]
    assert refused(LineField(), "Ada\u202e") == ["Characters that change the direction of writing are not allowed."]
    assert LineField(required=False).clean("") == ""


def test_lines_have_one_kind_of_break():
    assert LinesField().clean("Noe\u0308l\r\nb\rc") == "Noël\nb\nc"
