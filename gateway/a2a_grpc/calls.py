"""Limits the calls of each client, and how many requests are read at a time: gRPC reads a request as a whole."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

from gateway.errors import RateLimitExceeded
from gateway.limits import client_bucket_key

MAX_CALLS = 2048
"""Calls at the same time."""

MAX_READS = 64
"""Requests that are read at the same time; each may have 10 MiB, and its sender is not known yet."""

MAX_READS_PER_CLIENT = 4

TOO_MANY_CALLS = "too many concurrent calls"


class CallLimits:
    """Counts the calls of each client address, and lets a few requests be read at a time."""

    def __init__(self, max_calls_per_client: int) -> None:
        self._max_calls = min(max_calls_per_client, MAX_CALLS // 2)
        self._calls: Counter[str] = Counter()
        self._turns: dict[str, asyncio.Semaphore] = {}
        self._all_turns = asyncio.Semaphore(MAX_READS)

    @contextmanager
    def count(self, address: str, *, is_trusted: bool) -> Iterator[None]:
        """Count a call within the `with` block; raises `RateLimitExceeded`. A trusted proxy may have any number."""
        key = client_bucket_key(address)
        if self._calls[key] >= self._max_calls and not is_trusted:
            raise RateLimitExceeded.for_seconds(int(RETRY_AFTER.total_seconds()), TOO_MANY_CALLS)
        self._calls[key] += 1
        try:
            yield
        finally:
            self._calls[key] -= 1
            if not self._calls[key]:
                del self._calls[key]
                self._turns.pop(key, None)

    @asynccontextmanager
    async def wait_to_read(self, address: str) -> AsyncIterator[None]:
        """Wait until a request may be read, within the `with` block; only for calls that are counted."""
        own = self._turns.setdefault(client_bucket_key(address), asyncio.Semaphore(MAX_READS_PER_CLIENT))
        async with own, self._all_turns:
            yield


RETRY_AFTER = timedelta(seconds=1)
