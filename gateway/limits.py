"""How much a client may send, and how often."""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, IPv6Network, ip_address
from typing import assert_never

from gateway.errors import RateLimitExceeded

MAX_BODY_BYTES = 1024 * 1024
"""Bytes of a body, where a route names no cap of its own."""

MAX_BULK_BODY_BYTES = 20 * 1024 * 1024
"""Bytes of a body that carries many files."""

MAX_FILES_BYTES = 8 * 1024 * 1024
"""Bytes of these files together: they have to fit one message between services."""

MAX_CONFIG_BYTES = 256 * 1024
"""Bytes of what a workspace is set to at once."""

MAX_CARD_BYTES = 256 * 1024
"""Bytes of an agent card, in its compact form."""

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0

MAX_BUCKETS = 50_000
"""Buckets kept of one kind; the one that was not used for longest makes room.

Who comes under so many names at once is not held by a limit for each of them.
"""

IPV6_CLIENT_PREFIX_BITS = 64
"""Bits of an IPv6 address that tell clients apart: below them, one client has all addresses there are."""

BucketKey = str | bytes


@dataclass(frozen=True, slots=True)
class Quota:
    """So many requests in so many seconds."""

    limit: int
    window: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one client may still do, this request counted."""

    limit: int
    remaining: int
    """Requests that would be granted at once."""
    reset: int
    """Seconds after which the whole limit would be."""
    retry: int
    """Seconds to wait before another is granted; 0 where this one was."""

    @property
    def exceeded(self) -> bool:
        """Whether the request is one too many."""
        return self.retry > 0


def pick_stricter(one: Allowance, other: Allowance) -> Allowance:
    """What somebody may do who is counted under two names."""
    return max(one, other, key=lambda allowance: (allowance.retry, -allowance.remaining, allowance.reset))


@dataclass(frozen=True, slots=True)
class BucketLevel:
    """How full a bucket was, and when."""

    tokens: float
    at: float


class TokenBuckets:
    """A token bucket for each key: full at first, emptied by requests, filled evenly over the window.

    A bucket that is full again is as good as none, so memory is bounded by what happens within a window.
    """

    def __init__(
        self, quota: Quota, monotonic: Callable[[], float] = time.monotonic, *, capacity: int = MAX_BUCKETS
    ) -> None:
        self._quota = quota
        self._monotonic = monotonic
        self._capacity = capacity
        self._levels: dict[BucketKey, BucketLevel] = {}

    def take(self, key: BucketKey) -> Allowance:
        """Count one request; one that is refused takes nothing."""
        now = self._monotonic()
        tokens = self._filled(self._levels.pop(key, None), now)
        granted = tokens >= 1 - TOKEN_ROUNDING_TOLERANCE
        if granted:
            tokens = max(0.0, tokens - 1)
        self._levels[key] = BucketLevel(tokens, now)
        self._forget(now)
        return Allowance(
            limit=self._quota.limit,
            remaining=math.floor(tokens + TOKEN_ROUNDING_TOLERANCE),
            reset=self._seconds(self._quota.limit - tokens),
            retry=0 if granted else max(1, self._seconds(1 - tokens)),
        )

    def _filled(self, level: BucketLevel | None, now: float) -> float:
        if level is None:
            return self._quota.limit
        return min(self._quota.limit, level.tokens + (now - level.at) * self._quota.limit / self._quota.window)

    def _seconds(self, tokens: float) -> int:
        """How long so many tokens take to come."""
        return math.ceil(tokens * self._quota.window / self._quota.limit)

    def _forget(self, now: float) -> None:
        """Drop what is full, and what is too much. The dictionary is in the order of use."""
        while self._levels:
            oldest = next(iter(self._levels))
            if len(self._levels) <= self._capacity and now - self._levels[oldest].at < self._quota.window:
                return
            del self._levels[oldest]


TOKEN_ROUNDING_TOLERANCE = 1e-6
"""Tokens by which sums of fractions may miss a whole one."""


def client_bucket_key(address: str) -> str:
    """What a client is counted as: its address, of which IPv6 gives everybody more than can be counted."""
    if ":" not in address:
        return address
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if not isinstance(found, IPv6Address):
        return address
    return str(found.ipv4_mapped or IPv6Network((found, IPV6_CLIENT_PREFIX_BITS), strict=False).network_address)


class RateLimiter:
    """The limit of every request: for each client address, and for each bearer wherever it comes from.

    A bearer counts before anybody knows whose it is; who makes bearers up is held by the limit of the address.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        quota = Quota(limit, MINUTE_SECONDS)
        self._addresses = TokenBuckets(quota, monotonic)
        self._bearers = TokenBuckets(quota, monotonic)

    def take(self, address: str, bearer: bytes) -> Allowance:
        """Count one request; `bearer` is the digest of what it shows, empty where that is nothing."""
        allowance = self._addresses.take(client_bucket_key(address))
        return pick_stricter(allowance, self._bearers.take(bearer)) if bearer else allowance


class CountedBy(Enum):
    """Who is counted."""

    ADDRESS = auto()
    BEARER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLimit:
    """What one route grants besides."""

    quota: Quota
    per: CountedBy
    message: str | None = None


class RouteLimiter:
    """Holds the requests of one route to its limit."""

    def __init__(self, limit: RouteLimit, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._buckets = TokenBuckets(limit.quota, monotonic)

    def count(self, address: str, bearer: str | None) -> None:
        """Count one request; raises `RateLimitExceeded`."""
        allowance = self._buckets.take(self._key(address, bearer))
        if allowance.exceeded:
            raise RateLimitExceeded.until(allowance.retry, self._limit.message)

    def _key(self, address: str, bearer: str | None) -> BucketKey:
        match self._limit.per:
            case CountedBy.ADDRESS:
                return client_bucket_key(address)
            case CountedBy.BEARER:
                return hashlib.sha256((bearer or "").encode()).digest()
            case _:
                assert_never(self._limit.per)
