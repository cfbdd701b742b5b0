"""What the registry wants, in memory, kept fresh by its feed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.provisioner.calls import Registry
from services.provisioner.model import Sign, Wish, WorkspaceId
from services.provisioner.plan import AT_ONCE

SILENCE = timedelta(seconds=8)
"""What was learnt from a feed that has been silent for longer is not acted on: it speaks every two seconds."""

FIRST_PAUSE = 0.05
"""Seconds before a broken feed is opened again; each further attempt waits twice as long."""

LONGEST_PAUSE = 1.0
"""Seconds that such a wait takes at most, so that a registry that was restarted is found soon."""

log = structlog.get_logger()


class Wishes:
    """The wish for every workspace. Only where `follow` is running is anything known, let alone fresh."""

    def __init__(self, registry: Registry, clock: Clock, *, silence: timedelta = SILENCE) -> None:
        self._registry = registry
        self._clock = clock
        self._silence = silence
        self._wishes: dict[WorkspaceId, Wish] = {}
        self._whole = False
        self._heard_at: datetime = AT_ONCE
        self._heard = asyncio.Event()

    def get(self, workspace_id: WorkspaceId) -> Wish | None:
        """The wish for a workspace; `None` where the registry has none, or has not told it."""
        return self._wishes.get(workspace_id)

    def all(self) -> list[Wish]:
        """Every wish, as of now."""
        return list(self._wishes.values())

    def fresh(self) -> bool:
        """Whether the wishes are all there and may be acted on."""
        return self._whole and self._clock.now() - self._heard_at <= self._silence

    async def until_fresh(self) -> None:
        """Wait until the wishes may be acted on."""
        while not self.fresh():
            await self._heard.wait()

    async def follow(self) -> AsyncGenerator[WorkspaceId | None, None]:
        """The workspaces whose wish has changed, for ever; `None` whenever all of them are to be looked at.

        A feed that breaks or falls silent is opened anew and begins with everything, so nothing is missed and
        nothing that has gone is kept. What is known is forgotten when following ends.
        """
        pause = FIRST_PAUSE
        try:
            while True:
                try:
                    async for changed in self._read():
                        pause = FIRST_PAUSE
                        yield changed
                except (ServiceError, TimeoutError) as error:
                    if pause == FIRST_PAUSE:
                        log.warning("feed broken", feed="workspaces", error=repr(error))
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            self._wishes.clear()
            self._whole = False

    async def _read(self) -> AsyncGenerator[WorkspaceId | None, None]:
        """One life of the feed. While it tells everything, single changes are not worth a word."""
        told: set[WorkspaceId] | None = set()
        self._whole = False
        async with aclosing(self._registry.watch()) as feed:
            while (news := await self._next(feed)) is not None:
                if isinstance(news, Wish):
                    changed = self._wishes.get(news.workspace_id) != news
                    self._wishes[news.workspace_id] = news
                    if told is not None:
                        told.add(news.workspace_id)
                    elif changed:
                        yield news.workspace_id
                elif news is Sign.WHOLE and told is not None:
                    self._wishes = {wish.workspace_id: wish for wish in self.all() if wish.workspace_id in told}
                    self._whole, told = True, None
                    yield None
                self._note()

    def _note(self) -> None:
        self._heard_at = self._clock.now()
        self._heard.set()
        self._heard = asyncio.Event()

    async def _next(self, feed: AsyncIterator[Wish | Sign]) -> Wish | Sign | None:
        """What the feed says next; `None` at its end. Raises `TimeoutError` when it is silent for too long."""
        async with asyncio.timeout(self._silence.total_seconds()):
            return await anext(feed, None)
