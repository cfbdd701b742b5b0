"""Stores where starts stand, and cancels them."""

from collections.abc import Sequence

from services.chassis.clock import Clock
from services.chassis.identity import Identity
from services.registry import access
from services.registry.errors.workspaces import WorkspaceRemoved, WrongStatus
from services.registry.lifecycle.transitions import apply_for_caller
from services.registry.store.transaction import Store
from services.registry.workspace import provisioning
from services.registry.workspace.audit import AuditAction
from services.registry.workspace.facts import ProvisioningCancelled
from services.registry.workspace.model import Status, Workspace, WorkspaceId
from services.registry.workspace.provisioning import ProvisioningRecord


class ProvisioningService:
    """Explains and cancels starts."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def report(self, records: Sequence[ProvisioningRecord]) -> None:
        """Store reports of the provisioner. No status changes, and nothing is published."""
        checked = [provisioning.check_record(record) for record in records]
        async with self._store.autocommit() as tx:
            await tx.provisioning.save(checked)

    async def cancel(self, caller: Identity, workspace_id: WorkspaceId) -> Workspace:
        """End the start of a workspace; return it after the commit, before its instance is stopped.

        A repeated cancellation changes nothing. Raises `WorkspaceRemoved` or `WrongStatus`.
        """
        async with self._store.begin() as tx:
            before = await access.require_access(tx, caller, workspace_id, lock=True)
            if before.is_cancelled:
                return before
            if before.status is Status.REMOVED:
                raise WorkspaceRemoved
            if before.status is not Status.PROVISIONING:
                raise WrongStatus(before.status)
            fact = ProvisioningCancelled(at=self._clock.now(), generation=before.generation)
            [after] = await apply_for_caller(tx, caller, AuditAction.CANCELLED, [(before, fact)])
        return tx.get_saved(after)
