"""Time that moves only when a test says so."""

import asyncio
import heapq
import itertools


class MovedClock:
    """Whoever sleeps is woken by `advance`, in the order of waking."""

    def __init__(self) -> None:
        self._now = 0.0
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), awake))
        self._wake()
        await awake.wait()

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self._wake()

    @property
    def sleeping(self) -> list[float]:
        """How long each sleeper still has to go, the next first."""
        return [due - self._now for due, _, _ in sorted(self._sleepers, key=lambda sleeper: sleeper[:2])]

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()
