"""The heart of rest: workspaces are paused with all below them, resumed, put to sleep and woken."""

import asyncio
from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.errors.lifecycle import (
    HibernationFailed,
    NothingToHibernate,
    NothingToPause,
    NothingToResume,
    TasksActive,
)
from services.registry.errors.workspaces import NotSupported, ParentPaused, ProvisionerUnavailable
from services.registry.feeds.workspace_feed import Feed
from services.registry.lifecycle.observations import WATCHER_LIFETIME, ObservationService, log_status_change
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import events, state_machine
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import (
    BootstrapFailed,
    Fact,
    HibernateRequested,
    PauseRequested,
    RestartRequested,
    ResumeRequested,
    StopFailed,
)
from services.registry.workspace.model import Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.state_machine import ONLINE_STATUSES

log = structlog.get_logger()

STOP_TIMEOUT = timedelta(seconds=30)
"""How long whoever puts a workspace to sleep waits for its instance to stop."""

POLL_INTERVAL = timedelta(seconds=1)
"""How long the wait trusts the feed before it looks by itself."""

STOP_TIMEOUT_TEXT = "no answer in time"
"""What is kept of a stop that nobody reported on."""


class PausingService:
    """What people and messages want of a workspace that is, besides restarting it."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        *,
        presence: ObservationService,
        catalog: Catalog,
        clock: Clock,
        stop_within: timedelta = STOP_TIMEOUT,
    ) -> None:
        self._store = store
        self._feed = feed
        self._presence = presence
        self._catalog = catalog
        self._clock = clock
        self._stop_within = stop_within

    async def pause(self, caller: Identity, workspace_id: WorkspaceId) -> tuple[int, bool]:
        """Pause it and all below it: how many, and whether somebody is there to stop them; else they stop later."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            found = await tx.find(workspace_id)
            access.check_org(caller, found)
            if found is None or found.status in {Status.PAUSED, Status.REMOVED}:
                raise NothingToPause
            before = [below for below in await tx.tree.lock_subtree(workspace_id) if below.status is not Status.REMOVED]
            paused = [one for one in before if self._change(tx, one, PauseRequested(at=self._clock.now())) is not one]
            await tx.audit_outbox.add(caller, AuditAction.PAUSED, *paused)
            return len(paused), await tx.revisions.is_watched(self._clock.now() - WATCHER_LIFETIME)

    async def resume(self, caller: Identity, workspace_id: WorkspaceId) -> tuple[Workspace, int]:
        """Resume it and what is paused below it, as far as only paused ones are between; how it is, and how many."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            found = await tx.find(workspace_id)
            access.check_org(caller, found)
            if found is None or found.status is not Status.PAUSED:
                raise NothingToResume
            above = await tx.tree.find_paused_ancestor(workspace_id)
            if above is not None:
                raise ParentPaused(above)
            before = _find_connected_paused(await tx.tree.lock_subtree(workspace_id))
            await self._check_startable(tx, *before)
            now = [self._change(tx, one, self._resumption(one)) for one in before]
            await tx.audit_outbox.add(caller, AuditAction.RESUMED, *now)
        return tx.get_saved(now[0]), len(now)

    async def hibernate(self, caller: Identity, workspace_id: WorkspaceId, *, force: bool) -> None:
        """Put it to sleep: claimed first, then stopped. If that fails it is as it was, and `HibernationFailed`."""
        async with self._store.begin() as tx:
            before = await tx.find(workspace_id, lock=True)
            access.check_org(caller, before)
            if before is None or before.status not in ONLINE_STATUSES:
                raise NothingToHibernate
            if before.external:
                raise NotSupported("external workspaces cannot be hibernated")
            if before.vitals.active_tasks and not force:
                raise TasksActive(before.vitals.active_tasks)
            await self._check_startable(tx, before)
            fact = HibernateRequested(at=self._clock.now(), reason=Reason.HIBERNATE_REQUESTED)
            claimed = self._change(tx, before, fact)
            await tx.audit_outbox.add(caller, AuditAction.HIBERNATED, claimed, force=force)
        await self._stopped(claimed)

    async def wake(self, workspace_id: WorkspaceId) -> None:
        """Start it if it sleeps; if it is about to, as soon as it does."""
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            if before.status in {Status.HIBERNATING, Status.HIBERNATED}:
                fact = RestartRequested(
                    at=self._clock.now(), reason=Reason.WAKE, limit=self._catalog.provision_limit(before.runtime)
                )
                self._change(tx, before, fact)

    async def declare_failed(self, caller: Identity, workspace_id: WorkspaceId, *, error: str, log_tail: str) -> bool:
        """Take somebody's word that its instance does not boot; whether it was booting."""
        async with self._store.begin() as tx:
            before = await access.require_access(tx, caller, workspace_id, lock=True)
            now = self._change(tx, before, BootstrapFailed(at=self._clock.now(), error=error, log_tail=log_tail))
            if now is before:
                return False
            await tx.audit_outbox.add(caller, AuditAction.DECLARED_FAILED, now)
            return True

    def _change(self, tx: Transaction, before: Workspace, fact: Fact) -> Workspace:
        now = state_machine.next_state(before, fact)
        if now is not before:
            tx.save(now, *events.build_change_events(before, now, fact))
            log_status_change(before, now)
        return now

    def _resumption(self, workspace: Workspace) -> ResumeRequested:
        return ResumeRequested(at=self._clock.now(), limit=self._catalog.provision_limit(workspace.runtime))

    async def _check_startable(self, tx: Transaction, *workspaces: Workspace) -> None:
        """Somebody listens who stops and starts instances, where one of these has one."""
        managed = any(not workspace.external for workspace in workspaces)
        if managed and not await tx.revisions.is_watched(self._clock.now() - WATCHER_LIFETIME):
            raise ProvisionerUnavailable

    async def _stopped(self, claimed: Workspace) -> None:
        """Wait until the instance is known to be stopped, or not to be; late news counts as a failure."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_within.total_seconds()
        while True:
            async with self._store.begin() as tx:
                now = await tx.get(claimed.id)
            if now.status is not Status.HIBERNATING:
                break
            if loop.time() >= deadline:
                fact = StopFailed(at=self._clock.now(), generation=claimed.generation, text=STOP_TIMEOUT_TEXT)
                now, _ = await self._presence.observe(claimed.id, fact)
                break
            await self._feed.turned(min(POLL_INTERVAL, timedelta(seconds=max(deadline - loop.time(), 0))))
        if now.status_reason is Reason.HIBERNATE_FAILED:
            raise HibernationFailed


def _find_connected_paused(tree: list[Workspace]) -> list[Workspace]:
    """The first of the tree and those below it that are paused, with nothing else between; parents come first."""
    reached = {tree[0].id}
    for below in tree[1:]:
        if below.status is Status.PAUSED and below.parent_id in reached:
            reached.add(below.id)
    return [one for one in tree if one.id in reached]
