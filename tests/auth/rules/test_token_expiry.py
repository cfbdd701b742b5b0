"""Tests when tokens expire."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.errors import InvalidToken
from services.auth.rules import token_expiry

moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001 - the strategy adds it
graces = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=1))


@given(st.none() | moments, st.none() | moments)
def test_the_earlier_of_two_expiries_counts(one, other):
    found = token_expiry.choose_earlier(one, other)
    assert found == token_expiry.choose_earlier(other, one)
    assert found in {one, other}
    assert (found is None) == (one is None and other is None)
    assert all(end is None or found <= end for end in (one, other))


@given(st.none() | moments, moments, graces)
def test_a_grace_never_extends_the_expiry_of_a_token(expires_at, now, grace):
    end = token_expiry.compute_rotated_expiry(expires_at, now=now, grace=grace)
    assert end <= now + grace
    assert expires_at is None or end <= expires_at


NOW = datetime(2026, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize("expires_at", [None, NOW + MICROSECOND])
def test_a_future_expiry_and_none_are_allowed(expires_at):
    assert token_expiry.require_future(expires_at, now=NOW) == expires_at


@pytest.mark.parametrize("expires_at", [NOW, NOW - MICROSECOND])
def test_an_expiry_now_or_in_the_past_is_refused(expires_at):
    with pytest.raises(InvalidToken, match=r"^expires_at must be a time to come$"):
        token_expiry.require_future(expires_at, now=NOW)


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [(None, NOW + MINUTE), (NOW + 2 * MINUTE, NOW + MINUTE), (NOW + MICROSECOND, NOW + MICROSECOND)],
)
def test_a_rotated_token_expires_after_its_grace_or_at_its_own_expiry(expires_at, expected):
    assert token_expiry.compute_rotated_expiry(expires_at, now=NOW, grace=MINUTE) == expected
