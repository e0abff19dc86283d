"""The renderer gives the same bytes as DRF's own, for any body."""

import datetime
import decimal
import uuid

import pytest
from django.utils.translation import gettext_lazy
from hypothesis import example, given
from hypothesis import strategies as st
from rest_framework import renderers

from ticks.api.renderers import JSONRenderer, to_json

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.dates()
    | st.timedeltas()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.uuids()
)
BODIES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text() | st.integers() | st.none(), inner),
    max_leaves=20,
)


def rendered(render, *args):
    """The bytes, or what was raised."""
    try:
        return render(*args)
    except (UnicodeEncodeError, ValueError, TypeError, OverflowError) as error:
        return type(error), str(error)


@pytest.mark.drawn
@given(BODIES)
@example({"message": "é\u2028\u2029<script>&", "data": {"b": 1, "a": [0.1, 1e300, -0.0]}, "error": False})
@example(["\ud800", "\x00\x7f\u2028"])
@example({1: gettext_lazy("Yes"), None: uuid.UUID(int=1), False: decimal.Decimal("1.50")})
@example(float("nan"))
@example({"a": [float("inf")]})
@example({(1, 2): 3})
@example({"of no kind": object})
def test_json_is_byte_for_byte_that_of_drf(body):
    assert rendered(to_json, body) == rendered(renderers.JSONRenderer().render, body)
    assert rendered(JSONRenderer().render, body, "application/json", {}) == rendered(
        renderers.JSONRenderer().render, body, "application/json", {}
    )


@pytest.mark.parametrize(
    ("media_type", "context"),
    [
        ("application/json; indent=3", {}),
        ("application/json", {"indent": 4}),
        ("application/json; q=0.5", {}),
        (None, None),
    ],
)
@pytest.mark.parametrize("body", [None, {}, {"a": [1, "é"]}])
def test_other_forms_of_json_are_those_of_drf(media_type, context, body):
    own = JSONRenderer().render(body, media_type, context)

    assert own == renderers.JSONRenderer().render(body, media_type, context)


def test_body_that_failed_does_not_spoil_the_next():
    body = {"a": [float("nan")]}
    for _ in range(2):
        with pytest.raises(ValueError, match="Out of range"):
            to_json(body)
    body["a"] = [1]

    assert to_json(body) == b'{"a":[1]}'
