"""The heart of budgets: what the agents of workspaces may spend."""

from dataclasses import replace

from services.chassis.identity import Identity
from services.registry import access
from services.registry.errors.budgets import InvalidBudget
from services.registry.errors.workspaces import WorkspaceNotFound
from services.registry.store.transaction import Store, Transaction
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.model import Status, Workspace, WorkspaceId


class Budgets:
    """Sets limits. A change is a change of the workspace, so the feed tells it to those who refuse by it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, caller: Identity, workspace_id: WorkspaceId) -> Workspace:
        """The workspace with its limit and what it has spent; one that was removed has none."""
        async with self._store.begin() as tx:
            return await _present(tx, caller, workspace_id)

    async def limit(self, caller: Identity, workspace_id: WorkspaceId, cents: int | None) -> Workspace:
        """Set the limit, or none; raises `InvalidBudget` for one below zero."""
        if cents is not None and cents < 0:
            raise InvalidBudget
        async with self._store.begin() as tx:
            before = await _present(tx, caller, workspace_id, lock=True)
            if before.budget_limit == cents:
                return before
            now = replace(before, budget_limit=cents)
            tx.save(now)
            said = {"before": before.budget_limit, "budget_limit": cents}
            await tx.audit_outbox.add(caller, AuditAction.BUDGET_CHANGED, now, **said)
        return now


async def _present(tx: Transaction, caller: Identity, workspace_id: WorkspaceId, *, lock: bool = False) -> Workspace:
    workspace = await access.require_access(tx, caller, workspace_id, lock=lock)
    if workspace.status is Status.REMOVED:
        raise WorkspaceNotFound
    return workspace
