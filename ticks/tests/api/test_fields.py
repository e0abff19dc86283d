from datetime import UTC, datetime, timedelta, timezone

import pytest
from rest_framework.exceptions import ValidationError

from ticks.api.fields import LineField, MomentField, SwitchField, WholeNumberField, WholeNumberSchema
from ticks.formatting import iso_milliseconds
from ticks.parsing import MAX_ID, parse_id


@pytest.mark.parametrize(
    ("given", "whole"),
    [(0, 0), (10, 10), (-3, -3), ("10", 10), (" 10 ", 10), ("-3", -3), ("007", 7), (10**29, 10**29)],
)
def test_whole_number_takes(given, whole):
    assert WholeNumberField().run_validation(given) == whole


@pytest.mark.parametrize(
    "given",
    [True, False, 1.0, 1.5, "1.0", "1e3", "1_000", "+1", "--1", "-", "", " ", "٣", "²", "0x10", "1 2", "a", "1" * 31,
     [1], {"a": 1}, float("1e400")],
)  # fmt: skip
def test_whole_number_refuses(given):
    with pytest.raises(ValidationError) as refused:
        WholeNumberField().run_validation(given)

    assert refused.value.detail == ["Send a whole number."]


@pytest.mark.parametrize("given", [10**29, "1" * 30, 101, "101"])
def test_whole_number_keeps_its_bounds(given):
    with pytest.raises(ValidationError) as refused:
        WholeNumberField(min_value=1, max_value=100).run_validation(given)

    assert refused.value.detail == ["Ensure this value is less than or equal to 100."]


@pytest.mark.parametrize(
    ("bounds", "published"),
    [
        ({"min_value": 0, "max_value": 100}, {"minimum": 0, "maximum": 100}),
        ({"min_value": 1, "max_value": MAX_ID}, {"minimum": 1, "maximum": MAX_ID, "format": "int64"}),
        ({}, {"minimum": 1, "maximum": 1_000_000}),
    ],
)
def test_whole_number_is_published_with_its_bounds(bounds, published):
    schema = WholeNumberSchema(WholeNumberField(**bounds)).map_serializer_field(None, "request")

    assert schema == {"type": "integer", **published}


@pytest.mark.parametrize(
    ("given", "moment"),
    [
        ("2024-12-01", datetime(2024, 12, 1, tzinfo=UTC)),
        ("2024-12-01T19:30:00Z", datetime(2024, 12, 1, 19, 30, tzinfo=UTC)),
        ("2024-12-01T19:30:00.123Z", datetime(2024, 12, 1, 19, 30, 0, 123_000, tzinfo=UTC)),
        ("2024-12-01T19:30:00+02:00", datetime(2024, 12, 1, 17, 30, tzinfo=UTC)),
        ("2024-12-01T19:30:00", datetime(2024, 12, 1, 19, 30, tzinfo=UTC)),
        ("2024-12-01 19:30", datetime(2024, 12, 1, 19, 30, tzinfo=UTC)),
        ("1900-01-01", datetime(1900, 1, 1, tzinfo=UTC)),
        ("9998-12-31T23:59:59Z", datetime(9998, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_moment_takes(given, moment):
    taken = MomentField().run_validation(given)

    assert taken == moment
    assert taken.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "given",
    ["tomorrow", "2024-13-01", "2024-02-30", "2024-12-01T25:00:00Z", "0000-01-01", "01/12/2024", "", 20241201, 1.5,
     True, ["2024-12-01"], {"a": 1}],
)  # fmt: skip
def test_moment_refuses_what_is_no_time(given):
    with pytest.raises(ValidationError) as refused:
        MomentField().run_validation(given)

    assert refused.value.detail == ["Send a date or time in ISO 8601, such as 2024-12-01 or 2024-12-01T19:30:00Z."]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("2024-12-01 20.30", "20:30"),
        ("2024-12-01T20,30", "20:30"),
        ("2024-12-01T8.05Z", "08:05"),
        ("20241201T20.30+02:00", "20:30"),
        ("2024-12-01 20.30.15", "20:30"),
        ("2024-W48-7T20.30", "20:30"),
        ("2024-12-01T20:30.5", "20:30 or 20:30:00"),
        ("2024-12-01T2030.5", "20:30 or 20:30:00"),
    ],
)
def test_moment_refuses_a_time_that_would_be_misread(given, meant):
    with pytest.raises(ValidationError) as refused:
        MomentField().run_validation(given)

    assert refused.value.detail == [f"Write the time with colons, as {meant}."]


@pytest.mark.parametrize("between", ["-", "+", "x", "\u202e", "_", "\xa0"])
def test_moment_refuses_a_zone_in_the_place_of_the_time(between):
    with pytest.raises(ValidationError) as refused:
        MomentField().run_validation(f"2024-12-01{between}05:00")

    assert refused.value.detail == [
        "Write a T or a space between the date and the time; a date alone takes no time zone."
    ]


@pytest.mark.parametrize("given", ["2024-12-01T20:30:15.5", "20241201T203015,5", "2024-12-01T203015.500Z"])
def test_moment_takes_a_fraction_of_seconds(given):
    assert MomentField().run_validation(given) == datetime(2024, 12, 1, 20, 30, 15, 500_000, tzinfo=UTC)


@pytest.mark.parametrize(
    "given",
    ["1899-12-31", "1900-01-01T00:00:00+01:00", "9999-01-01", "9998-12-31T23:59:59-23:00"],
)
def test_moment_refuses_what_no_database_keeps(given):
    with pytest.raises(ValidationError) as refused:
        MomentField().run_validation(given)

    assert refused.value.detail == ["Send a time from the year 1900 to the year 9998."]


@pytest.mark.parametrize("given", ["9999-12-31T23:59:59-23:00", "0001-01-01T00:00:00+23:00"])
def test_moment_refuses_what_utc_cannot_say(given):
    with pytest.raises(ValidationError) as refused:
        MomentField().run_validation(given)

    assert refused.value.detail == ["Send a time from the year 1900 to the year 9998."]


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2024, 12, 1, tzinfo=UTC), "2024-12-01T00:00:00.000Z"),
        (datetime(2024, 12, 1, 19, 30, 5, 123_999, tzinfo=UTC), "2024-12-01T19:30:05.123Z"),
        (datetime(2024, 12, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2024-11-30T23:00:00.000Z"),
    ],
)
def test_moment_leaves_as_utc_with_milliseconds(moment, said):
    assert MomentField().to_representation(moment) == said
    assert iso_milliseconds(moment) == said


def test_moment_that_is_missing_leaves_as_null():
    assert MomentField().to_representation(None) is None


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("Ada", "Ada"),
        ("  Ada  ", "Ada"),
        ("Łódź 🎸", "Łódź 🎸"),
        ("שלום", "שלום"),
        ("a" * 20, "a" * 20),
        ("Noe\u0308l", "Noël"),
    ],
)
def test_line_takes(given, line):
    assert LineField(max_length=20).run_validation(given) == line


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("a\nb", "Control characters such as line breaks are not allowed."),
        ("a\r\nBcc: b", "Control characters such as line breaks are not allowed."),
        ("a\tb", "Control characters such as line breaks are not allowed."),
        ("a\0b", "Control characters such as line breaks are not allowed."),
        ("a\x1b[2Jb", "Control characters such as line breaks are not allowed."),
        ("a\x7fb", "Control characters such as line breaks are not allowed."),
        ("a\x85b", "Control characters such as line breaks are not allowed."),
        ("a\u2028b", "Control characters such as line breaks are not allowed."),
        ("a\u202eb", "Characters that change the direction of writing are not allowed."),
        ("\u3164", "Write at least one character that can be seen."),
        ("a\ud800b", "Surrogate characters are not allowed: U+D800."),
        ("a" * 21, "Ensure this field has no more than 20 characters."),
        ("", "This field may not be blank."),
        (" \n ", "This field may not be blank."),
        (None, "This field may not be null."),
        (True, "Not a valid string."),
        (5, "Not a valid string."),
        ("a" + " " * 20, "Ensure this field has no more than 20 characters."),
        (["a"], "Not a valid string."),
    ],
)
def test_line_refuses(given, said):
    with pytest.raises(ValidationError) as refused:
        LineField(max_length=20).run_validation(given)

    assert refused.value.detail == [said]


@pytest.mark.parametrize(("given", "identity"), [("1", 1), ("0", 0), ("9223372036854775807", 2**63 - 1)])
def test_id_takes(given, identity):
    assert parse_id(given) == identity


@pytest.mark.parametrize(
    "given", ["", "a", "1 OR 1=1", "-1", "1.0", " 1", "٣", "²", "9223372036854775808", "9" * 40, "1\0", "9" * 5000]
)
def test_id_that_no_row_has_is_none(given):
    assert parse_id(given) is None


@pytest.mark.parametrize(
    ("given", "switched"), [(True, True), (False, False), ("true", True), (" True ", True), ("false", False)]
)
def test_switch_takes(given, switched):
    assert SwitchField().run_validation(given) is switched


@pytest.mark.parametrize("given", [0, 1, 1.0, "1", "yes", "on", "", [], {}])
def test_switch_refuses(given):
    with pytest.raises(ValidationError) as refused:
        SwitchField().run_validation(given)

    assert refused.value.detail == ["Send true or false."]
