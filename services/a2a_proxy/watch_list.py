"""Keeps who watches which item, for streams that wait until it changes, within limits for all and for one workspace."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Generic, TypeVar

from services.a2a_proxy.errors import AgentBusy
from services.a2a_proxy.model import Deadline, StreamInterrupted, WorkspaceId


class Watcher:
    """Waits until an item has changed."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def wake(self) -> None:
        """Have the stream look at the item."""
        self._changed.set()

    def clear(self) -> None:
        """Forget earlier changes; a stream that does so looks at the item afterwards."""
        self._changed.clear()

    async def wait(self, within: timedelta) -> bool:
        """Wait for a change since the last call; returns whether there is one within the time."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True


W = TypeVar("W", bound=Watcher)


class WatchList(Generic[W]):
    """The watchers of each item."""

    def __init__(self, *, max_watchers: int, max_per_target: int) -> None:
        """`max_per_target` limits the watchers of the items of one workspace."""
        self._max_watchers = max_watchers
        self._max_per_target = max_per_target
        self._watchers: dict[str, set[W]] = {}
        self._counts: Counter[WorkspaceId] = Counter()
        self._is_used = asyncio.Event()
        self.is_stopping = False

    def stop(self) -> None:
        """Have all streams end, because the service stops."""
        self.is_stopping = True
        for item in self.list_items():
            self.wake(item)

    def wake(self, item: str) -> None:
        """Wake the watchers of an item."""
        for watcher in self.get(item):
            watcher.wake()

    async def wait(self, watcher: W, interval: timedelta, deadline: Deadline | None) -> bool:
        """Wait for a change, at most for `interval`; returns whether there is one.

        Raises `StreamInterrupted` at the deadline of the stream, and when the service stops.
        """
        if deadline is not None:
            left = timedelta(seconds=deadline.at - asyncio.get_running_loop().time())
            if left <= timedelta():
                raise StreamInterrupted
            interval = min(interval, left)
        has_changed = await watcher.wait(interval)
        if self.is_stopping:
            raise StreamInterrupted
        return has_changed

    @contextmanager
    def hold(self, target: WorkspaceId, item: str, watcher: W) -> Iterator[W]:
        """Keep a watcher of an item of a workspace for the length of the block."""
        self._watchers.setdefault(item, set()).add(watcher)
        self._counts[target] += 1
        self._is_used.set()
        try:
            yield watcher
        finally:
            own = self._watchers[item]
            own.discard(watcher)
            if not own:
                del self._watchers[item]
            self._counts[target] -= 1
            if not self._counts[target]:
                del self._counts[target]
            if not self._watchers:
                self._is_used.clear()

    def check_room(self, target: WorkspaceId) -> None:
        """Raise `AgentBusy` if no further item of a workspace may be watched."""
        if self._counts[target] >= self._max_per_target or self._counts.total() >= self._max_watchers:
            raise AgentBusy

    def list_items(self) -> list[str]:
        """Return the items that are watched."""
        return list(self._watchers)

    def get(self, item: str) -> Collection[W]:
        """Return the watchers of an item."""
        return self._watchers.get(item, ())

    async def wait_until_used(self) -> None:
        """Return once any item is watched."""
        await self._is_used.wait()
