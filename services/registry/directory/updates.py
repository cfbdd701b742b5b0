"""Changing what a workspace holds, and where in the tree it stands."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.clients import AuthClient
from services.registry.directory.queries import with_card
from services.registry.errors.workspaces import (
    FieldRequiresAdmin,
    InvalidValue,
    ModelNotRegistered,
    OrgAccessDenied,
    ParentCycle,
    RuntimeConflict,
    WorkspaceNotFound,
    WorkspaceRemoved,
)
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace import hierarchy, validation
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import ListedWorkspace, Status, Workspace, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """A workspace that was changed."""

    entry: ListedWorkspace
    needs_restart: bool = False
    model_was_reset: bool = False


class Editing:
    """Changes workspaces, one at a time or a tree at once."""

    def __init__(self, store: Store, *, auth: AuthClient, catalog: Catalog) -> None:
        self._store = store
        self._auth = auth
        self._catalog = catalog

    async def update(self, caller: Identity, workspace_id: WorkspaceId, wanted: Mapping[str, Any]) -> Update:
        """Write fields of a workspace; `None` clears one. All of them are written, or none is."""
        if not wanted:
            return await self._find_unchanged(caller, workspace_id)
        for field in sorted(validation.ADMIN_FIELDS & wanted.keys()):
            if not access.has_admin_rights(caller):
                raise FieldRequiresAdmin(field)
        if "parent_id" in wanted:
            await self._place_below(caller, workspace_id, wanted["parent_id"])
        async with self._store.begin() as tx:
            if "parent_id" in wanted:
                await tx.tree.lock()
            before = await self._locked(tx, caller, workspace_id, wanted)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            now = validation.validate_changes(before, wanted)
            if "runtime" in wanted:
                now = self._with_runtime(now, wanted["runtime"])
            if "parent_id" in wanted:
                now = await self._moved(tx, caller, now, wanted["parent_id"])
            if now != before:
                tx.save(now)
                await tx.audit_outbox.add(caller, AuditAction.CHANGED, now, fields=sorted(wanted))
            entry = await with_card(tx, now)
        return Update(
            entry=replace(entry, workspace=tx.get_saved(now)),
            needs_restart="workspace_dir" in wanted,
            model_was_reset=now.model != before.model,
        )

    async def _find_unchanged(self, caller: Identity, workspace_id: WorkspaceId) -> Update:
        """Return the workspace if the caller may see it; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.may_see(tx, caller, workspace):
                raise WorkspaceNotFound
            if workspace.status is Status.REMOVED:
                raise WorkspaceRemoved
            return Update(entry=await with_card(tx, workspace))

    async def _locked(
        self, tx: Transaction, caller: Identity, workspace_id: WorkspaceId, wanted: Mapping[str, Any]
    ) -> Workspace:
        """The workspace, locked; raises `RuntimeConflict` where another change of what it runs won meanwhile."""
        seen = await access.require_access(tx, caller, workspace_id)
        now = await access.require_access(tx, caller, workspace_id, lock=True)
        if "runtime" in wanted and (seen.runtime, seen.model) != (now.runtime, now.model):
            raise RuntimeConflict(runtime=now.runtime, model=now.model)
        return now

    def _with_runtime(self, workspace: Workspace, runtime: str | None) -> Workspace:
        """The workspace with another runtime; a model that does not fit gives way to the default."""
        if not runtime:
            raise InvalidValue(field="runtime")
        if not self._catalog.knows(runtime):
            raise ModelNotRegistered(model=workspace.model, runtime=runtime)
        if workspace.model is None or workspace.model in self._catalog.models(runtime):
            return replace(workspace, runtime=runtime)
        model = self._catalog.default_model(runtime)
        if model is None:
            raise ModelNotRegistered(model=workspace.model, runtime=runtime)
        return replace(workspace, runtime=runtime, model=model)

    async def _place_below(self, caller: Identity, workspace_id: WorkspaceId, parent_id: str | None) -> None:
        """Tell auth where a tree is about to be, where that is another organisation.

        Auth is told before the commit. Whatever comes between is put right by the sweep that confirms placements.
        """
        async with self._store.begin() as tx:
            workspace = await access.require_access(tx, caller, workspace_id)
            org_id = await _org_below(tx, caller, workspace, parent_id)
            tree = await tx.tree.list_subtree_ids(workspace_id) if org_id != workspace.org_id else ()
            await tx.patch(tree, placement_confirmed=False)
        if tree:
            await self._auth.place_workspaces([(below, org_id) for below in tree])

    async def _moved(self, tx: Transaction, caller: Identity, workspace: Workspace, parent_id: str | None) -> Workspace:
        org_id = await _org_below(tx, caller, workspace, parent_id)
        if org_id != workspace.org_id:
            for below in (await tx.tree.lock_subtree(workspace.id))[1:]:
                tx.save(replace(below, org_id=org_id, placement_confirmed=False))
        return replace(
            workspace,
            parent_id=WorkspaceId(parent_id) if parent_id else None,
            org_id=org_id,
            placement_confirmed=workspace.placement_confirmed and org_id == workspace.org_id,
        )


async def _org_below(tx: Transaction, caller: Identity, workspace: Workspace, parent_id: str | None) -> WorkspaceId:
    """The organisation a workspace would belong to below this parent, if it can be there."""
    if not parent_id:
        if caller.kind is Kind.ORG and workspace.parent_id is not None:
            raise OrgAccessDenied
        return workspace.id
    parent = hierarchy.require_open_parent(await tx.find(WorkspaceId(parent_id)))
    access.check_org(caller, parent)
    if hierarchy.is_cycle(workspace.id, await tx.tree.get_lineage(parent.id)):
        raise ParentCycle
    return parent.org_id
