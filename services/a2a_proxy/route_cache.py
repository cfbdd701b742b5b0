"""Caches routes in memory and updates them from the registry's feed."""

from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import timedelta
from typing import assert_never

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import (
    HeartbeatReceived,
    Keepalive,
    ResolvedRoute,
    Route,
    RouteChanged,
    SnapshotDone,
    Status,
    WorkspaceId,
    WorkspaceUpdate,
)
from services.chassis.backoff import Backoff
from services.chassis.feeds import FEED_SILENCE_LIMIT, FeedReader

RECONNECT_BACKOFF = Backoff(timedelta(milliseconds=250), timedelta(milliseconds=250))
"""Delay before a broken feed is opened again."""

MAX_CACHED_PERMISSIONS = 200_000
"""Number of cached permissions at which the cache of permissions is emptied."""


class RouteCache:
    """Answers from memory while the feed is fresh, and asks the registry otherwise."""

    def __init__(
        self,
        registry: RegistryClient,
        *,
        on_sign_of_life: Callable[[WorkspaceId], None],
        on_removal: Sequence[Callable[[WorkspaceId], None]] = (),
        on_update: Sequence[Callable[[WorkspaceUpdate], None]] = (),
        silence_limit: timedelta = FEED_SILENCE_LIMIT,
    ) -> None:
        """`on_sign_of_life` is called for every heartbeat and change of a workspace, `on_removal` for its removal.

        `on_update` is called for every update, after the cache has changed.
        """
        self._registry = registry
        self._on_sign_of_life = on_sign_of_life
        self._on_removal = on_removal
        self._on_update = on_update
        self._feed: FeedReader[WorkspaceUpdate] = FeedReader(
            "workspaces", self._open_feed, backoff=RECONNECT_BACKOFF, silence_limit=silence_limit
        )
        self._revision = 0
        self._tree_version = 0
        self._routes: dict[WorkspaceId, Route] = {}
        self._allowed: dict[tuple[WorkspaceId, WorkspaceId], bool] = {}

    def is_fresh(self) -> bool:
        """Whether the feed sent a message recently enough to trust the cache."""
        return self._feed.is_fresh()

    def has_route(self, workspace_id: WorkspaceId) -> bool:
        """Whether a route to the workspace is cached."""
        return workspace_id in self._routes

    def get(self, workspace_id: WorkspaceId) -> Route | None:
        """Return the cached route of a workspace, without asking whether the cache is fresh."""
        return self._routes.get(workspace_id)

    async def has_native_scheduler(self, workspace_id: WorkspaceId) -> bool:
        """Whether the agent of a workspace declares a scheduler of its own; raises `Unavailable`."""
        route = (await self.find(workspace_id, None)).route
        return route is not None and route.has_native_scheduler

    async def find_trouble(self) -> str:
        """Return why the cache is not trusted; empty if it is."""
        return "" if self.is_fresh() else "changes of workspaces are not heard from the registry"

    async def find(self, target: WorkspaceId, caller: WorkspaceId | None) -> ResolvedRoute:
        """Return the route to `target` and whether `caller` may write to it; raises `Unavailable`."""
        if self._feed.is_fresh():
            route = self._routes.get(target)
            allowed = True if caller is None or caller == target else self._allowed.get((caller, target))
            if route is not None and allowed is not None:
                return ResolvedRoute(route=route, allowed=allowed)
        return await self.fetch(target, caller)

    async def fetch(self, target: WorkspaceId, caller: WorkspaceId | None) -> ResolvedRoute:
        """Ask the registry, whether or not the route is cached; raises `Unavailable`.

        The permission is cached until the hierarchy changes, if both workspaces are in the cache.
        """
        tree_version = self._tree_version
        answer = await self._registry.resolve(target, caller)
        if caller in self._routes and target in self._routes and tree_version == self._tree_version:
            if len(self._allowed) >= MAX_CACHED_PERMISSIONS:
                self._allowed.clear()
            self._allowed[caller, target] = answer.allowed
        return answer

    async def follow_feed(self) -> None:
        """Read the feed until cancelled, and open it again whenever it breaks."""
        while True:
            async with self._feed.connection() as updates:
                async for update in updates:
                    self._apply(update)

    def _open_feed(self) -> AsyncGenerator[WorkspaceUpdate, None]:
        """Continue after the last revision if the cache is still fresh; otherwise empty it and read everything."""
        if not self._feed.is_fresh():
            self._clear()
        return self._registry.watch(self._revision)

    def _apply(self, update: WorkspaceUpdate) -> None:
        match update:
            case RouteChanged(_, route):
                self._store_route(route)
                self._on_sign_of_life(route.workspace_id)
            case HeartbeatReceived(_, workspace_id):
                self._on_sign_of_life(workspace_id)
            case SnapshotDone(revision):
                self._revision = revision
            case Keepalive():
                pass
            case _:
                assert_never(update)
        for call in self._on_update:
            call(update)
        if self._revision:  # before the snapshot is complete, the feed has to start from the beginning again
            self._revision = max(self._revision, update.revision)

    def _store_route(self, route: Route) -> None:
        """Store a route unless a newer one is stored. Routes to removed workspaces are not stored: they are rare."""
        known = self._routes.get(route.workspace_id)
        if known is not None and known.revision > route.revision:
            return
        if known is not None and known.parent_id != route.parent_id:
            self._tree_version += 1
            self._allowed.clear()
        if route.status is Status.REMOVED:
            self._routes.pop(route.workspace_id, None)
            for call in self._on_removal:
                call(route.workspace_id)
        else:
            self._routes[route.workspace_id] = route

    def _clear(self) -> None:
        self._revision = 0
        self._tree_version += 1
        self._routes.clear()
        self._allowed.clear()
