"""Creates the team that the config.yaml of a workspace declares, and removes it again."""

from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.clients import AuthClient
from services.registry.directory.creation import WorkspaceCreator
from services.registry.directory.workspace_plan import WorkspacePlan
from services.registry.errors.orgs import NoConfig, NoSubWorkspaces
from services.registry.errors.workspaces import InstancesStillRunning, WorkspaceRemoved
from services.registry.lifecycle.removal import RemovalService
from services.registry.store.transaction import Store
from services.registry.templates import config_file
from services.registry.templates.config_file import SubWorkspace
from services.registry.workspace import events, state_machine
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import Removed
from services.registry.workspace.model import Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.validation import WorkspaceDraft


class Teams:
    """Expands and collapses workspaces. Both are idempotent."""

    def __init__(
        self, store: Store, *, creator: WorkspaceCreator, removal: RemovalService, auth: AuthClient, clock: Clock
    ) -> None:
        self._store = store
        self._creator = creator
        self._removal = removal
        self._auth = auth
        self._clock = clock

    async def expand(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[Workspace]:
        """Create the children that the config.yaml of the workspace declares: all, or none.

        A child whose name already exists below the workspace is kept. Raises `NoConfig`, `NoSubWorkspaces`, and
        `InvalidTemplate` for the template of a child.
        """
        async with self._store.begin() as tx:
            parent = await access.require_access(tx, caller, workspace_id)
            files = await tx.starter_files.get(parent.starter_files_digest)
        if parent.status is Status.REMOVED:
            raise WorkspaceRemoved
        config = config_file.read_config(files)
        if config is None:
            raise NoConfig
        if not config.sub_workspaces:
            raise NoSubWorkspaces
        by_name = {child.name: child for child in config.sub_workspaces}
        plans = [await self._plan_child(parent, child) for child in by_name.values()]
        return await self._creator.create_team(caller, parent, plans)

    async def preview_collapse(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[str]:
        """Return the names of the workspaces that a collapse would remove, parents first."""
        async with self._store.begin() as tx:
            parent = await access.require_access(tx, caller, workspace_id)
            ids = await tx.tree.list_subtree_ids(workspace_id)
            found = {one.id: one for one in await tx.lists.list_by_ids(ids)}
        if parent.status is Status.REMOVED:
            raise WorkspaceRemoved
        return [found[one].name for one in ids[1:] if found[one].status is not Status.REMOVED]

    async def collapse(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[str]:
        """Remove all descendants of the workspace, in the steps of a removal.

        Returns the names of the removed workspaces, parents first.
        Raises `InstancesStillRunning` if an instance still runs.
        """
        ids = await self._request_removal(caller, workspace_id)
        if not ids:
            return []
        await self._auth.bar_workspaces(ids)
        removed = await self._mark_removed(workspace_id, ids)
        failures = await self._removal.wait_for_stops(ids)
        if failures:
            raise InstancesStillRunning(removed=len(ids), failures=failures)
        return removed

    async def _plan_child(self, parent: Workspace, child: SubWorkspace) -> WorkspacePlan:
        """Plan a child from its template; a child without a template gets the runtime and model of its parent."""
        inherits = not child.config
        return await self._creator.plan(
            WorkspaceDraft(
                name=child.name,
                role=child.role,
                template=child.config,
                tier=parent.tier,
                runtime=parent.runtime if inherits else "",
                model=(parent.model or "") if inherits else "",
            )
        )

    async def _request_removal(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """Record that the descendants are to be removed: from now on none of them gets a new child."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            parent = await access.require_access(tx, caller, workspace_id)
            if parent.status is Status.REMOVED:
                raise WorkspaceRemoved
            below = [one for one in (await tx.tree.lock_subtree(workspace_id))[1:] if one.status is not Status.REMOVED]
            ids = [one.id for one in below]
            await tx.patch(ids, removal_wanted_at=self._clock.now(), removal_reason=Reason.COLLAPSED)
            await tx.audit_outbox.add(caller, AuditAction.REMOVED, *below, purge=False)
        return ids

    async def _mark_removed(self, workspace_id: WorkspaceId, ids: Sequence[WorkspaceId]) -> Sequence[str]:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            parent, *below = await tx.tree.lock_subtree(workspace_id)
            names = []
            for before in below:
                now = state_machine.next_state(before, Removed(at=self._clock.now()))
                if before.id in ids and now is not before:
                    tx.save(now, events.build_removal_event(now, 0))
                    names.append(now.name)
            tx.save(parent, events.build_collapse_event(names))
        return names
