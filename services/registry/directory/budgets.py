"""Reads and sets the monthly budgets of workspaces."""

from dataclasses import replace

from services.chassis.identity import Identity
from services.registry import access
from services.registry.errors.budgets import InvalidBudget
from services.registry.errors.workspaces import WorkspaceNotFound
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import Status, Workspace, WorkspaceId


class Budgets:
    """Reads and sets budget limits. The workspace feed carries a new limit to the proxy, which enforces it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> Workspace:
        """Return the workspace with its limit and its spending; raises `WorkspaceNotFound`, also for a removed one."""
        async with self._store.begin() as tx:
            return await _find_workspace(tx, caller, workspace_id)

    async def set_limit(self, caller: Identity, workspace_id: WorkspaceId, cents: int | None) -> Workspace:
        """Set the limit in USD cents, or remove it with `None`; raises `InvalidBudget` for one below zero."""
        if cents is not None and cents < 0:
            raise InvalidBudget
        async with self._store.begin() as tx:
            before = await _find_workspace(tx, caller, workspace_id, lock=True)
            if before.budget_limit == cents:
                return before
            now = replace(before, budget_limit=cents)
            tx.save(now)
            await tx.audit_outbox.add(
                caller, AuditAction.BUDGET_CHANGED, now, before=before.budget_limit, budget_limit=cents
            )
        return now


async def _find_workspace(
    tx: Transaction, caller: Identity, workspace_id: WorkspaceId, *, lock: bool = False
) -> Workspace:
    workspace = await access.require_access(tx, caller, workspace_id, lock=lock)
    if workspace.status is Status.REMOVED:
        raise WorkspaceNotFound
    return workspace
