from hypothesis import given
from hypothesis import strategies as st

from molecule_agent import backoff

attempts = st.integers(min_value=0, max_value=100_000)
lucks = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(attempts, lucks)
def test_nobody_waits_longer_than_the_longest(attempt, luck):
    assert backoff.FIRST_DELAY_SECONDS / 2 <= backoff.delay(attempt, luck) <= backoff.MAX_DELAY_SECONDS


@given(attempts, lucks)
def test_a_later_attempt_never_waits_less_with_the_same_luck(attempt, luck):
    assert backoff.delay(attempt + 1, luck) >= backoff.delay(attempt, luck)


def test_the_time_doubles():
    assert [backoff.delay(attempt, 0.0) for attempt in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
