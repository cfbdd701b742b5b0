"""Routes in memory, kept fresh by the registry's feed."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import assert_never

import structlog

from services.a2a_proxy.calls import Registry
from services.a2a_proxy.model import (
    Alive,
    CaughtUp,
    Changed,
    News,
    Pulse,
    Resolved,
    Route,
    Status,
    WorkspaceId,
)
from services.chassis.errors import ServiceError

log = structlog.get_logger()

SILENCE = 8.0
"""Seconds after which a silent feed is no longer believed; it gives a sign of life every two."""

PAUSE = 0.25
"""Seconds until a broken feed is dialled again."""

PAIRS = 200_000
"""Remembered permissions; beyond them all are forgotten and asked for anew."""


class Routebook:
    """Answers from memory while the feed is alive, and asks the registry otherwise."""

    def __init__(self, registry: Registry, *, heard: Callable[[WorkspaceId], None], silence: float = SILENCE) -> None:
        """`heard` is told of every sign of life of a workspace."""
        self._registry = registry
        self._heard = heard
        self._silence = silence
        self._believed_until = 0.0
        self._revision = 0
        self._tree = 0
        self._routes: dict[WorkspaceId, Route] = {}
        self._allowed: dict[tuple[WorkspaceId, WorkspaceId], bool] = {}

    def live(self) -> bool:
        """Whether the feed has been heard lately."""
        return asyncio.get_running_loop().time() < self._believed_until

    async def find(self, target: WorkspaceId, caller: WorkspaceId | None) -> Resolved:
        """The route to a target and whether `caller` may write to it; raises `Unavailable`."""
        if self.live():
            route = self._routes.get(target)
            allowed = True if caller is None or caller == target else self._allowed.get((caller, target))
            if route is not None and allowed is not None:
                return Resolved(route=route, allowed=allowed)
        return await self.ask(target, caller)

    async def ask(self, target: WorkspaceId, caller: WorkspaceId | None) -> Resolved:
        """The same, as the registry knows it now; what may pass between known ones is kept until the tree changes."""
        tree = self._tree
        answer = await self._registry.resolve(target, caller)
        if caller in self._routes and target in self._routes and tree == self._tree:
            if len(self._allowed) >= PAIRS:
                self._allowed.clear()
            self._allowed[caller, target] = answer.allowed
        return answer

    async def follow(self) -> None:
        """Follow the feed until cancelled, coming back by itself. A feed that stays away is told of once."""
        told_of: float | None = None
        while True:
            try:
                await self._follow_once()
            except (ServiceError, TimeoutError) as error:
                if told_of != self._believed_until:
                    told_of = self._believed_until
                    log.warning("feed broken", feed="workspaces", error=repr(error))
            await asyncio.sleep(PAUSE)

    async def _follow_once(self) -> None:
        """Read one watch to its end. What was known is built upon if the feed was away for a moment only."""
        if not self.live():
            self._forget()
        async with aclosing(self._registry.watch(self._revision)) as feed:
            while True:
                async with asyncio.timeout(self._silence):
                    news = await anext(feed, None)
                if news is None:
                    return
                self._take(news)

    def _take(self, news: News) -> None:
        self._believed_until = asyncio.get_running_loop().time() + self._silence
        match news:
            case Changed(_, route):
                self._learn(route)
                self._heard(route.workspace_id)
            case Pulse(_, workspace_id):
                self._heard(workspace_id)
            case CaughtUp(revision):
                self._revision = revision
            case Alive():
                pass
            case _:
                assert_never(news)
        if self._revision:  # a snapshot that breaks off is begun again, so its revisions count for nothing
            self._revision = max(self._revision, news.revision)

    def _learn(self, route: Route) -> None:
        """Keep a route that is newer than the one known. Nobody writes to the removed, so those are asked for."""
        known = self._routes.get(route.workspace_id)
        if known is not None and known.revision > route.revision:
            return
        if known is not None and known.parent_id != route.parent_id:
            self._tree += 1
            self._allowed.clear()
        if route.status is Status.REMOVED:
            self._routes.pop(route.workspace_id, None)
        else:
            self._routes[route.workspace_id] = route

    def _forget(self) -> None:
        self._revision = 0
        self._tree += 1
        self._routes.clear()
        self._allowed.clear()
