"""A clock for the agent that a test advances by hand."""

import asyncio
import heapq
import itertools


class ManualClock:
    """`advance` wakes the sleepers whose time has come, the earliest first."""

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
        """The remaining seconds of each sleeper, the shortest first."""
        return [due - self._now for due, _, _ in sorted(self._sleepers, key=lambda sleeper: sleeper[:2])]

    def _wake(self) -> None:
        while self._sleepers and self._sleepers[0][0] <= self._now:
            heapq.heappop(self._sleepers)[2].set()
