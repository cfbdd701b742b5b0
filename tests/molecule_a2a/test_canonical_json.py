import json

import pytest
from a2a.utils._jcs import canonicalize as canonicalize_as_the_sdk
from hypothesis import given
from hypothesis import strategies as st

from molecule_a2a.canonical_json import canonicalize

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(values)
def test_the_sdk_writes_the_same(value):
    assert canonicalize(value) == canonicalize_as_the_sdk(value).encode()


@given(values)
def test_the_canonical_form_means_the_same_and_is_its_own(value):
    written = canonicalize(value)

    assert json.loads(written, parse_int=float) == value
    assert canonicalize(json.loads(written)) == written


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (100, "100"),
        (-1.5, "-1.5"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (123456789012345680000, "123456789012345680000"),
        (0.000001, "0.000001"),
        (0.0000001, "1e-7"),
        (1.25e-9, "1.25e-9"),
        (9007199254740993, "9007199254740992"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
    ],
)
def test_numbers_are_written_as_in_ecmascript(number, text):
    assert canonicalize(number) == text.encode()


def test_members_are_sorted_by_code_units_and_texts_are_barely_escaped():
    value = {"\u20ac": 1, "\r": 2, "\U0001f600": 3, "\ufb33": 4, "1": '"\\/\u0007\u007f'}

    expected = '{"\\r":2,"1":"\\"\\\\/\\u0007\u007f","\u20ac":1,"\U0001f600":3,"\ufb33":4}'
    assert canonicalize(value) == expected.encode()


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "\ud800", {"\ud800": 1}, object()])
def test_some_values_have_no_canonical_form(value):
    with pytest.raises(ValueError, match="canonical"):
        canonicalize([value])
