"""Pauses, resumes, hibernates and wakes workspaces, and accepts that an instance failed to boot."""

import asyncio
from datetime import timedelta

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
from services.registry.feeds.workspace_feed import WorkspaceFeed
from services.registry.lifecycle import transitions
from services.registry.lifecycle.observations import ObservationService
from services.registry.lifecycle.renewal import RenewalService
from services.registry.lifecycle.transitions import apply_for_caller
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import (
    BootstrapFailed,
    HibernateRequested,
    IdleCheckEnded,
    PauseRequested,
    ResumeRequested,
    StopFailed,
)
from services.registry.workspace.model import Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.state_machine import ONLINE_STATUSES

STOP_TIMEOUT = timedelta(seconds=30)
"""How long a hibernate request waits for the instance to stop."""

POLL_INTERVAL = timedelta(seconds=1)
"""How long the wait relies on the feed before it reads the table again."""

STOP_TIMEOUT_TEXT = "no answer in time"
"""The stop error that is stored if the provisioner reports nothing."""


class PausingService:
    """Stops instances on request, and starts them again."""

    def __init__(
        self,
        store: Store,
        feed: WorkspaceFeed,
        *,
        observations: ObservationService,
        renewal: RenewalService,
        catalog: Catalog,
        clock: Clock,
        stop_timeout: timedelta = STOP_TIMEOUT,
    ) -> None:
        self._store = store
        self._feed = feed
        self._observations = observations
        self._renewal = renewal
        self._catalog = catalog
        self._clock = clock
        self._stop_timeout = stop_timeout

    async def pause(self, caller: Identity, workspace_id: WorkspaceId) -> tuple[int, bool]:
        """Pause a workspace and its descendants; return how many, and whether a provisioner is connected.

        Without a provisioner the instances are stopped once one connects. Raises `NothingToPause`.
        """
        async with self._store.begin() as tx:
            await tx.tree.lock()
            found = await tx.find(workspace_id)
            access.check_org(caller, found)
            if found is None or found.status in {Status.PAUSED, Status.REMOVED}:
                raise NothingToPause
            tree = [below for below in await tx.tree.lock_subtree(workspace_id) if below.status is not Status.REMOVED]
            facts = [(one, PauseRequested(at=self._clock.now())) for one in tree]
            paused = await apply_for_caller(tx, caller, AuditAction.PAUSED, facts)
            return len(paused), await tx.revisions.is_watched(self._clock.now())

    async def resume(self, caller: Identity, workspace_id: WorkspaceId) -> tuple[Workspace, int]:
        """Resume a workspace and its paused descendants; return the workspace, and how many were resumed.

        A descendant below one that is not paused is not resumed. Raises `NothingToResume`, `ParentPaused`,
        `ProvisionerUnavailable` or `TooManyRunning`.
        """
        async with self._store.begin() as tx:
            await tx.tree.lock()
            found = await tx.find(workspace_id)
            access.check_org(caller, found)
            if found is None or found.status is not Status.PAUSED:
                raise NothingToResume
            paused_ancestor = await tx.tree.find_paused_ancestor(workspace_id)
            if paused_ancestor is not None:
                raise ParentPaused(paused_ancestor)
            paused = _find_connected_paused(await tx.tree.lock_subtree(workspace_id))
            await self._require_provisioner(tx, *paused)
            await self._renewal.require_room(tx, *paused)
            facts = [(one, self._build_resume_fact(one)) for one in paused]
            resumed = await apply_for_caller(tx, caller, AuditAction.RESUMED, facts)
        return tx.get_saved(resumed[0]), len(resumed)

    async def hibernate(self, caller: Identity, workspace_id: WorkspaceId, *, force: bool) -> None:
        """Hibernate a workspace; returns when its instance has stopped.

        The status is committed before the stop. Raises `NothingToHibernate`, `NotSupported`, `TasksActive`,
        `ProvisionerUnavailable`, or `HibernationFailed` after the former status was restored.
        """
        async with self._store.begin() as tx:
            before = await tx.find(workspace_id, lock=True)
            access.check_org(caller, before)
            if before is None or before.status not in ONLINE_STATUSES:
                raise NothingToHibernate
            if before.external:
                raise NotSupported("external workspaces cannot be hibernated")
            if before.vitals.active_tasks and not force:
                raise TasksActive(before.vitals.active_tasks)
            await self._require_provisioner(tx, before)
            fact = HibernateRequested(at=self._clock.now(), reason=Reason.HIBERNATE_REQUESTED)
            [hibernating] = await apply_for_caller(tx, caller, AuditAction.HIBERNATED, [(before, fact)], force=force)
        await self._wait_until_stopped(hibernating)

    async def wake(self, workspace_id: WorkspaceId) -> None:
        """Start a hibernated workspace; one that still hibernates is started afterwards. Others do not change.

        One of which the proxies are asked whether it has work does not hibernate: a message waits for it. Raises
        `TooManyRunning`.
        """
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            now = self._clock.now()
            transitions.apply(tx, before, IdleCheckEnded(at=now, worked_at=now))
            if before.status in {Status.HIBERNATING, Status.HIBERNATED}:
                await self._renewal.require_room(tx, before)
                self._renewal.wake(tx, before)

    async def declare_failed(self, caller: Identity, workspace_id: WorkspaceId, *, error: str, log_tail: str) -> bool:
        """Record a caller's statement that the instance does not boot; return whether it was booting."""
        async with self._store.begin() as tx:
            before = await access.require_access(tx, caller, workspace_id, lock=True)
            fact = BootstrapFailed(at=self._clock.now(), error=error, log_tail=log_tail)
            return bool(await apply_for_caller(tx, caller, AuditAction.DECLARED_FAILED, [(before, fact)]))

    def _build_resume_fact(self, workspace: Workspace) -> ResumeRequested:
        return ResumeRequested(at=self._clock.now(), limit=self._catalog.provision_limit(workspace.runtime))

    async def _require_provisioner(self, tx: Transaction, *workspaces: Workspace) -> None:
        """Raise `ProvisionerUnavailable` if one of the workspaces is managed and no provisioner is connected."""
        is_managed = any(not workspace.external for workspace in workspaces)
        if is_managed and not await tx.revisions.is_watched(self._clock.now()):
            raise ProvisionerUnavailable

    async def _wait_until_stopped(self, hibernating: Workspace) -> None:
        """Wait until the provisioner reports the result of the stop; no report in time counts as a failure."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_timeout.total_seconds()
        while True:
            async with self._store.begin() as tx:
                now = await tx.get(hibernating.id)
            if now.status is not Status.HIBERNATING:
                break
            if loop.time() >= deadline:
                fact = StopFailed(at=self._clock.now(), generation=hibernating.generation, text=STOP_TIMEOUT_TEXT)
                now, _ = await self._observations.observe(hibernating.id, fact)
                break
            await self._feed.wait_for_change(min(POLL_INTERVAL, timedelta(seconds=max(deadline - loop.time(), 0))))
        if now.status_reason is Reason.HIBERNATE_FAILED:
            raise HibernationFailed


def _find_connected_paused(tree: list[Workspace]) -> list[Workspace]:
    """Return the root of `tree` and the paused workspaces whose ancestors up to it are paused; parents come first."""
    reached = {tree[0].id}
    for below in tree[1:]:
        if below.status is Status.PAUSED and below.parent_id in reached:
            reached.add(below.id)
    return [one for one in tree if one.id in reached]
