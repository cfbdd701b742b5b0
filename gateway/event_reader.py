"""Delivers events to one client: first those that it missed, then those that happen while it is connected."""

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
"""Time without an event after which the client is sent a keepalive."""

WORKSPACE_REMOVED_EVENT = "WORKSPACE_REMOVED"
"""The last event of a workspace."""

Replay = Callable[[int, int], AsyncIterator[LiveEvent]]
"""Reads the events of the client after one event id and up to another; 0 means without end."""

SendEvent = Callable[[LiveEvent | None], Awaitable[bool]]
"""Sends an event, or a keepalive for `None`; returns whether more events may follow."""


class EventReader:
    """Reads the events of one client."""

    def __init__(
        self,
        feed: EventFeed,
        audiences: SubscribedAudiences,
        replay: Replay,
        *,
        after: int,
        is_finished: bool,
        capacity: int,
    ) -> None:
        """`after` is the id of the last event that the client knows; `is_finished` if no new event can follow.

        `capacity` is the number of unread events that the gateway keeps for the client.
        """
        self._feed = feed
        self._audiences = audiences
        self._replay = replay
        self._after = after
        self._is_finished = is_finished
        self._capacity = capacity

    async def deliver_to(self, send: SendEvent) -> EndReason:
        """Send the events until they end; returns why."""
        try:
            async with aclosing(self._read()) as events:
                async for event in events:
                    if not await send(event):
                        break
        except SubscriptionEnded as ended:
            return ended.reason
        except ServiceError:
            return EndReason.UNAVAILABLE
        return EndReason.FINISHED

    async def _read(self) -> AsyncGenerator[LiveEvent | None, None]:
        """Replay up to the position of the feed until the feed has not moved meanwhile, then subscribe to it."""
        known, position = self._after, -1
        while not self._is_finished and position != (latest := await self._feed.position()):
            position = latest
            if known < position:
                async for event in self._replay(known, position):
                    yield event
                known = position
        if self._is_finished:
            async for event in self._replay(known, 0):
                yield event
            return
        subscription = EventSubscription(self._capacity, known)
        with self._feed.attach(subscription, self._audiences):
            while True:
                yield await subscription.next(KEEPALIVE_INTERVAL)


async def run_until_end(
    deliver: Callable[[], Awaitable[EndReason]],
    *,
    authorization: Callable[[], Awaitable[Any]],
    departure: Callable[[], Awaitable[Any]],
) -> EndReason:
    """Deliver until the events end, the authorization fails or the client departs; returns which came first."""
    tasks = [asyncio.ensure_future(deliver()), asyncio.ensure_future(_watch_authorization(authorization))]
    tasks.append(asyncio.ensure_future(_watch_client(departure)))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(task.result() for task in reversed(tasks) if task in done)


async def _watch_authorization(authorization: Callable[[], Awaitable[Any]]) -> EndReason:
    try:
        await authorization()
    except Unavailable:
        return EndReason.UNAVAILABLE
    except ServiceError:
        return EndReason.UNAUTHORISED
    return EndReason.CLIENT_LEFT


async def _watch_client(departure: Callable[[], Awaitable[Any]]) -> EndReason:
    await departure()
    return EndReason.CLIENT_LEFT
