"""The team of a workspace: made of what its config declares, and removed again."""

from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.clients import AuthClient
from services.registry.directory.creation import Founding, Seed
from services.registry.errors.orgs import NoConfig, NoSubWorkspaces
from services.registry.errors.workspaces import InstancesStillRunning, WorkspaceRemoved
from services.registry.lifecycle.removal import RemovalService
from services.registry.store.transaction import Store
from services.registry.templates import config_file
from services.registry.templates.config_file import Member
from services.registry.templates.folders import Templates
from services.registry.workspace import events, state_machine
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import Removed
from services.registry.workspace.model import Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import StarterFiles
from services.registry.workspace.validation import WorkspaceDraft


class Teams:
    """Expands and collapses workspaces. Repeating either changes nothing more."""

    def __init__(
        self,
        store: Store,
        *,
        templates: Templates,
        founding: Founding,
        removal: RemovalService,
        auth: AuthClient,
        clock: Clock,
    ) -> None:
        self._store = store
        self._templates = templates
        self._founding = founding
        self._removal = removal
        self._auth = auth
        self._clock = clock

    async def expand(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[Workspace]:
        """Make the children that the config of the workspace declares: all, or none. A name that is there stays.

        Raises `NoConfig`, `NoSubWorkspaces`, and `InvalidTemplate` for the template of a child.
        """
        async with self._store.begin() as tx:
            above = await access.require_access(tx, caller, workspace_id)
            kit = StarterFiles(files=await tx.starter_files.get(above.starter_files_digest))
        if above.status is Status.REMOVED:
            raise WorkspaceRemoved
        said = config_file.of_kit(kit)
        if said is None:
            raise NoConfig
        if not said.sub_workspaces:
            raise NoSubWorkspaces
        members = {member.name: member for member in said.sub_workspaces}
        seeds = [await self._seed(above, member) for member in members.values()]
        return await self._founding.add_below(
            caller, above, seeds, lambda children: [events.build_expansion_event(children)]
        )

    async def below(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[str]:
        """The names of what a collapse would remove, parents first."""
        async with self._store.begin() as tx:
            above = await access.require_access(tx, caller, workspace_id)
            ids = await tx.tree.list_subtree_ids(workspace_id)
            found = {one.id: one for one in await tx.lists.list_by_ids(ids)}
        if above.status is Status.REMOVED:
            raise WorkspaceRemoved
        return [found[one].name for one in ids[1:] if found[one].status is not Status.REMOVED]

    async def collapse(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[str]:
        """Remove all that is below the workspace, as a removal does; the names of what went, parents first.

        Raises `InstancesStillRunning` where something of it still runs.
        """
        ids = await self._want_gone(caller, workspace_id)
        if not ids:
            return []
        await self._auth.bar_workspaces(ids)
        gone = await self._commit(workspace_id, ids)
        failures = await self._removal.wait_for_stops(ids)
        if failures:
            raise InstancesStillRunning(removed=len(ids), failures=failures)
        return gone

    async def _seed(self, above: Workspace, member: Member) -> Seed:
        """A child of its template; without one it runs what its parent runs."""
        alike = not member.config
        draft, kit = await self._templates.kit(
            WorkspaceDraft(
                name=member.name,
                role=member.role,
                template=member.config,
                tier=above.tier,
                runtime=above.runtime if alike else "",
                model=(above.model or "") if alike else "",
            )
        )
        return await self._founding.checked(Seed(draft=draft, kit=kit))

    async def _want_gone(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """Write down that they are to go: from now on nothing new comes below them."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            above = await access.require_access(tx, caller, workspace_id)
            if above.status is Status.REMOVED:
                raise WorkspaceRemoved
            below = [one for one in (await tx.tree.lock_subtree(workspace_id))[1:] if one.status is not Status.REMOVED]
            ids = [one.id for one in below]
            await tx.patch(ids, removal_wanted_at=self._clock.now(), removal_reason=Reason.COLLAPSED)
            await tx.audit_outbox.add(caller, AuditAction.REMOVED, *below, purge=False)
        return ids

    async def _commit(self, workspace_id: WorkspaceId, ids: Sequence[WorkspaceId]) -> Sequence[str]:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            above, *below = await tx.tree.lock_subtree(workspace_id)
            names = []
            for before in below:
                now = state_machine.next_state(before, Removed(at=self._clock.now()))
                if before.id in ids and now is not before:
                    tx.save(now, events.build_removal_event(now, 0))
                    names.append(now.name)
            tx.save(above, events.build_collapse_event(names))
        return names
