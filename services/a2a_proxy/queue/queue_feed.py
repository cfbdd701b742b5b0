"""Follows what any replica accepts: updates the known identities and wakes the drain."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from services.a2a_proxy.queue.drain import Drain
from services.a2a_proxy.queue.recent_ids import REBUILD_INTERVAL, RecentIds
from services.chassis.database import NotificationListener
from services.chassis.errors import Unavailable

READ_INTERVAL = timedelta(seconds=5)
"""Longest time between two reads, in case a notification was missed."""

RETRY_INTERVAL = timedelta(seconds=0.5)
"""Delay until the next read while the database is unavailable."""


class QueueFeed:
    """Follows what any replica accepts: updates the known identities and wakes the drain."""

    def __init__(
        self,
        listener: NotificationListener,
        recent_ids: RecentIds,
        drain: Drain,
        *,
        on_notification: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_notification` is called after each notification: something in the queue has changed."""
        self._on_notification = on_notification
        self._listener = listener
        self._recent_ids = recent_ids
        self._drain = drain

    async def follow(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listener.listen())
            await self._read()

    async def _read(self) -> None:
        rebuild_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                if loop.time() >= rebuild_at:
                    await self._recent_ids.load()
                    rebuild_at = loop.time() + REBUILD_INTERVAL.total_seconds()
                for target in await self._recent_ids.read_new():
                    self._drain.wake(target)
            except Unavailable:
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())
            else:
                if await self._listener.wait(READ_INTERVAL):
                    self._on_notification()
