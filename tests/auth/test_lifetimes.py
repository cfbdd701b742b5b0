from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.auth import lifetimes

moments = st.datetimes(timezones=st.just(UTC), min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001 - the strategy adds it
graces = st.timedeltas(min_value=timedelta(), max_value=timedelta(days=1))


@given(st.none() | moments, st.none() | moments)
def test_of_two_ends_the_first_counts(one, other):
    found = lifetimes.choose_earlier(one, other)
    assert found == lifetimes.choose_earlier(other, one)
    assert found in {one, other}
    assert (found is None) == (one is None and other is None)
    assert all(end is None or found <= end for end in (one, other))


@given(st.none() | moments, moments, graces)
def test_a_grace_never_makes_a_token_last_longer(expires_at, now, grace):
    end = lifetimes.compute_rotated_expiry(expires_at, now=now, grace=grace)
    assert end <= now + grace
    assert expires_at is None or end <= expires_at
