"""Ends delegations that are overdue or belong to removed workspaces, and erases old ones and those of purged ones."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import structlog

from services.a2a_proxy.clients import RegistryClient
from services.a2a_proxy.delegations.cascade import end_with_descendants
from services.a2a_proxy.delegations.follower import Announce, DelegationFollower
from services.a2a_proxy.delegations.model import DelegationStatus
from services.a2a_proxy.delegations.store import DelegationStore
from services.a2a_proxy.delegations.transitions import DEADLINE_ERROR
from services.a2a_proxy.model import Status, WorkspaceId
from services.a2a_proxy.queue.model import QueueLimits
from services.chassis.clock import Clock
from services.chassis.errors import ServiceError

log = structlog.get_logger()

DUE_INTERVAL = timedelta(seconds=1)
"""Time between two looks for overdue delegations."""

MAX_PER_TRANSACTION = 100
"""Delegations that one transaction ends, besides those below them."""

MAX_ERASED = 1000
"""Delegations that one transaction erases."""

RETRY_INTERVAL = timedelta(seconds=5)
"""Delay until the next attempt while the database or the registry is unavailable."""

REMOVED_ERROR = "workspace removed"


class DelegationUpkeep:
    """Looks after delegations that nobody else ends."""

    def __init__(
        self,
        store: DelegationStore,
        follower: DelegationFollower,
        registry: RegistryClient,
        clock: Clock,
        *,
        age: timedelta,
        limits: QueueLimits,
        announce: Announce,
    ) -> None:
        """`age` is the time for which ended delegations are kept."""
        self._store = store
        self._follower = follower
        self._registry = registry
        self._clock = clock
        self._age = age
        self._limits = limits
        self._announce = announce
        self._removed: set[WorkspaceId] = set()
        self._has_removed = asyncio.Event()

    async def end_overdue(self) -> None:
        """Expire the delegations whose deadline has passed, and ask for tasks that nothing asks for."""
        has_overdue, has_unfollowed = await self._find_work()
        while has_overdue:
            async with self._store.begin_writing() as tx:
                due = await tx.list_due(limit=MAX_PER_TRANSACTION)
                cascade = await end_with_descendants(
                    tx, due, DelegationStatus.EXPIRED, DEADLINE_ERROR, limits=self._limits
                )
            self._announce(cascade.rows, {})
            log.info("delegations expired", count=len(cascade.ended))
            has_overdue, has_unfollowed = await self._find_work()
        if has_unfollowed:
            await self._follower.ask_unfollowed(limit=MAX_PER_TRANSACTION)

    def note_removal(self, workspace_id: WorkspaceId) -> None:
        """Note that a workspace was removed, and perhaps purged."""
        self._removed.add(workspace_id)
        self._has_removed.set()

    async def follow_removals(self) -> None:
        """Cancel the delegations of removed workspaces, and erase those of purged ones, until cancelled."""
        while True:
            await self._has_removed.wait()
            self._has_removed.clear()
            try:
                await self._end_removed()
            except ServiceError as error:
                log.warning("delegations of removed workspaces wait", reason=error.reason)
                self._has_removed.set()
                await asyncio.sleep(RETRY_INTERVAL.total_seconds())

    async def clean(self, has_route: Callable[[WorkspaceId], bool]) -> None:
        """Erase what ended long ago, and look for workspaces that were removed while this service was down."""
        before = self._clock.now() - self._age
        erased = MAX_ERASED
        while erased == MAX_ERASED:
            async with self._store.begin() as tx:
                erased = await tx.erase_ended_before(before, limit=MAX_ERASED)
        async with self._store.begin() as tx:
            workspaces = await tx.list_workspaces()
        for workspace_id in workspaces:
            if not has_route(workspace_id):
                self.note_removal(workspace_id)

    async def _find_work(self) -> tuple[bool, bool]:
        """Return whether there are overdue delegations, and tasks that nothing asks for."""
        async with self._store.begin() as tx:
            return bool(await tx.list_due(limit=1)), bool(await tx.list_unfollowed(limit=1))

    async def _end_removed(self) -> None:
        """End what belongs to the noted workspaces; one is noted again if the registry or the database is away."""
        while self._removed:
            workspace_id = self._removed.pop()
            try:
                route = (await self._registry.resolve(workspace_id, None)).route
                if route is None or route.status is Status.REMOVED:
                    await self._cancel_open(workspace_id)
                if route is None:
                    await self._erase(workspace_id)
            except ServiceError:
                self._removed.add(workspace_id)
                raise

    async def _cancel_open(self, workspace_id: WorkspaceId) -> None:
        count = MAX_PER_TRANSACTION
        while count == MAX_PER_TRANSACTION:
            async with self._store.begin_writing() as tx:
                found = await tx.list_open_of(workspace_id, limit=MAX_PER_TRANSACTION)
                cascade = await end_with_descendants(
                    tx, found, DelegationStatus.CANCELLED, REMOVED_ERROR, limits=self._limits
                )
            self._announce(cascade.rows, {})
            count = len(found)

    async def _erase(self, workspace_id: WorkspaceId) -> None:
        total, erased = 0, MAX_ERASED
        while erased == MAX_ERASED:
            async with self._store.begin() as tx:
                erased = await tx.erase_of(workspace_id, limit=MAX_ERASED)
            total += erased
        log.info("delegations purged", workspace=workspace_id, rows=total)
