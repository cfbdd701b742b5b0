"""Updates the fields of a workspace, among them its parent."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from services.chassis.identity import Identity, Kind
from services.registry import access
from services.registry.catalog import Catalog
from services.registry.clients import AuthClient
from services.registry.directory.card_pages import read_with_card
from services.registry.directory.runtime_check import require_startable
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
from services.registry.workspace import hierarchy, idleness, validation
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import ListedWorkspace, Status, Workspace, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateResult:
    """The workspace after an update, and what the caller must know of side effects."""

    entry: ListedWorkspace
    needs_restart: bool = False
    model_was_reset: bool = False


class WorkspaceUpdater:
    """Updates workspaces. A new parent moves the whole subtree."""

    def __init__(self, store: Store, *, auth: AuthClient, catalog: Catalog) -> None:
        self._store = store
        self._auth = auth
        self._catalog = catalog

    async def update(self, caller: Identity, workspace_id: WorkspaceId, changes: Mapping[str, Any]) -> UpdateResult:
        """Write the fields in `changes`; `None` clears a field. Either all of them are written or none."""
        if not changes:
            return await self._find_unchanged(caller, workspace_id)
        for field in sorted(validation.ADMIN_FIELDS & changes.keys()):
            if not access.has_admin_rights(caller):
                raise FieldRequiresAdmin(field)
        if "parent_id" in changes:
            await self._announce_move(caller, workspace_id, changes["parent_id"])
        async with self._store.begin() as tx:
            if "parent_id" in changes:
                await tx.tree.lock()
            before = await self._lock(tx, caller, workspace_id, changes)
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            now = validation.validate_changes(before, changes)
            if "runtime" in changes:
                now = self._change_runtime(now, changes["runtime"])
                await require_startable(tx, self._catalog, now.runtime)
            if "parent_id" in changes:
                now = await self._move(tx, caller, now, changes["parent_id"])
            now = idleness.start_idle_clock(before, now, tx.now)
            if now != before:
                tx.save(now)
                await tx.audit_outbox.add(caller, AuditAction.CHANGED, now, fields=sorted(changes))
            entry = await read_with_card(tx, now)
        return UpdateResult(
            entry=replace(entry, workspace=tx.get_saved(now)),
            needs_restart="workspace_dir" in changes,
            model_was_reset=now.model != before.model,
        )

    async def _find_unchanged(self, caller: Identity, workspace_id: WorkspaceId) -> UpdateResult:
        """Return the workspace if the caller may see it; raises `WorkspaceNotFound` or `WorkspaceRemoved`."""
        async with self._store.begin() as tx:
            workspace = await tx.get(workspace_id)
            if not await access.may_see(tx, caller, workspace):
                raise WorkspaceNotFound
            if workspace.status is Status.REMOVED:
                raise WorkspaceRemoved
            return UpdateResult(entry=await read_with_card(tx, workspace))

    async def _lock(
        self, tx: Transaction, caller: Identity, workspace_id: WorkspaceId, changes: Mapping[str, Any]
    ) -> Workspace:
        """Return the workspace, locked; raises `RuntimeConflict` if another update has changed its runtime or model."""
        unlocked = await access.require_access(tx, caller, workspace_id)
        now = await access.require_access(tx, caller, workspace_id, lock=True)
        if "runtime" in changes and (unlocked.runtime, unlocked.model) != (now.runtime, now.model):
            raise RuntimeConflict(runtime=now.runtime, model=now.model)
        return now

    def _change_runtime(self, workspace: Workspace, runtime: str | None) -> Workspace:
        """Return the workspace with another runtime. A model that is not registered for it becomes its default."""
        if not runtime:
            raise InvalidValue(field="runtime")
        if not self._catalog.has_runtime(runtime):
            raise ModelNotRegistered(model=workspace.model, runtime=runtime)
        if workspace.model is None or workspace.model in self._catalog.models(runtime):
            return replace(workspace, runtime=runtime)
        model = self._catalog.default_model(runtime)
        if model is None:
            raise ModelNotRegistered(model=workspace.model, runtime=runtime)
        return replace(workspace, runtime=runtime, model=model)

    async def _announce_move(self, caller: Identity, workspace_id: WorkspaceId, parent_id: str | None) -> None:
        """Announce to auth that a subtree is about to belong to another organisation.

        This happens before the commit. If the commit fails, the sweep that confirms placements corrects auth.
        """
        async with self._store.begin() as tx:
            workspace = await access.require_access(tx, caller, workspace_id)
            org_id = await _resolve_org(tx, caller, workspace, parent_id)
            tree = await tx.tree.list_subtree_ids(workspace_id) if org_id != workspace.org_id else ()
            await tx.patch(tree, placement_confirmed=False)
        if tree:
            await self._auth.place_workspaces([(below, org_id) for below in tree])

    async def _move(self, tx: Transaction, caller: Identity, workspace: Workspace, parent_id: str | None) -> Workspace:
        org_id = await _resolve_org(tx, caller, workspace, parent_id)
        if org_id != workspace.org_id:
            for below in (await tx.tree.lock_subtree(workspace.id))[1:]:
                tx.save(replace(below, org_id=org_id, placement_confirmed=False))
        return replace(
            workspace,
            parent_id=WorkspaceId(parent_id) if parent_id else None,
            org_id=org_id,
            placement_confirmed=workspace.placement_confirmed and org_id == workspace.org_id,
        )


async def _resolve_org(tx: Transaction, caller: Identity, workspace: Workspace, parent_id: str | None) -> WorkspaceId:
    """Return the organisation to which a workspace belongs below this parent; raises if it cannot be there."""
    if not parent_id:
        if caller.kind is Kind.ORG and workspace.parent_id is not None:
            raise OrgAccessDenied
        return workspace.id
    parent = hierarchy.require_open_parent(await tx.find(WorkspaceId(parent_id)))
    access.check_org(caller, parent)
    if hierarchy.is_cycle(workspace.id, await tx.tree.get_lineage(parent.id)):
        raise ParentCycle
    return parent.org_id
