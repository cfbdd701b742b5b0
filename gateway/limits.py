"""How large a request body may be, and how often a client may send requests."""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import IPv6Address, IPv6Network
from typing import assert_never

from gateway.errors import RateLimitExceeded

SMALL_BODY_BYTES = 16 * 1024
"""Size up to which a body is read before its sender is known, and parsed at once."""

BYTES_PER_TOKEN = 256 * 1024
"""Bytes of a body that count as a further request for the rate limit."""

MAX_BODY_BYTES = 1024 * 1024
"""Size of a body on a route without a limit of its own."""

MAX_ACTIVITY_BYTES = 10 * 1024 * 1024
"""Size of a row that an agent logs, with its bodies; a message may be as large."""

MAX_BUNDLE_DEPTH = 400
"""Nesting levels of a bundle: two for each level of its tree."""

MAX_BULK_BODY_BYTES = 20 * 1024 * 1024
"""Size of a body that carries many files."""

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
"""Size of an upload to a workspace, which is streamed and never in memory as a whole."""

MAX_FILES_BYTES = 8 * 1024 * 1024
"""Size of these files together: they have to fit into one gRPC message."""

MAX_CONFIG_BYTES = 256 * 1024
"""Size of one change of a configuration."""

MAX_CARD_BYTES = 256 * 1024
"""Size of an agent card as compact JSON."""

MINUTE_SECONDS = 60.0
HOUR_SECONDS = 3600.0

MAX_BUCKETS = 50_000
"""Buckets of one kind in memory; the least recently used is dropped.

A client that uses more addresses or credentials than this in turn evades the limit of each.
"""

IPV6_CLIENT_PREFIX_BITS = 64
"""Bits of an IPv6 address that identify a client: one client owns every address of its /64 network."""

TOKEN_ROUNDING_TOLERANCE = 1e-6
"""Tokens by which a sum of fractions may miss a whole token."""

BucketKey = str | bytes


@dataclass(frozen=True, slots=True)
class Quota:
    """A number of requests within a number of seconds."""

    limit: int
    window: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What a client may still send, after the request that was just counted."""

    limit: int
    remaining: int
    """Requests that would be granted at once."""
    reset: int
    """Seconds after which the whole limit would be granted at once."""
    retry: int
    """Seconds to wait until the next request is granted; 0 if this request was granted."""

    @property
    def is_exceeded(self) -> bool:
        """Whether this request exceeds the limit."""
        return self.retry > 0


def pick_stricter(one: Allowance, other: Allowance) -> Allowance:
    """Return the allowance that binds a client which is counted twice."""
    return max(one, other, key=lambda allowance: (allowance.retry, -allowance.remaining, allowance.reset))


@dataclass(frozen=True, slots=True)
class BucketLevel:
    """The tokens in a bucket at a time in seconds."""

    tokens: float
    at: float


class TokenBuckets:
    """A token bucket for each key: full at first, emptied by requests, refilled evenly over the window.

    A full bucket equals no bucket, so memory is bounded by the clients of one window.
    """

    def __init__(
        self, quota: Quota, monotonic: Callable[[], float] = time.monotonic, *, capacity: int = MAX_BUCKETS
    ) -> None:
        self._quota = quota
        self._monotonic = monotonic
        self._capacity = capacity
        self._levels: dict[BucketKey, BucketLevel] = {}

    def take(self, key: BucketKey, price: int = 1) -> Allowance:
        """Count one request, which costs `price` tokens or all that there can be; a refused request takes none."""
        now = self._monotonic()
        price = min(price, self._quota.limit)
        tokens = self._refill(self._levels.pop(key, None), now)
        is_granted = tokens >= price - TOKEN_ROUNDING_TOLERANCE
        if is_granted:
            tokens = max(0.0, tokens - price)
        self._levels[key] = BucketLevel(tokens, now)
        self._evict(now)
        return Allowance(
            limit=self._quota.limit,
            remaining=math.floor(tokens + TOKEN_ROUNDING_TOLERANCE),
            reset=self._refill_seconds(self._quota.limit - tokens),
            retry=0 if is_granted else self._refill_seconds(price - tokens),
        )

    def _refill(self, level: BucketLevel | None, now: float) -> float:
        if level is None:
            return self._quota.limit
        return min(self._quota.limit, level.tokens + (now - level.at) * self._quota.limit / self._quota.window)

    def _refill_seconds(self, tokens: float) -> int:
        return math.ceil(tokens * self._quota.window / self._quota.limit)

    def _evict(self, now: float) -> None:
        """Drop full buckets, and the oldest of too many. The dictionary is in the order of use."""
        while self._levels:
            oldest = next(iter(self._levels))
            if len(self._levels) <= self._capacity and now - self._levels[oldest].at < self._quota.window:
                return
            del self._levels[oldest]


def client_bucket_key(address: str) -> str:
    """Return the key of a client: its IPv4 address, or the /64 network of its IPv6 address."""
    if ":" not in address:
        return address
    try:
        found = IPv6Address(address)
    except ValueError:
        return address
    return str(found.ipv4_mapped or IPv6Network((found, IPV6_CLIENT_PREFIX_BITS), strict=False).network_address)


def price_of_body(size: int) -> int:
    """Return the tokens that a request with a body of `size` bytes costs."""
    return 1 + size // BYTES_PER_TOKEN


class RateLimiter:
    """The limit of all requests, for each client address and for each credential wherever it comes from.

    A credential is counted before auth has verified it; a client that invents credentials is limited by its address.
    """

    def __init__(self, limit: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        quota = Quota(limit, MINUTE_SECONDS)
        self._addresses = TokenBuckets(quota, monotonic)
        self._credentials = TokenBuckets(quota, monotonic)

    def take(self, address: str, credential_digest: bytes, price: int = 1) -> Allowance:
        """Count one request; the digest is empty for a request without a credential."""
        allowance = self._addresses.take(client_bucket_key(address), price)
        if not credential_digest:
            return allowance
        return pick_stricter(allowance, self._credentials.take(credential_digest, price))


class CountedBy(Enum):
    """The key of a route's own limit."""

    ADDRESS = auto()
    BEARER = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteLimit:
    """A limit that one route has in addition."""

    quota: Quota
    per: CountedBy
    message: str | None = None


MINT_LIMIT = RouteLimit(quota=Quota(60, MINUTE_SECONDS), per=CountedBy.ADDRESS)
"""The limit of a route that makes credentials. It counts refused callers too, who may be guessing."""


class RouteLimiter:
    """Limits the requests to one route."""

    def __init__(self, limit: RouteLimit, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._buckets = TokenBuckets(limit.quota, monotonic)

    def count(self, address: str, bearer: str | None) -> None:
        """Count one request; raises `RateLimitExceeded`."""
        allowance = self._buckets.take(self._key(address, bearer))
        if allowance.is_exceeded:
            raise RateLimitExceeded.for_seconds(allowance.retry, self._limit.message)

    def _key(self, address: str, bearer: str | None) -> BucketKey:
        match self._limit.per:
            case CountedBy.ADDRESS:
                return client_bucket_key(address)
            case CountedBy.BEARER:
                return hashlib.sha256((bearer or "").encode()).digest()
            case _:
                assert_never(self._limit.per)
