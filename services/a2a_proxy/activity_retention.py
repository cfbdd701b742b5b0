"""Deletes activity: what is too old, what occupies too much, and what belongs to purged workspaces."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.model import WorkspaceId
from services.a2a_proxy.store import Store
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError

log = structlog.get_logger()

MAX_ROWS_PER_DELETE = 5_000
"""Rows that one transaction deletes."""

KEPT_SHARE = 0.9
"""Share of its limit that a log keeps when it is trimmed, so that not every further row trims it again."""

LARGEST_LOGS = 10
"""Logs of which one is trimmed while the whole plane stores too much; the others may hold nothing to delete."""

RETRY_INTERVAL = timedelta(seconds=5)
"""Delay until the next attempt while the database or the registry is unavailable."""

TOTAL_CHECK_BYTES = 16 * 1024 * 1024
"""Growth of all logs together after which the total is measured."""


class ActivityRetention:
    """Keeps the activity log within its limits. Other parts report usage and removals to it, so it polls nothing."""

    def __init__(
        self,
        store: Store,
        registry: RegistryClient,
        clock: Clock,
        *,
        age: timedelta,
        max_bytes: int,
        max_bytes_per_workspace: int,
        purge_others: Sequence[Callable[[WorkspaceId], Awaitable[None]]],
    ) -> None:
        """`max_bytes` limits the log of the whole plane. `purge_others` erase what other parts keep of a workspace."""
        self._purge_others = purge_others
        self._store = store
        self._registry = registry
        self._clock = clock
        self._age = age
        self._max_bytes = max_bytes
        self._max_bytes_per_workspace = max_bytes_per_workspace
        self._too_large: dict[WorkspaceId, int] = {}
        self._removed: set[WorkspaceId] = set()
        self._sizes: dict[WorkspaceId, int] = {}
        self._growth = 0
        self._total_is_unknown = True
        self._has_work = asyncio.Event()

    def note_usage(self, usage: Mapping[WorkspaceId, int]) -> None:
        """Note the bytes that the logs of some workspaces occupy after a commit."""
        for workspace_id, size in usage.items():
            if size > self._max_bytes_per_workspace:
                self._too_large[workspace_id] = size
                self._has_work.set()
            self._growth += max(size - self._sizes.get(workspace_id, 0), 0)
            self._sizes[workspace_id] = size
        if self._growth >= TOTAL_CHECK_BYTES:
            self._growth = 0
            self._total_is_unknown = True
            self._has_work.set()

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Note that a workspace was removed, and perhaps purged."""
        self._sizes.pop(workspace_id, None)
        self._removed.add(workspace_id)
        self._has_work.set()

    async def follow(self) -> None:
        """Trim and purge whenever something was noted, until cancelled."""
        while True:
            await self._has_work.wait()
            self._has_work.clear()
            try:
                await self._purge_removed()
                await self._trim_large()
                await self._trim_total()
            except ServiceError as error:
                log.warning("activity retention waits", reason=error.reason)
                self._has_work.set()
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())

    async def clean(self, has_route: Callable[[WorkspaceId], bool]) -> None:
        """Delete the rows that are too old, and have those of workspaces without a route deleted if they were purged.

        A purge that happens while this service is down is found in this way.
        """
        before = self._clock.now() - self._age
        deleted = MAX_ROWS_PER_DELETE
        while deleted == MAX_ROWS_PER_DELETE:
            async with self._store.begin() as tx:
                deleted = await tx.delete_before(before, limit=MAX_ROWS_PER_DELETE)
        async with self._store.begin() as tx:
            workspaces = await tx.list_workspaces()
        for workspace_id in workspaces:
            async with self._store.begin() as tx:
                await tx.recount_usage(workspace_id)
            if not has_route(workspace_id):
                self.note_removal(workspace_id)
        self._total_is_unknown = True
        self._has_work.set()

    async def _purge_removed(self) -> None:
        """Delete the activity of the noted workspaces that the registry does not know any more.

        A workspace is no longer noted while the registry is asked: a purge that is noted meanwhile has it asked again.
        """
        while self._removed:
            workspace_id = self._removed.pop()
            try:
                if (await self._registry.resolve(workspace_id, None)).route is None:
                    await self._purge(workspace_id)
            except ServiceError:
                self._removed.add(workspace_id)
                raise

    async def _purge(self, workspace_id: WorkspaceId) -> None:
        """Delete what others store of a workspace, and then its activity: until then they may add to it."""
        for purge in self._purge_others:
            await purge(workspace_id)
        total, deleted = 0, MAX_ROWS_PER_DELETE
        while deleted == MAX_ROWS_PER_DELETE:
            async with self._store.begin() as tx:
                deleted = await tx.delete_by_workspace(workspace_id, limit=MAX_ROWS_PER_DELETE)
            total += deleted
        log.info("activity purged", workspace=workspace_id, rows=total)

    async def _trim_large(self) -> None:
        while self._too_large:
            workspace_id, size = next(iter(self._too_large.items()))
            await self._trim(workspace_id, size, keep=int(self._max_bytes_per_workspace * KEPT_SHARE))
            self._too_large.pop(workspace_id)

    async def _trim_total(self) -> None:
        """Halve the largest log, again and again, until the whole plane stores as little as it may."""
        if not self._total_is_unknown:
            return
        has_trimmed = True
        while has_trimmed:
            async with self._store.begin() as tx:
                total = await tx.get_total_usage()
                largest = await tx.list_largest(limit=LARGEST_LOGS) if total > self._max_bytes else {}
            has_trimmed = await self._halve_first(largest)
        self._total_is_unknown = False
        if largest:
            log.warning("activity exceeds its limit with messages that wait for polling agents", bytes=total)

    async def _halve_first(self, logs: Mapping[WorkspaceId, int]) -> bool:
        """Halve the first of the logs that has anything to delete; returns whether there is one."""
        for workspace_id, size in logs.items():
            if await self._trim(workspace_id, size, keep=size // 2):
                return True
        return False

    async def _trim(self, workspace_id: WorkspaceId, size: int, *, keep: int) -> int:
        """Delete the oldest rows of a workspace that occupies `size` bytes; returns how many."""
        total, deleted = 0, MAX_ROWS_PER_DELETE
        while size > keep and deleted:
            async with self._store.begin() as tx:
                deleted = await tx.delete_oldest(workspace_id, surplus=size - keep, limit=MAX_ROWS_PER_DELETE)
                size = await tx.get_usage(workspace_id)
            total += deleted
        if total:
            log.info("activity trimmed", workspace=workspace_id, rows=total)
        return total
