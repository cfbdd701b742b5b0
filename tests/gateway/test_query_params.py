import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.query_params import MAX_NUMBER, parse_limit, parse_natural_number


def test_the_largest_number_has_64_bits():
    assert parse_natural_number("9223372036854775806") == 9_223_372_036_854_775_806
    assert parse_natural_number("9223372036854775808") == 9_223_372_036_854_775_807 == MAX_NUMBER


@given(st.integers(0, MAX_NUMBER))
def test_ascii_digits_are_a_number(number):
    assert parse_natural_number(str(number)) == number
    assert parse_natural_number(f"000{number}") == number


@given(st.integers(min_value=MAX_NUMBER))
def test_numbers_beyond_64_bits_are_the_largest(number):
    assert parse_natural_number(str(number)) == MAX_NUMBER


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", "1e3", " 1", "1 ", "0x1", "\u0661", "\u00b2", "a", "1_000"])
def test_any_other_text_is_no_number(text):
    assert parse_natural_number(text) is None


def test_a_million_digits_are_parsed_quickly():
    assert parse_natural_number("9" * 1_000_000) == MAX_NUMBER
    assert parse_natural_number("0" * 1_000_000 + "7") == 7


@given(st.text())
def test_a_limit_is_always_within_bounds(text):
    assert 1 <= parse_limit(text, maximum=500, default=100) <= 500


@pytest.mark.parametrize(("text", "wanted"), [("1", 1), ("500", 500), ("501", 100), ("0", 100), ("x", 100), ("", 100)])
def test_a_limit_out_of_bounds_is_the_default(text, wanted):
    assert parse_limit(text, maximum=500, default=100) == wanted
