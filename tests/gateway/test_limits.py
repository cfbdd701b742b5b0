import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import RateLimitExceeded
from gateway.limits import (
    HOUR_SECONDS,
    MINUTE_SECONDS,
    CountedBy,
    Quota,
    RouteLimit,
    RouteLimiter,
    TokenBuckets,
    client_bucket_key,
    pick_stricter,
)

QUOTAS = st.builds(Quota, st.integers(1, 700), st.sampled_from([MINUTE_SECONDS, 3600.0]))
WAITS = st.lists(st.one_of(st.just(0.0), st.floats(0, 90)), max_size=60)


class Seconds:
    def __init__(self):
        self.now = 500.0

    def __call__(self):
        return self.now


def lived(quota, waits):
    """Buckets after somebody has come again and again."""
    seconds = Seconds()
    buckets = TokenBuckets(quota, seconds)
    allowance = buckets.take("a")
    for wait in waits:
        seconds.now += wait
        allowance = buckets.take("a")
    return buckets, seconds, allowance


@given(st.integers(1, 50), st.integers(1, 100))
def test_exactly_the_limit_passes_at_once(limit, requests):
    buckets = TokenBuckets(Quota(limit, MINUTE_SECONDS), Seconds())

    passed = [not buckets.take("a").exceeded for _ in range(requests)]

    assert passed == [n < limit for n in range(requests)]


@given(QUOTAS, WAITS)
def test_what_is_told_to_remain_is_granted_and_no_more(quota, waits):
    buckets, _, allowance = lived(quota, waits)

    passed = [not buckets.take("a").exceeded for _ in range(allowance.remaining + 1)]

    assert passed == [True] * allowance.remaining + [False]


@given(QUOTAS, WAITS)
def test_after_the_reset_the_whole_limit_is_granted(quota, waits):
    buckets, seconds, allowance = lived(quota, waits)
    seconds.now += allowance.reset

    assert not any(buckets.take("a").exceeded for _ in range(quota.limit))


@given(QUOTAS, WAITS)
def test_who_waits_as_long_as_told_is_let_in(quota, waits):
    buckets, seconds, allowance = lived(quota, waits)
    while not allowance.exceeded:
        allowance = buckets.take("a")
    assert 1 <= allowance.retry <= allowance.reset
    seconds.now += allowance.retry

    assert not buckets.take("a").exceeded


@given(QUOTAS, WAITS)
def test_no_more_is_granted_than_the_limit_and_what_has_come_since(quota, waits):
    seconds = Seconds()
    buckets = TokenBuckets(quota, seconds)
    granted = 0
    for wait in waits:
        seconds.now += wait
        granted += not buckets.take("a").exceeded

    assert granted <= quota.limit + sum(waits) * quota.limit / quota.window + 1e-3


def test_clients_are_counted_apart():
    buckets = TokenBuckets(Quota(1, MINUTE_SECONDS), Seconds())

    assert not buckets.take("a").exceeded
    assert not buckets.take("b").exceeded
    assert buckets.take("a").exceeded


@given(st.lists(st.integers(0, 30), max_size=200))
def test_memory_is_bounded(keys):
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), Seconds(), capacity=10)
    for key in keys:
        buckets.take(str(key))

    assert len(buckets._levels) <= 10


def test_who_has_not_come_for_a_window_is_forgotten():
    seconds = Seconds()
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), seconds)
    for number in range(20):
        buckets.take(str(number))
    seconds.now += MINUTE_SECONDS
    buckets.take("a")

    assert list(buckets._levels) == ["a"]


def test_of_two_allowances_the_tighter_one_counts():
    seconds = Seconds()
    one, other = TokenBuckets(Quota(3, MINUTE_SECONDS), seconds), TokenBuckets(Quota(3, MINUTE_SECONDS), seconds)
    other.take("b")
    left = pick_stricter(one.take("a"), other.take("b"))
    assert (left.remaining, left.exceeded) == (1, False)

    other.take("b")
    assert pick_stricter(one.take("a"), other.take("b")).exceeded
    assert pick_stricter(other.take("b"), one.take("a")).exceeded


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_a_client_with_a_network_of_its_own_is_one_client(address, counted):
    assert client_bucket_key(address) == counted


def test_a_route_may_grant_less_to_each_address():
    counter = RouteLimiter(RouteLimit(quota=Quota(10, HOUR_SECONDS), per=CountedBy.ADDRESS), Seconds())
    for number in range(10):
        counter.count("192.0.2.7", f"bearer {number}")

    with pytest.raises(RateLimitExceeded) as refused:
        counter.count("192.0.2.7", None)
    assert (refused.value.message, refused.value.details) == ("rate limit exceeded", {"retry_after": 360})
    counter.count("192.0.2.8", None)


def test_a_route_may_grant_less_to_each_bearer_and_say_so_in_its_own_words():
    counter = RouteLimiter(
        RouteLimit(quota=Quota(1, MINUTE_SECONDS), per=CountedBy.BEARER, message="MCP rate limit exceeded"), Seconds()
    )
    counter.count("192.0.2.7", "one")
    counter.count("192.0.2.7", "another")

    with pytest.raises(RateLimitExceeded, match="MCP rate limit exceeded"):
        counter.count("192.0.2.8", "one")
