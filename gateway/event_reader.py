"""One client that listens: what it missed, then what happens, for as long as it may and can."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import Any

from gateway.event_feed import EventFeed, SubscribedAudiences
from gateway.live_event import LiveEvent
from gateway.subscriptions import EndReason, EventSubscription, SubscriptionEnded
from services.chassis.errors import ServiceError, Unavailable

KEEPALIVE_INTERVAL = timedelta(seconds=30)
"""How long nothing is said until something is said all the same."""

WORKSPACE_REMOVED_EVENT = "WORKSPACE_REMOVED"
"""The last that is ever told of a workspace."""

Replay = Callable[[int, int], AsyncIterator[LiveEvent]]
"""The events after one and up to another (0: all there are) that a client may hear of."""

SendEvent = Callable[[LiveEvent | None], Awaitable[bool]]
"""Says news to a client, or that it is quiet; whether it may go on."""


class EventReader:
    """What a client is let hear."""

    def __init__(
        self, live: EventFeed, view: SubscribedAudiences, replay: Replay, *, after: int, over: bool, capacity: int
    ) -> None:
        """`after` is the last event that it knows; `over` where nothing can happen any more."""
        self._live = live
        self._view = view
        self._replay = replay
        self._after = after
        self._over = over
        self._capacity = capacity

    async def tell(self, say: SendEvent) -> EndReason:
        """Say what is heard, until it ends; why it does."""
        try:
            async with aclosing(self._told()) as told:
                async for news in told:
                    if not await say(news):
                        break
        except SubscriptionEnded as ended:
            return ended.ending
        except ServiceError:
            return EndReason.UNSURE
        return EndReason.OVER

    async def _told(self) -> AsyncGenerator[LiveEvent | None, None]:
        """What it missed, up to where everybody has been told when it is through with that; then what happens."""
        known, reached = self._after, -1
        while not self._over and reached != (now := await self._live.reached()):
            reached = now
            if known < reached:
                async for news in self._replay(known, reached):
                    yield news
                known = reached
        if self._over:
            async for news in self._replay(known, 0):
                yield news
            return
        listener = EventSubscription(self._capacity, known)
        with self._live.attached(listener, self._view):
            while True:
                yield await listener.next(KEEPALIVE_INTERVAL)


async def run_until_end(
    telling: Callable[[], Awaitable[EndReason]],
    *,
    staying: Callable[[], Awaitable[Any]],
    leaving: Callable[[], Awaitable[Any]],
) -> EndReason:
    """Tell until that ends, or the client may not stay, or leaves; which of these it was."""
    tasks = [asyncio.ensure_future(telling()), asyncio.ensure_future(_watch_authorization(staying))]
    tasks.append(asyncio.ensure_future(_watch_client(leaving)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(task.result() for task in reversed(tasks) if task in done)


async def _watch_authorization(staying: Callable[[], Awaitable[Any]]) -> EndReason:
    try:
        await staying()
    except Unavailable:
        return EndReason.UNSURE
    except ServiceError:
        return EndReason.REFUSED
    return EndReason.LEFT


async def _watch_client(leaving: Callable[[], Awaitable[Any]]) -> EndReason:
    await leaving()
    return EndReason.LEFT
