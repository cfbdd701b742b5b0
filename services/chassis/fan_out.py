"""Publishes items to any number of subscribers, each with a bounded queue of its own."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Generic, TypeVar

T = TypeVar("T")


class Subscription(Generic[T]):
    """The unread items of one subscriber. Writing never waits, so a slow subscriber delays nobody else.

    One task reads at a time.
    """

    def __init__(
        self,
        *,
        capacity: int,
        weigh: Callable[[T], int] = lambda _: 1,
        overflow_error: Callable[[], Exception] | None = None,
    ) -> None:
        """An item is accepted while the unread items weigh less than `capacity`; by default each weighs 1.

        With `overflow_error`, an item too many closes the subscription with that error; otherwise it is dropped.
        """
        self._capacity = capacity
        self._weigh = weigh
        self._overflow_error = overflow_error
        self._unread: deque[T] = deque()
        self._weight = 0
        self._error: Exception | None = None
        self._readable = asyncio.Event()

    @property
    def is_empty(self) -> bool:
        """Whether every item was read."""
        return not self._unread

    @property
    def is_full(self) -> bool:
        """Whether the next item overflows."""
        return self._weight >= self._capacity

    def put(self, item: T) -> None:
        """Add an item. A closed subscription ignores it."""
        if self._error is not None:
            return
        if not self.is_full:
            self._unread.append(item)
            self._weight += self._weigh(item)
            self._readable.set()
        elif self._overflow_error is not None:
            self.close(self._overflow_error())

    def close(self, error: Exception) -> None:
        """Discard the unread items and raise `error` on every further read; the first call counts."""
        self._error = self._error or error
        self._unread.clear()
        self._weight = 0
        self._readable.set()

    def discard_first(self, matches: Callable[[T], bool]) -> bool:
        """Discard the oldest unread item that matches; whether there was one."""
        for index, item in enumerate(self._unread):
            if matches(item):
                del self._unread[index]
                self._note_removed(item)
                return True
        return False

    async def next(self, timeout: timedelta | None = None) -> T | None:  # noqa: ASYNC109 - no item is a usual result
        """Return the oldest unread item, or `None` after `timeout`; raises the error of a closed subscription."""
        if not self._readable.is_set():
            try:
                async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
                    await self._wait_until_readable()
            except TimeoutError:
                return None
        return self._take()

    async def next_batch(self, max_weight: int) -> Sequence[T]:
        """Wait for an item; return it and those after it that fit into `max_weight` together with it."""
        await self._wait_until_readable()
        batch = [self._take()]
        weight = self._weigh(batch[0])
        while self._unread and (weight := weight + self._weigh(self._unread[0])) <= max_weight:
            batch.append(self._take())
        return batch

    async def _wait_until_readable(self) -> None:
        while not self._readable.is_set():  # what woke this task may have been discarded before its turn
            await self._readable.wait()

    def _take(self) -> T:
        if self._error is not None:
            raise self._error
        item = self._unread.popleft()
        self._note_removed(item)
        return item

    def _note_removed(self, item: T) -> None:
        self._weight -= self._weigh(item)
        if not self._unread:
            self._readable.clear()


class FanOut(Generic[T]):
    """Publishes each item to those subscriptions that exist at that moment."""

    def __init__(
        self,
        *,
        capacity: int,
        weigh: Callable[[T], int] = lambda _: 1,
        overflow_error: Callable[[], Exception] | None = None,
    ) -> None:
        """The limits of each subscription: see `Subscription`."""
        self._capacity = capacity
        self._weigh = weigh
        self._overflow_error = overflow_error
        self._subscriptions: set[Subscription[T]] = set()

    @property
    def has_subscribers(self) -> bool:
        """Whether a published item would reach a subscriber."""
        return bool(self._subscriptions)

    def publish(self, item: T) -> None:
        """Add an item to every subscription."""
        for subscription in self._subscriptions:
            subscription.put(item)

    @contextmanager
    def subscribe(self) -> Iterator[Subscription[T]]:
        """Receive every item that is published within the `with` block."""
        subscription: Subscription[T] = Subscription(
            capacity=self._capacity, weigh=self._weigh, overflow_error=self._overflow_error
        )
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
