"""What is told once, to whoever listens, and is not kept."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence

from services.a2a_proxy.model import Broadcast

BACKLOG_BYTES = 32 * 1024 * 1024
"""Bytes unheard above which a listener misses what comes: memory is worth more than news that nobody waits for."""

MESSAGE = 1024 * 1024
"""Bytes from which a message takes no further broadcast."""

OVERHEAD = 200
"""Bytes that a broadcast takes besides its payload, about."""


class Broadcasts:
    """Tells what arises in this replica to those who listen to this replica."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    @property
    def listened_to(self) -> bool:
        """Whether anybody would hear it: what nobody hears need not be put into words."""
        return bool(self._listeners)

    def tell(self, broadcasts: Iterable[Broadcast]) -> None:
        """Tell everybody who listens now."""
        for broadcast in broadcasts:
            for listener in self._listeners:
                listener.hear(broadcast)

    async def watch(self) -> AsyncIterator[Sequence[Broadcast]]:
        """What is told from now on, several at once where they have come together; for ever."""
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
        self._bytes = 0
        self._some = asyncio.Event()

    def hear(self, broadcast: Broadcast) -> None:
        """Take a broadcast, if there is room."""
        if self._bytes < BACKLOG_BYTES:
            self._unheard.append(broadcast)
            self._bytes += _size(broadcast)
            self._some.set()

    async def next(self) -> Sequence[Broadcast]:
        """What waits, up to a message full, and one at least."""
        await self._some.wait()
        batch: list[Broadcast] = []
        size = 0
        while self._unheard and (not batch or size + _size(self._unheard[0]) <= MESSAGE):
            batch.append(self._unheard.popleft())
            size += _size(batch[-1])
        self._bytes -= size
        if not self._unheard:
            self._some.clear()
        return batch


def _size(broadcast: Broadcast) -> int:
    return len(broadcast.payload) + OVERHEAD
