"""Batches work: callers submit single items, and a function processes many of them at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from services.chassis.errors import ServiceError

EARLY_BATCH_SIZE = 32
"""Items that make a batch start before its interval has passed: from here the fixed cost of a batch is negligible."""

T = TypeVar("T")
R = TypeVar("R")


class _Submission(Generic[T, R]):
    """One submitted item, and the caller that waits for its result."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.is_queued = True
        self.is_abandoned = False
        self.outcome: tuple[R] | Exception | None = None
        self._wakeup: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        """Wait for `wake`."""
        self._wakeup = asyncio.get_running_loop().create_future()
        await self._wakeup

    def wake(self) -> None:
        """Wake the caller: it has an outcome, or may open a batch."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)


class Batcher(Generic[T, R]):
    """Processes submitted items in batches. The first caller opens a batch; later callers join it.

    A single caller never waits for others, and no background task is needed. If the caller that processes a batch is
    cancelled, the other items of the batch are processed again: `process` may receive an item twice. It does so too
    after an error that is no `ServiceError`: then each item is processed alone, so that one cannot fail the others.
    """

    def __init__(
        self,
        process: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        capacity: int,
        weigh: Callable[[T], int] = lambda _: 1,
        max_concurrent: int = 1,
        interval_seconds: float = 0.0,
    ) -> None:
        """`process` returns one result for each item in order; an exception as a result is raised to that caller only.

        A batch takes no further item once its items weigh `capacity`. The next batch starts `interval_seconds`
        after the last one, or earlier if EARLY_BATCH_SIZE items are queued.
        """
        self._process = process
        self._capacity = capacity
        self._weigh = weigh
        self._max_concurrent = max_concurrent
        self._interval_seconds = interval_seconds
        self._next_batch_at = 0.0
        self._queue: deque[_Submission[T, R]] = deque()
        self._collector: _Submission[T, R] | None = None
        self._running_batches = 0

    async def submit(self, item: T) -> R:
        """Return the result of this item."""
        submission: _Submission[T, R] = _Submission(item)
        self._queue.append(submission)
        if self._collector is not None and len(self._queue) >= EARLY_BATCH_SIZE:
            self._collector.wake()
        try:
            while submission.outcome is None:
                if submission.is_queued and self._collector is None and self._running_batches < self._max_concurrent:
                    await self._process_batch(await self._collect_batch(submission))
                else:
                    await submission.wait()
        finally:
            submission.is_abandoned = True
            if submission.is_queued:
                self._queue.remove(submission)
            self._wake_next()
        if isinstance(submission.outcome, Exception):
            raise submission.outcome
        return submission.outcome[0]

    async def _collect_batch(self, collector: _Submission[T, R]) -> Sequence[_Submission[T, R]]:
        """Return the submissions that are queued when the next batch may start."""
        self._collector, loop = collector, asyncio.get_running_loop()
        try:
            await asyncio.sleep(0)  # callers of the same turn of the loop join this batch
            while loop.time() < self._next_batch_at and len(self._queue) < EARLY_BATCH_SIZE:
                timer = loop.call_at(self._next_batch_at, collector.wake)
                await collector.wait()
                timer.cancel()
            self._next_batch_at = loop.time() + self._interval_seconds
            return self._pop_batch()
        finally:
            self._collector = None
            self._wake_next()

    async def _process_batch(self, batch: Sequence[_Submission[T, R]]) -> None:
        self._running_batches += 1
        try:
            results = await self._process_items([submission.item for submission in batch])
            for submission, result in zip(batch, results, strict=True):
                submission.outcome = result if isinstance(result, Exception) else (result,)
        finally:
            self._running_batches -= 1
            for submission in reversed(batch):
                if submission.outcome is None and not submission.is_abandoned:
                    submission.is_queued = True
                    self._queue.appendleft(submission)
                submission.wake()

    async def _process_items(self, items: Sequence[T]) -> Sequence[R | Exception]:
        """Return the result of each item; an error of all of them is the result of each."""
        try:
            return await self._process(items)
        except ServiceError as error:
            return [error] * len(items)
        except Exception as error:  # noqa: BLE001 - the caller of the item raises it
            if len(items) == 1:
                return [error]
            return [result for item in items for result in await self._process_items([item])]

    def _pop_batch(self) -> Sequence[_Submission[T, R]]:
        batch: list[_Submission[T, R]] = []
        weight = 0
        while self._queue and weight < self._capacity:
            submission = self._queue.popleft()
            submission.is_queued = False
            weight += self._weigh(submission.item)
            batch.append(submission)
        return batch

    def _wake_next(self) -> None:
        """Wake the caller that has waited longest, so that it opens the next batch."""
        if self._queue:
            self._queue[0].wake()
