from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import WINDOW, Rate


class Seconds:
    def __init__(self):
        self.now = 500.0

    def __call__(self):
        return self.now


@given(st.integers(1, 50), st.integers(1, 100))
def test_exactly_the_limit_passes_in_a_window(limit, requests):
    rate = Rate(limit, monotonic=Seconds())

    passed = [not rate.take("a").exceeded for _ in range(requests)]

    assert passed == [n < limit for n in range(requests)]


def test_what_is_left_is_told_honestly():
    seconds = Seconds()
    rate = Rate(2, monotonic=seconds)
    assert (rate.take("a").remaining, rate.take("a").remaining, rate.take("a").remaining) == (1, 0, 0)

    seconds.now += 20.5
    assert rate.take("a").reset == 40


def test_addresses_are_counted_apart():
    rate = Rate(1, monotonic=Seconds())

    assert not rate.take("a").exceeded
    assert not rate.take("b").exceeded


def test_a_new_window_begins_after_a_minute_and_forgets_everybody():
    seconds = Seconds()
    rate = Rate(1, monotonic=seconds)
    rate.take("a")
    seconds.now += WINDOW

    assert not rate.take("a").exceeded
    assert len(rate._counts) == 1
