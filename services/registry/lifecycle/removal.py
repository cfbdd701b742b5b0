"""Removes a workspace and its descendants: bars their tokens, commits, waits for the instances, purges on request."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

import structlog

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.clients import AuthClient
from services.registry.errors.workspaces import ConfirmationRequired, InstancesStillRunning, WorkspaceNotFound
from services.registry.feeds.workspace_feed import Feed
from services.registry.lifecycle import transitions
from services.registry.store.transaction import Store
from services.registry.workspace import events
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.events import EventDraft
from services.registry.workspace.facts import Removed
from services.registry.workspace.model import Status, Workspace, WorkspaceId

log = structlog.get_logger()

STOP_TIMEOUT = timedelta(seconds=30)
"""How long a remove request waits for the instances to stop."""

POLL_INTERVAL = timedelta(seconds=1)
"""How long the wait relies on the feed before it reads the table again."""

STOP_TIMEOUT_TEXT = "no answer in time"
"""The stop error of an instance on which the provisioner reports nothing."""

NO_PROVISIONER_TEXT = "provisioner not available"
"""The stop error of an instance while no provisioner is connected."""


class RemovalService:
    """Removes workspaces. Every step can be repeated, and a sweep repeats an interrupted removal."""

    def __init__(
        self, store: Store, feed: Feed, *, auth: AuthClient, clock: Clock, stop_timeout: timedelta = STOP_TIMEOUT
    ) -> None:
        self._store = store
        self._feed = feed
        self._auth = auth
        self._clock = clock
        self._stop_timeout = stop_timeout

    async def remove(self, caller: Identity, workspace_id: WorkspaceId, *, confirm: bool, purge: bool) -> int:
        """Remove a workspace and its descendants; return the number of descendants.

        Raises `ConfirmationRequired` if there are children and `confirm` is false, and `InstancesStillRunning` if the
        workspaces are removed but an instance still runs. Repeating the call repeats the stops.
        """
        ids = await self._request_removal(caller, workspace_id, confirm=confirm, purge=purge)
        await self._auth.bar_workspaces(ids)
        ids = await self._commit(workspace_id)
        failures = await self.wait_for_stops(ids)
        if failures:
            raise InstancesStillRunning(removed=len(ids), failures=failures)
        if purge:
            await self._purge(workspace_id, ids)
        return len(ids) - 1

    async def finish(self, workspace: Workspace) -> None:
        """Complete an interrupted removal."""
        if workspace.status is Status.REMOVED:
            await self._purge(workspace.id, [workspace.id])
            return
        async with self._store.begin() as tx:
            ids = await tx.tree.list_subtree_ids(workspace.id)
        await self._auth.bar_workspaces(ids)
        await self._commit(workspace.id)

    async def _request_removal(
        self, caller: Identity, workspace_id: WorkspaceId, *, confirm: bool, purge: bool
    ) -> Sequence[WorkspaceId]:
        """Store that the subtree is to be removed; from then on it accepts no new children."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            await access.require_access(tx, caller, workspace_id)
            tree = await tx.tree.lock_subtree(workspace_id)
            children = [below for below in tree if below.parent_id == workspace_id and _is_not_removed(below)]
            if children and not confirm:
                raise ConfirmationRequired([{"id": child.id, "name": child.name} for child in children])
            ids = [below.id for below in tree]
            purge_fields = {"purge_wanted": True} if purge else {}
            await tx.patch(ids, removal_wanted_at=self._clock.now(), **purge_fields)
            await tx.audit_outbox.add(caller, AuditAction.REMOVED, *tree, purge=purge)
        return ids

    async def _commit(self, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """Set every workspace of the subtree to removed; repeat the stop of those whose instance still runs."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            tree = await tx.tree.lock_subtree(workspace_id)

            for before in tree:
                fact = Removed(at=self._clock.now())
                cascade = len(tree) - 1 if before.id == workspace_id else 0
                after = transitions.apply(tx, before, fact, build_events=partial(_build_events, cascade))
                if after is before and before.stopped_at is None:
                    tx.save(replace(before, stop_error=""))
        if not tree:
            raise WorkspaceNotFound
        return [below.id for below in tree]

    async def wait_for_stops(self, ids: Sequence[WorkspaceId]) -> dict[str, str]:
        """Wait until all instances have stopped; return the error of each that has not, by id."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_timeout.total_seconds()
        while True:
            async with self._store.begin() as tx:
                running = [workspace for workspace in await tx.lists.list_by_ids(ids) if workspace.stopped_at is None]
                watched = await tx.revisions.is_watched(self._clock.now())
            if all(workspace.stop_error for workspace in running) or not watched or loop.time() >= deadline:
                return {
                    workspace.id: workspace.stop_error or (STOP_TIMEOUT_TEXT if watched else NO_PROVISIONER_TEXT)
                    for workspace in running
                }
            await self._feed.turned(min(POLL_INTERVAL, timedelta(seconds=max(deadline - loop.time(), 0))))

    async def _purge(self, workspace_id: WorkspaceId, ids: Sequence[WorkspaceId]) -> None:
        """Erase all records; a tombstone with a new revision remains, so that watchers see the purge."""
        await self._auth.forget_workspaces(ids)
        async with self._store.begin() as tx:
            await tx.tree.lock()
            for workspace in await tx.tree.lock_subtree(workspace_id):
                if workspace.id in ids:
                    tx.save(_build_tombstone(workspace, self._clock))
            await tx.erase_records(ids)
        log.info("workspaces purged", workspace=workspace_id, count=len(ids))


def _build_events(cascade: int, _before: Workspace, after: Workspace, _fact: Removed) -> list[EventDraft]:
    return [events.build_removal_event(after, cascade)]


def _is_not_removed(workspace: Workspace) -> bool:
    return workspace.status is not Status.REMOVED


def _build_tombstone(workspace: Workspace, clock: Clock) -> Workspace:
    return Workspace(
        id=workspace.id,
        name="",
        runtime="",
        org_id=workspace.org_id,
        status=workspace.status,
        status_reason=workspace.status_reason,
        status_since=workspace.status_since,
        status_event_id=workspace.status_event_id,
        created_at=workspace.created_at,
        generation=workspace.generation,
        backend=workspace.backend,
        instance_reference=workspace.instance_reference,
        placement_confirmed=True,
        removed_at=workspace.removed_at,
        stopped_at=workspace.stopped_at,
        purged_at=clock.now(),
    )
