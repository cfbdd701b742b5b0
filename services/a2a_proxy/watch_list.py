"""Keeps who watches which item, for callers that wait until it changes, within limits for all and for one workspace."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from services.a2a_proxy.errors import AgentBusy
from services.a2a_proxy.model import WorkspaceId

W = TypeVar("W")


class WatchList(Generic[W]):
    """The watchers of each item."""

    def __init__(self, *, max_watchers: int, max_per_target: int) -> None:
        """`max_per_target` limits the watchers of the items of one workspace."""
        self._max_watchers = max_watchers
        self._max_per_target = max_per_target
        self._watchers: dict[str, set[W]] = {}
        self._counts: Counter[WorkspaceId] = Counter()
        self._is_used = asyncio.Event()

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
