"""Work that many ask for at the same time, done for all of them in one go."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

EARLY_BATCH_SIZE = 32
"""So many make up a batch that need not wait for more: what it costs beside what is in it matters no more."""

T = TypeVar("T")
R = TypeVar("R")


class _Waiter(Generic[T, R]):
    """Somebody who asked: waiting, taken along, answered, or gone."""

    def __init__(self, item: T) -> None:
        self.item = item
        self.waits = True
        self.gone = False
        self.outcome: tuple[R] | Exception | None = None
        self._turn: asyncio.Future[None] | None = None

    async def roused(self) -> None:
        """Until there is something to do, or an outcome."""
        self._turn = asyncio.get_running_loop().create_future()
        await self._turn

    def rouse(self) -> None:
        """There is."""
        if self._turn is not None and not self._turn.done():
            self._turn.set_result(None)


class Batcher(Generic[T, R]):
    """Does the work in batches. Whoever finds nobody gathering gathers one; those who come meanwhile wait for it.

    So whoever is alone waits for nobody, and no task stands in the background. If the one who does the work is
    cancelled, the others are taken along by the next: `work` may see an item twice.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]],
        *,
        capacity: int,
        weigh: Callable[[T], int] = lambda _: 1,
        at_once: int = 1,
        pause: float = 0.0,
    ) -> None:
        """`work` answers each item, in their order, or says what its asker shall raise; what it raises, all of them do.

        A batch takes no further item once those in it weigh `capacity`; `at_once` may be under way. The next begins
        no earlier than `pause` seconds after the last one, unless plenty wait.
        """
        self._work = work
        self._capacity = capacity
        self._weigh = weigh
        self._at_once = at_once
        self._pause = pause
        self._next = 0.0
        self._waiting: deque[_Waiter[T, R]] = deque()
        self._gatherer: _Waiter[T, R] | None = None
        self._under_way = 0

    async def submit(self, item: T) -> R:
        """What the work answers for this item."""
        place: _Waiter[T, R] = _Waiter(item)
        self._waiting.append(place)
        if self._gatherer is not None and len(self._waiting) >= EARLY_BATCH_SIZE:
            self._gatherer.rouse()
        try:
            while place.outcome is None:
                if place.waits and self._gatherer is None and self._under_way < self._at_once:
                    await self._take(await self._gathered(place))
                else:
                    await place.roused()
        finally:
            place.gone = True
            if place.waits:
                self._waiting.remove(place)
            self._rouse_next()
        if isinstance(place.outcome, Exception):
            raise place.outcome
        return place.outcome[0]

    async def _gathered(self, gatherer: _Waiter[T, R]) -> Sequence[_Waiter[T, R]]:
        """Whoever waits when the next batch is due."""
        self._gatherer, loop = gatherer, asyncio.get_running_loop()
        try:
            await asyncio.sleep(0)  # whoever asks in the same moment comes along
            while loop.time() < self._next and len(self._waiting) < EARLY_BATCH_SIZE:
                due = loop.call_at(self._next, gatherer.rouse)
                await gatherer.roused()
                due.cancel()
            self._next = loop.time() + self._pause
            return self._packed()
        finally:
            self._gatherer = None
            self._rouse_next()

    async def _take(self, batch: Sequence[_Waiter[T, R]]) -> None:
        self._under_way += 1
        try:
            answers = await self._work([place.item for place in batch])
            for place, answer in zip(batch, answers, strict=True):
                place.outcome = answer if isinstance(answer, Exception) else (answer,)
        except Exception as error:  # noqa: BLE001 - each of those who asked raises it
            for place in batch:
                place.outcome = error
        finally:
            self._under_way -= 1
            for place in reversed(batch):
                if place.outcome is None and not place.gone:
                    place.waits = True
                    self._waiting.appendleft(place)
                place.rouse()

    def _packed(self) -> Sequence[_Waiter[T, R]]:
        packed: list[_Waiter[T, R]] = []
        weight = 0
        while self._waiting and weight < self._capacity:
            place = self._waiting.popleft()
            place.waits = False
            weight += self._weigh(place.item)
            packed.append(place)
        return packed

    def _rouse_next(self) -> None:
        """Whoever waits longest gathers next."""
        if self._waiting:
            self._waiting[0].rouse()
