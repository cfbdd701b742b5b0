"""What is told once, to whoever listens, and is not kept."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from services.registry.workspace.events import Broadcast

BACKLOG = 20_000
"""Unread news above which a listener misses what comes: the next heartbeat is not far."""

TOGETHER = 1_000
"""News told in one message."""


class Broadcasts:
    """Tells what arises in this replica to those who listen to this replica."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def tell(self, broadcast: Broadcast) -> None:
        """Tell everybody who listens now."""
        for listener in self._listeners:
            listener.hear(broadcast)

    async def watch(self) -> AsyncIterator[Sequence[Broadcast]]:
        """What is told from now on, all at once that has come meanwhile; for ever."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                yield await listener.next()
        finally:
            self._listeners.discard(listener)


class _Listener:
    """What one listener has yet to hear."""

    def __init__(self) -> None:
        self._unheard: deque[Broadcast] = deque()
        self._some = asyncio.Event()

    def hear(self, broadcast: Broadcast) -> None:
        """Take a broadcast, if there is room."""
        if len(self._unheard) < BACKLOG:
            self._unheard.append(broadcast)
            self._some.set()

    async def next(self) -> Sequence[Broadcast]:
        """Everything that waits, up to a message full."""
        await self._some.wait()
        batch = [self._unheard.popleft() for _ in range(min(len(self._unheard), TOGETHER))]
        if not self._unheard:
            self._some.clear()
        return batch
