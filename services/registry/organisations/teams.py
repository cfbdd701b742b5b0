"""The team of a workspace: made of what its config declares, and removed again."""

from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.clients import Auth
from services.registry.directory.creation import WorkspaceCreator, WorkspacePlan
from services.registry.errors.orgs import NoConfig, NoSubWorkspaces
from services.registry.errors.workspaces import StopFailed, WorkspaceRemoved
from services.registry.lifecycle.removal import Removal
from services.registry.store.transaction import Store
from services.registry.templates import config_file
from services.registry.templates.config_file import SubWorkspace
from services.registry.templates.folders import TemplateFolders
from services.registry.workspace import events, state_machine
from services.registry.workspace.audit import Action
from services.registry.workspace.facts import Removed
from services.registry.workspace.model import Reason, Status, Workspace, WorkspaceId
from services.registry.workspace.starter_files import Kit
from services.registry.workspace.validation import Draft


class Teams:
    """Expands and collapses workspaces. Repeating either changes nothing more."""

    def __init__(
        self,
        store: Store,
        *,
        templates: TemplateFolders,
        creator: WorkspaceCreator,
        removal: Removal,
        auth: Auth,
        clock: Clock,
    ) -> None:
        self._store = store
        self._templates = templates
        self._creator = creator
        self._removal = removal
        self._auth = auth
        self._clock = clock

    async def expand(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[Workspace]:
        """Make the children that the config of the workspace declares: all, or none. A name that is there stays.

        Raises `NoConfig`, `NoSubWorkspaces`, and `InvalidTemplate` for the template of a child.
        """
        async with self._store.begin() as tx:
            above = await access.reached(tx, caller, workspace_id)
            kit = Kit(files=await tx.kits.files(above.kit))
        if above.status is Status.REMOVED:
            raise WorkspaceRemoved
        said = config_file.read_config(kit)
        if said is None:
            raise NoConfig
        if not said.sub_workspaces:
            raise NoSubWorkspaces
        members = {member.name: member for member in said.sub_workspaces}
        seeds = [await self._seed(above, member) for member in members.values()]
        return await self._creator.add_below(caller, above, seeds, lambda children: [events.of_expansion(children)])

    async def preview_collapse(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[str]:
        """The names of what a collapse would remove, parents first."""
        async with self._store.begin() as tx:
            above = await access.reached(tx, caller, workspace_id)
            ids = await tx.tree.ids(workspace_id)
            found = {one.id: one for one in await tx.lists.several(ids)}
        if above.status is Status.REMOVED:
            raise WorkspaceRemoved
        return [found[one].name for one in ids[1:] if found[one].status is not Status.REMOVED]

    async def collapse(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[str]:
        """Remove all that is below the workspace, as a removal does; the names of what went, parents first.

        Raises `StopFailed` where something of it still runs.
        """
        ids = await self._request_removal(caller, workspace_id)
        if not ids:
            return []
        await self._auth.bar(ids)
        gone = await self._mark_removed(workspace_id, ids)
        failures = await self._removal.stops(ids)
        if failures:
            raise StopFailed(removed=len(ids), failures=failures)
        return gone

    async def _seed(self, above: Workspace, member: SubWorkspace) -> WorkspacePlan:
        """A child of its template; without one it runs what its parent runs."""
        alike = not member.config
        draft, kit = await self._templates.apply_template(
            Draft(
                name=member.name,
                role=member.role,
                template=member.config,
                tier=above.tier,
                runtime=above.runtime if alike else "",
                model=(above.model or "") if alike else "",
            )
        )
        return await self._creator.checked(WorkspacePlan(draft=draft, kit=kit))

    async def _request_removal(self, caller: Identity, workspace_id: WorkspaceId) -> Sequence[WorkspaceId]:
        """Write down that they are to go: from now on nothing new comes below them."""
        async with self._store.begin() as tx:
            await tx.tree.lock()
            above = await access.reached(tx, caller, workspace_id)
            if above.status is Status.REMOVED:
                raise WorkspaceRemoved
            below = [one for one in (await tx.tree.locked(workspace_id))[1:] if one.status is not Status.REMOVED]
            ids = [one.id for one in below]
            await tx.patch(ids, removal_wanted_at=self._clock.now(), removal_reason=Reason.COLLAPSED)
            await tx.deeds.add(caller, Action.REMOVED, *below, purge=False)
        return ids

    async def _mark_removed(self, workspace_id: WorkspaceId, ids: Sequence[WorkspaceId]) -> Sequence[str]:
        async with self._store.begin() as tx:
            await tx.tree.lock()
            above, *below = await tx.tree.locked(workspace_id)
            names = []
            for before in below:
                now = state_machine.after(before, Removed(at=self._clock.now()))
                if before.id in ids and now is not before:
                    tx.save(now, events.of_removal(now, 0))
                    names.append(now.name)
            tx.save(above, events.of_collapse(names))
        return names
