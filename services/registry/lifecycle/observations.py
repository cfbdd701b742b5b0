"""Applies facts that other services and the sweeps report about a workspace."""

from services.registry.lifecycle import transitions
from services.registry.lifecycle.renewal import RenewalService
from services.registry.store.transaction import Store
from services.registry.workspace import state_machine
from services.registry.workspace.facts import Fact, ProvisioningPossible
from services.registry.workspace.model import Status, Workspace, WorkspaceId


class ObservationService:
    """Applies reported facts, and starts the instance that a fact makes necessary in the same transaction."""

    def __init__(self, store: Store, *, renewal: RenewalService) -> None:
        self._store = store
        self._renewal = renewal

    async def observe(self, workspace_id: WorkspaceId, fact: Fact) -> tuple[Workspace, bool]:
        """Apply a fact; return the workspace as it is then, and whether the fact changed it.

        A workspace that lost its instance gets a new one, unless an ancestor is paused; so does one whose failed start
        may succeed now. One that finished hibernating is started again if a message arrived meanwhile. Raises
        `WorkspaceNotFound`.
        """
        async with self._store.begin() as tx:
            before = await tx.get(workspace_id, lock=True)
            now = transitions.apply(tx, before, fact)
            if isinstance(fact, ProvisioningPossible) and state_machine.may_start_again(before, fact):
                now = await self._renewal.renew(tx, before)
            if now is before:
                return before, False
            if now.status is Status.OFFLINE and before.status is not Status.OFFLINE and now.restartable:
                now = await self._renewal.renew(tx, now)
            if now.status is Status.HIBERNATED and now.wake_wanted:
                now = self._renewal.wake(tx, now)
        return now, True
