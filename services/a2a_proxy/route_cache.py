"""Caches routes in memory and updates them from the registry's feed."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from datetime import timedelta
from typing import Protocol, assert_never

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


class RouteListener(Protocol):
    """Receives what the feed brings."""

    def note_heartbeat(self, workspace_id: WorkspaceId, active_tasks: int) -> None:
        """Note a heartbeat, in which an agent reports so many active tasks."""

    def note_route(self, before: Route | None, after: Route) -> None:
        """Note a route before and after a change; `None` before the first one."""

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Note that a workspace was removed."""


class RouteCache:
    """Answers from memory while the feed is fresh, and asks the registry otherwise."""

    def __init__(
        self,
        registry: RegistryClient,
        *,
        on_sign_of_life: Callable[[WorkspaceId], None],
        on_idle_timeout: Callable[[WorkspaceId, timedelta | None], None] = lambda *_: None,
        on_removal: Sequence[Callable[[WorkspaceId], None]] = (),
        on_update: Sequence[Callable[[WorkspaceUpdate], None]] = (),
        silence_limit: timedelta = FEED_SILENCE_LIMIT,
    ) -> None:
        """Set what is called for an update.

        `on_sign_of_life` is called for every heartbeat and registration of an agent. Other changes say nothing about
        the agent: the plane or a person makes them. `on_idle_timeout` is called with a timeout that an agent declares
        instead of another, or with `None`; `on_removal` is called for a removed workspace, and
        `on_update` for every update after the cache has changed.
        """
        self._listeners: list[RouteListener] = []
        self._registry = registry
        self._on_sign_of_life = on_sign_of_life
        self._on_idle_timeout = on_idle_timeout
        self._on_removal = on_removal
        self._on_update = on_update
        self._feed: FeedReader[WorkspaceUpdate] = FeedReader(
            "workspaces", self._open_feed, backoff=RECONNECT_BACKOFF, silence_limit=silence_limit
        )
        self._hearing_start: float | None = None
        self._revision = 0
        self._has_snapshot = False
        self._tree_version = 0
        self._routes: dict[WorkspaceId, Route] = {}
        self._allowed: dict[tuple[WorkspaceId, WorkspaceId], bool] = {}

    def add_listener(self, *listeners: RouteListener) -> None:
        """Call the listeners for every heartbeat, change and removal."""
        self._listeners.extend(listeners)

    def add_update_listener(self, call: Callable[[WorkspaceUpdate], None]) -> None:
        """Have `call` called for every update after the cache has changed."""
        self._on_update = (*self._on_update, call)

    @property
    def revision(self) -> int:
        """The highest revision that the cache contains; 0 while it is filled anew."""
        return self._revision

    def is_fresh(self) -> bool:
        """Whether the feed sent a message recently enough to trust the cache."""
        return self._feed.is_fresh()

    def get_hearing_start(self) -> float | None:
        """Return since when no heartbeat is missed, in seconds of the event loop; `None` while the feed is silent."""
        return self._hearing_start if self._feed.is_fresh() else None

    def has_route(self, workspace_id: WorkspaceId) -> bool:
        """Whether a route to the workspace is cached."""
        return workspace_id in self._routes

    def get(self, workspace_id: WorkspaceId) -> Route | None:
        """Return the cached route to a workspace, however old it is."""
        return self._routes.get(workspace_id)

    def list_organisation(self, org_id: WorkspaceId) -> list[WorkspaceId]:
        """Return the workspaces of an organisation that are in the cache."""
        return [route.workspace_id for route in self._routes.values() if route.org_id == org_id]

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
                is_first = True
                async for update in updates:
                    if is_first:
                        self._hearing_start = asyncio.get_running_loop().time()
                        is_first = False
                    self._apply(update)

    def _open_feed(self) -> AsyncGenerator[WorkspaceUpdate, None]:
        """Continue after the last revision if the cache is still fresh; otherwise empty it and read everything."""
        if not self._feed.is_fresh():
            self._clear()
        return self._registry.watch(self._revision)

    def _apply(self, update: WorkspaceUpdate) -> None:
        match update:
            case RouteChanged(_, route):
                self._note_declarations(self._routes.get(route.workspace_id), route)
                self._store_route(route)
            case HeartbeatReceived(_, workspace_id, active_tasks):
                self._on_sign_of_life(workspace_id)
                for listener in self._listeners:
                    listener.note_heartbeat(workspace_id, active_tasks)
            case SnapshotDone(revision):
                self._revision, self._has_snapshot = revision, True
            case Keepalive():
                pass
            case _:
                assert_never(update)
        for call in self._on_update:
            call(update)
        if self._has_snapshot:  # before the snapshot is complete, the feed has to start from the beginning again
            self._revision = max(self._revision, update.revision)

    def _note_declarations(self, known: Route | None, route: Route) -> None:
        """Report what the agent itself has changed, as far as the route shows it."""
        if known is None or known.revision > route.revision:
            return
        if known.registered_at != route.registered_at:
            self._on_sign_of_life(route.workspace_id)
        if known.idle_timeout != route.idle_timeout:
            self._on_idle_timeout(route.workspace_id, route.idle_timeout)

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
            for listener in self._listeners:
                listener.note_removal(route.workspace_id)
        else:
            self._routes[route.workspace_id] = route
            for listener in self._listeners:
                listener.note_route(known, route)

    def _clear(self) -> None:
        self._revision, self._has_snapshot = 0, False
        self._tree_version += 1
        self._routes.clear()
        self._allowed.clear()
