from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.backoff import Backoff

SPANS = st.timedeltas(min_value=timedelta(microseconds=1), max_value=timedelta(days=365))
BACKOFFS = st.tuples(SPANS, SPANS).map(sorted).map(lambda pair: Backoff(*pair))
FAILURES = st.integers(1, 10_000)


@given(BACKOFFS, FAILURES)
def test_each_delay_is_twice_the_one_before_up_to_the_maximum(backoff, failures):
    assert backoff.delay(1) == backoff.first
    assert backoff.delay(failures + 1) == min(backoff.delay(failures) * 2, backoff.maximum)


@given(BACKOFFS, FAILURES, st.floats(0, 1))
def test_jitter_removes_at_most_half_of_a_delay(backoff, failures, jitter):
    full = backoff.delay(failures)

    assert full / 2 <= backoff.delay(failures, jitter) <= full
    assert backoff.delay(failures, 0) == full / 2


@given(BACKOFFS)
def test_without_a_failure_there_is_no_delay(backoff):
    assert backoff.delay(0) == timedelta()


@given(SPANS, FAILURES)
def test_equal_bounds_give_a_constant_delay(span, failures):
    assert Backoff(span, span).delay(failures) == span


def test_a_maximum_that_is_no_multiple_is_reached():
    backoff = Backoff(timedelta(milliseconds=50), timedelta(seconds=1))

    delays = [backoff.delay(failures) / timedelta(milliseconds=1) for failures in range(1, 8)]

    assert delays == [50, 100, 200, 400, 800, 1000, 1000]


@pytest.mark.parametrize(("first", "maximum"), [(0, 1), (-1, 1), (2, 1)])
def test_bounds_that_make_no_sense_are_refused(first, maximum):
    with pytest.raises(ValueError, match="first must be positive"):
        Backoff(timedelta(seconds=first), timedelta(seconds=maximum))


def test_the_delay_is_zero_without_a_failure_and_the_first_after_one():
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=3))

    assert [backoff.delay(failures) for failures in (-1, 0, 1)] == [timedelta(), timedelta(), timedelta(seconds=1)]


def test_equal_bounds_are_accepted():
    assert Backoff(timedelta(seconds=1), timedelta(seconds=1)).delay(5) == timedelta(seconds=1)


def test_a_backoff_is_a_value():
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=2))

    assert hash(backoff) == hash(Backoff(timedelta(seconds=1), timedelta(seconds=2)))
    assert not hasattr(backoff, "__dict__")
