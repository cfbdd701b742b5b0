import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.queries import LARGEST, limit, natural


@given(st.integers(0, LARGEST))
def test_plain_digits_are_a_number(number):
    assert natural(str(number)) == number
    assert natural(f"000{number}") == number


@given(st.integers(min_value=LARGEST))
def test_numbers_beyond_64_bits_are_the_largest(number):
    assert natural(str(number)) == LARGEST


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", " 1", "1 ", "0x1", "\u0661", "\u00b2", "a", "1_000"])
def test_anything_else_is_no_number(text):
    assert natural(text) is None


def test_a_million_digits_are_read_at_once():
    assert natural("9" * 1_000_000) == LARGEST
    assert natural("0" * 1_000_000 + "7") == 7


@given(st.text())
def test_a_limit_is_always_within_bounds(text):
    assert 1 <= limit(text, most=500, usual=100) <= 500


@pytest.mark.parametrize(("text", "wanted"), [("1", 1), ("500", 500), ("501", 100), ("0", 100), ("x", 100), ("", 100)])
def test_a_limit_out_of_bounds_counts_as_not_said(text, wanted):
    assert limit(text, most=500, usual=100) == wanted
