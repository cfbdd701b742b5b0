import hashlib
import itertools
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import RateLimitExceeded
from gateway.limits import (
    HOUR_SECONDS,
    MAX_BUCKETS,
    MINUTE_SECONDS,
    TOKEN_ROUNDING_TOLERANCE,
    Allowance,
    BucketLevel,
    CountedBy,
    Quota,
    RateLimiter,
    RouteLimit,
    RouteLimiter,
    TokenBuckets,
    client_bucket_key,
    pick_stricter,
    price_of_body,
)

QUOTAS = st.builds(Quota, st.integers(1, 700), st.sampled_from([MINUTE_SECONDS, 3600.0]))
WAITS = st.lists(st.one_of(st.just(0.0), st.floats(0, 90)), max_size=60)
ALLOWANCES = st.builds(
    Allowance,
    limit=st.just(9),
    remaining=st.integers(0, 3),
    reset=st.integers(0, 3),
    retry=st.integers(0, 3),
)


class ManualClock:
    def __init__(self):
        self.now = 500.0

    def __call__(self):
        return self.now


def take_after_each(quota, waits):
    """Buckets, their clock and the last allowance, after one client has sent a request after each wait."""
    clock = ManualClock()
    buckets = TokenBuckets(quota, clock)
    allowance = buckets.take("a")
    for wait in waits:
        clock.now += wait
        allowance = buckets.take("a")
    return buckets, clock, allowance


# Constants ───────────────────────────────────────────────────────────────────


def test_the_limits_have_the_values_of_the_contract():
    assert (limits.MAX_BODY_BYTES, limits.MAX_BULK_BODY_BYTES, limits.MAX_FILES_BYTES) == (2**20, 20 * 2**20, 8 * 2**20)
    assert (limits.MAX_CONFIG_BYTES, limits.MAX_CARD_BYTES) == (262_144, 262_144)
    assert (MINUTE_SECONDS, HOUR_SECONDS, MAX_BUCKETS) == (60.0, 3600.0, 50_000)
    assert TOKEN_ROUNDING_TOLERANCE == 1e-6
    assert (limits.SMALL_BODY_BYTES, limits.BYTES_PER_TOKEN) == (16_384, 262_144)
    assert RouteLimit(quota=Quota(60, 60.0), per=CountedBy.ADDRESS) == limits.MINT_LIMIT


# One bucket ──────────────────────────────────────────────────────────────────


@given(st.integers(1, 50), st.integers(1, 100))
def test_exactly_the_limit_is_granted_at_once(limit, requests):
    buckets = TokenBuckets(Quota(limit, MINUTE_SECONDS), ManualClock())

    granted = [not buckets.take("a").is_exceeded for _ in range(requests)]

    assert granted == [n < limit for n in range(requests)]


@given(QUOTAS, WAITS)
def test_the_remaining_requests_are_granted_and_no_more(quota, waits):
    buckets, _, allowance = take_after_each(quota, waits)

    granted = [not buckets.take("a").is_exceeded for _ in range(allowance.remaining + 1)]

    assert granted == [True] * allowance.remaining + [False]


@given(QUOTAS, WAITS)
def test_after_the_reset_the_whole_limit_is_granted(quota, waits):
    buckets, clock, allowance = take_after_each(quota, waits)
    clock.now += allowance.reset

    assert not any(buckets.take("a").is_exceeded for _ in range(quota.limit))


@given(QUOTAS, WAITS)
def test_a_client_that_waits_for_the_retry_time_is_granted_a_request(quota, waits):
    buckets, clock, allowance = take_after_each(quota, waits)
    while not allowance.is_exceeded:
        allowance = buckets.take("a")
    assert 1 <= allowance.retry <= allowance.reset
    clock.now += allowance.retry

    assert not buckets.take("a").is_exceeded


@given(QUOTAS, WAITS)
def test_no_more_is_granted_than_the_limit_and_the_refill_since(quota, waits):
    clock = ManualClock()
    buckets = TokenBuckets(quota, clock)
    granted = 0
    for wait in waits:
        clock.now += wait
        granted += not buckets.take("a").is_exceeded

    assert granted <= quota.limit + sum(waits) * quota.limit / quota.window + 1e-3


def test_an_allowance_counts_down_to_zero_and_then_says_when_to_retry():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(4, MINUTE_SECONDS), clock)

    taken = [buckets.take("a") for _ in range(6)]

    assert [one.limit for one in taken] == [4] * 6
    assert [one.remaining for one in taken] == [3, 2, 1, 0, 0, 0]
    assert [one.reset for one in taken] == [15, 30, 45, 60, 60, 60]
    assert [one.retry for one in taken] == [0, 0, 0, 0, 15, 15]
    assert [one.is_exceeded for one in taken] == [False] * 4 + [True] * 2


def test_tokens_come_back_evenly_over_the_window():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(4, MINUTE_SECONDS), clock)
    for _ in range(4):
        buckets.take("a")

    clock.now += 14.9
    early = buckets.take("a")
    clock.now += 0.1
    on_time = buckets.take("a")
    clock.now += 22.5
    later = buckets.take("a")

    assert (early.is_exceeded, early.retry, early.remaining) == (True, 1, 0)
    assert (on_time.is_exceeded, on_time.remaining, on_time.reset) == (False, 0, 60)
    assert (later.is_exceeded, later.remaining, later.reset) == (False, 0, 53)


def test_a_refused_request_takes_no_token():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(1, MINUTE_SECONDS), clock)
    buckets.take("a")
    clock.now += 30
    refused = buckets.take("a")
    clock.now += 30

    assert (refused.retry, refused.reset) == (30, 30)
    assert not buckets.take("a").is_exceeded


def test_a_bucket_never_holds_more_than_its_limit():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(2, MINUTE_SECONDS), clock)
    buckets.take("a")
    clock.now += 59
    allowance = buckets.take("a")

    assert (allowance.remaining, allowance.reset) == (1, 30)
    assert [buckets.take("a").is_exceeded for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("missing", "is_exceeded"),
    [
        (0.0, False),
        (TOKEN_ROUNDING_TOLERANCE / 2, False),
        (TOKEN_ROUNDING_TOLERANCE, False),
        (TOKEN_ROUNDING_TOLERANCE * 2, True),
        (0.5, True),
    ],
)
def test_a_token_may_miss_the_rounding_tolerance_only(missing, is_exceeded):
    clock = ManualClock()
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), clock)
    buckets._levels["a"] = BucketLevel(1 - missing, clock.now)

    allowance = buckets.take("a")

    assert allowance.is_exceeded is is_exceeded
    assert buckets._levels["a"].tokens == (1 - missing if is_exceeded else max(0.0, -missing))


@pytest.mark.parametrize(
    ("tokens", "remaining"),
    [(3.0, 2), (3.0 - TOKEN_ROUNDING_TOLERANCE / 2, 2), (3.0 - TOKEN_ROUNDING_TOLERANCE * 2, 1)],
)
def test_the_remaining_requests_are_rounded_down_but_for_the_tolerance(tokens, remaining):
    clock = ManualClock()
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), clock)
    buckets._levels["a"] = BucketLevel(tokens, clock.now)

    assert buckets.take("a").remaining == remaining


def test_a_retry_is_at_least_a_second():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(700, MINUTE_SECONDS), clock)
    buckets._levels["a"] = BucketLevel(0.999, clock.now)

    assert buckets.take("a").retry == 1


@given(QUOTAS, st.floats(0, 700))
def test_the_seconds_of_a_refill_suffice_and_are_the_fewest(quota, tokens):
    seconds = TokenBuckets(quota, ManualClock())._refill_seconds(tokens)

    assert seconds * quota.limit / quota.window >= tokens - 1e-9
    assert (seconds - 1) * quota.limit / quota.window < tokens + 1e-9


@given(QUOTAS, st.floats(0, 1), st.floats(0, 10_000))
def test_a_refill_adds_the_rate_times_the_time_up_to_the_limit(quota, filled, passed):
    buckets = TokenBuckets(quota, ManualClock())
    tokens = filled * quota.limit

    refilled = buckets._refill(BucketLevel(tokens, 100.0), 100.0 + passed)

    assert math.isclose(
        refilled, min(quota.limit, tokens + passed * quota.limit / quota.window), rel_tol=1e-6, abs_tol=1e-9
    )
    assert refilled <= quota.limit
    assert buckets._refill(None, 0.0) == quota.limit


# Prices ──────────────────────────────────────────────────────────────────────


@pytest.mark.covers("EDGE-40")
@pytest.mark.parametrize(
    ("size", "price"), [(0, 1), (2**18 - 1, 1), (2**18, 2), (2**20, 5), (10 * 2**20, 41), (20 * 2**20, 81)]
)
def test_a_body_costs_a_further_token_for_each_256_kib(size, price):
    assert price_of_body(size) == price


@pytest.mark.covers("EDGE-40")
def test_a_request_is_granted_if_the_whole_price_is_left_and_otherwise_takes_nothing():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(6, MINUTE_SECONDS), clock)

    first, second = buckets.take("a", 4), buckets.take("a", 3)
    assert (first.remaining, first.retry, first.reset) == (2, 0, 40)
    assert (second.remaining, second.retry, second.reset) == (2, 10, 40)

    clock.now += 10
    assert not buckets.take("a", 3).is_exceeded


@pytest.mark.covers("EDGE-40")
def test_a_price_above_the_limit_is_the_whole_limit():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(6, MINUTE_SECONDS), clock)

    assert (buckets.take("a", 100).remaining, buckets.take("a", 100).retry) == (0, 60)
    clock.now += 60
    assert not buckets.take("a", 100).is_exceeded


@pytest.mark.covers("EDGE-40")
def test_address_and_credential_both_pay_the_price():
    limiter = RateLimiter(6, ManualClock())

    assert limiter.take("10.0.0.1", b"one", 4).remaining == 2
    assert limiter.take("10.0.0.1", b"").remaining == 1
    assert limiter.take("10.0.0.2", b"one", 2).remaining == 0


# Many buckets ────────────────────────────────────────────────────────────────


def test_clients_are_counted_apart():
    buckets = TokenBuckets(Quota(1, MINUTE_SECONDS), ManualClock())

    assert not buckets.take("a").is_exceeded
    assert not buckets.take("b").is_exceeded
    assert buckets.take("a").is_exceeded


@given(st.lists(st.integers(0, 30), max_size=200))
def test_the_number_of_buckets_is_bounded(keys):
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), ManualClock(), capacity=10)
    for key in keys:
        buckets.take(str(key))

    assert len(buckets._levels) <= 10


@given(st.lists(st.integers(0, 30), max_size=200))
def test_the_least_recently_used_bucket_is_dropped_first(keys):
    buckets = TokenBuckets(Quota(1000, MINUTE_SECONDS), ManualClock(), capacity=10)
    for key in keys:
        buckets.take(str(key))

    last_used = dict.fromkeys(str(key) for key in reversed(keys))
    assert list(reversed(buckets._levels)) == list(itertools.islice(last_used, 10))


def test_at_its_capacity_nothing_is_dropped():
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), ManualClock(), capacity=3)
    for key in ("a", "b", "c"):
        buckets.take(key)
    assert list(buckets._levels) == ["a", "b", "c"]

    buckets.take("a")
    buckets.take("d")

    assert list(buckets._levels) == ["c", "a", "d"]


def test_the_usual_capacity_is_the_maximum_number_of_buckets():
    assert TokenBuckets(Quota(5, MINUTE_SECONDS))._capacity == MAX_BUCKETS


def test_a_client_that_was_quiet_for_a_window_is_forgotten():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), clock)
    for number in range(20):
        buckets.take(str(number))
    clock.now += MINUTE_SECONDS
    buckets.take("a")

    assert list(buckets._levels) == ["a"]


def test_a_client_that_was_quiet_for_less_than_a_window_is_remembered():
    clock = ManualClock()
    buckets = TokenBuckets(Quota(5, MINUTE_SECONDS), clock)
    buckets.take("b")
    clock.now += MINUTE_SECONDS - 0.001
    buckets.take("a")

    assert list(buckets._levels) == ["b", "a"]


# The stricter of two ─────────────────────────────────────────────────────────


def test_the_stricter_of_two_allowances_counts():
    clock = ManualClock()
    one, other = TokenBuckets(Quota(3, MINUTE_SECONDS), clock), TokenBuckets(Quota(3, MINUTE_SECONDS), clock)
    other.take("b")
    left = pick_stricter(one.take("a"), other.take("b"))
    assert (left.remaining, left.is_exceeded) == (1, False)

    other.take("b")
    assert pick_stricter(one.take("a"), other.take("b")).is_exceeded
    assert pick_stricter(other.take("b"), one.take("a")).is_exceeded


@given(ALLOWANCES, ALLOWANCES)
def test_the_stricter_allowance_waits_longer_then_has_less_left_then_resets_later(one, other):
    picked = pick_stricter(one, other)

    assert picked in {one, other}
    assert picked.retry == max(one.retry, other.retry)
    assert pick_stricter(other, one) == picked
    if one.retry == other.retry:
        assert picked.remaining == min(one.remaining, other.remaining)
        if one.remaining == other.remaining:
            assert picked.reset == max(one.reset, other.reset)


@pytest.mark.parametrize(("retry", "is_exceeded"), [(0, False), (1, True)])
def test_an_allowance_with_a_wait_is_exceeded(retry, is_exceeded):
    assert Allowance(limit=1, remaining=0, reset=1, retry=retry).is_exceeded is is_exceeded


# Keys ────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("2001:db8:1:3::9", "2001:db8:1:3::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::"),
        ("not:an:address", "not:an:address"),
        ("no-address", "no-address"),
        ("", ""),
    ],
)
def test_the_clients_of_one_ipv6_network_are_one_client(address, counted):
    assert client_bucket_key(address) == counted


@given(st.integers(0, 2**128 - 1), st.integers(0, 127))
@example(0x20010DB8 << 96, 63)
@example(0x20010DB8 << 96, 64)
def test_the_first_64_bits_of_an_ipv6_address_tell_clients_apart(number, bit):
    def key(value):
        return client_bucket_key(":".join(f"{value >> shift & 0xFFFF:x}" for shift in range(112, -16, -16)))

    mapped = 0xFFFF
    if number >> 32 == mapped or (number ^ (1 << bit)) >> 32 == mapped:
        return
    assert (key(number) == key(number ^ (1 << bit))) is (bit < 64)


# All requests ────────────────────────────────────────────────────────────────


def test_requests_without_a_credential_are_counted_by_address():
    limiter = RateLimiter(2, ManualClock())

    taken = [limiter.take("192.0.2.7", b"") for _ in range(3)] + [limiter.take("192.0.2.8", b"")]

    assert [(one.limit, one.remaining, one.is_exceeded) for one in taken] == [
        (2, 1, False),
        (2, 0, False),
        (2, 0, True),
        (2, 1, False),
    ]


def test_a_credential_is_counted_wherever_it_comes_from():
    limiter = RateLimiter(2, ManualClock())

    taken = [limiter.take(f"192.0.2.{number}", b"digest") for number in range(3)]
    other = limiter.take("192.0.2.9", b"another")

    assert [one.remaining for one in taken] == [1, 0, 0]
    assert [one.is_exceeded for one in taken] == [False, False, True]
    assert (other.remaining, other.is_exceeded) == (1, False)


def test_an_address_is_held_whatever_credentials_it_invents():
    limiter = RateLimiter(2, ManualClock())

    taken = [limiter.take(f"2001:db8::{number}", f"digest {number}".encode()) for number in range(3)]

    assert [one.is_exceeded for one in taken] == [False, False, True]


def test_an_address_is_not_confused_with_a_credential():
    limiter = RateLimiter(1, ManualClock())
    limiter.take("192.0.2.7", b"digest")

    assert not limiter.take("192.0.2.8", b"192.0.2.7").is_exceeded


def test_the_limit_is_refilled_within_a_minute():
    clock = ManualClock()
    limiter = RateLimiter(60, clock)
    for _ in range(60):
        limiter.take("192.0.2.7", b"digest")
    assert limiter.take("192.0.2.7", b"digest").retry == 1
    clock.now += 1

    assert not limiter.take("192.0.2.7", b"digest").is_exceeded
    assert limiter.take("192.0.2.7", b"digest").is_exceeded


# One route ───────────────────────────────────────────────────────────────────


def test_a_route_may_have_a_limit_for_each_address():
    limiter = RouteLimiter(RouteLimit(quota=Quota(10, HOUR_SECONDS), per=CountedBy.ADDRESS), ManualClock())
    for number in range(10):
        limiter.count("192.0.2.7", f"bearer {number}")

    with pytest.raises(RateLimitExceeded) as refused:
        limiter.count("192.0.2.7", None)
    assert (refused.value.message, refused.value.details) == ("rate limit exceeded", {"retry_after": 360})
    assert refused.value.retry_in.total_seconds() == 360
    limiter.count("192.0.2.8", None)


def test_a_limit_for_each_address_holds_a_whole_ipv6_network():
    limiter = RouteLimiter(RouteLimit(quota=Quota(1, HOUR_SECONDS), per=CountedBy.ADDRESS), ManualClock())
    limiter.count("2001:db8::1", None)

    with pytest.raises(RateLimitExceeded):
        limiter.count("2001:db8::2", None)


def test_a_route_may_have_a_limit_for_each_bearer_and_a_text_of_its_own():
    limiter = RouteLimiter(
        RouteLimit(quota=Quota(1, MINUTE_SECONDS), per=CountedBy.BEARER, message="MCP rate limit exceeded"),
        ManualClock(),
    )
    limiter.count("192.0.2.7", "one")
    limiter.count("192.0.2.7", "another")

    with pytest.raises(RateLimitExceeded, match="MCP rate limit exceeded"):
        limiter.count("192.0.2.8", "one")


def test_requests_without_a_bearer_share_one_bucket():
    limiter = RouteLimiter(RouteLimit(quota=Quota(1, MINUTE_SECONDS), per=CountedBy.BEARER), ManualClock())
    limiter.count("192.0.2.7", None)

    with pytest.raises(RateLimitExceeded):
        limiter.count("192.0.2.8", None)
    with pytest.raises(RateLimitExceeded):
        limiter.count("192.0.2.8", "")


def test_a_bearer_is_kept_as_a_digest_only():
    limiter = RouteLimiter(RouteLimit(quota=Quota(1, MINUTE_SECONDS), per=CountedBy.BEARER), ManualClock())
    limiter.count("192.0.2.7", "secret")
    limiter.count("192.0.2.7", None)

    assert list(limiter._buckets._levels) == [hashlib.sha256(b"secret").digest(), hashlib.sha256(b"").digest()]


def test_time_is_monotonic_unless_a_test_says_otherwise():
    limiter = RateLimiter(1)

    assert limiter._addresses._monotonic is limiter._credentials._monotonic is time.monotonic
    assert RouteLimiter(RouteLimit(quota=Quota(1, 1.0), per=CountedBy.BEARER))._buckets._monotonic is time.monotonic
