"""Streams the updates of a feed to its readers: woken by a database notification, or after a poll interval."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from services.auth.model.feeds import Keepalive
from services.chassis.database import NotificationListener
from services.chassis.feeds import FEED_SIGN_INTERVAL

POLL_INTERVAL = timedelta(milliseconds=500)
"""How long a feed waits for a notification before it reads anyway, so that an update arrives within a second."""

U = TypeVar("U")


class FeedPoller:
    """Wakes the readers of one feed."""

    def __init__(self, listener: NotificationListener) -> None:
        self._listener = listener
        self._woken = asyncio.Event()

    async def wait_for_updates(self) -> None:
        """Wait for a notification, at most `POLL_INTERVAL`."""
        await self._listener.wait(within=POLL_INTERVAL)

    def wake_readers(self) -> None:
        """Make every reader read again."""
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def stream(
        self,
        after: int,
        *,
        read_after: Callable[[int], Awaitable[Sequence[U]]],
        position_of: Callable[[U], int],
        batch_size: int | None = None,
        starts_with_keepalive: bool,
    ) -> AsyncGenerator[U | Keepalive, None]:
        """Yield the updates after a position, and a keepalive if there was no message for `FEED_SIGN_INTERVAL`.

        `read_after` returns the next updates, at most `batch_size` of them, or without a batch size all of them.
        `starts_with_keepalive` says whether a stream that begins without an update begins with a keepalive.
        """
        loop = asyncio.get_running_loop()
        sent_at = float("-inf") if starts_with_keepalive else loop.time()
        while True:
            woken = self._woken  # taken before reading, so that an update after it is not missed
            updates = await read_after(after)
            for update in updates:
                after, sent_at = position_of(update), loop.time()
                yield update
            if loop.time() - sent_at >= FEED_SIGN_INTERVAL.total_seconds():
                sent_at = loop.time()
                yield Keepalive(after)
            if len(updates) != batch_size:
                await woken.wait()
