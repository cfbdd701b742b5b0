from hypothesis import given
from hypothesis import strategies as st

from molecule_agent import backoff

attempts = st.integers(min_value=0, max_value=100_000)
random_fractions = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(attempts, random_fractions)
def test_the_delay_is_never_longer_than_the_limit(attempt, random_fraction):
    assert (
        backoff.FIRST_DELAY_SECONDS / 2 <= backoff.compute_delay(attempt, random_fraction) <= backoff.MAX_DELAY_SECONDS
    )


@given(attempts, random_fractions)
def test_a_later_attempt_never_waits_less_with_the_same_random_fraction(attempt, random_fraction):
    assert backoff.compute_delay(attempt + 1, random_fraction) >= backoff.compute_delay(attempt, random_fraction)


def test_the_delay_doubles_up_to_the_limit():
    assert [backoff.compute_delay(attempt, 0.0) for attempt in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
