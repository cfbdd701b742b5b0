"""A fresh instance for a workspace of which something has changed that instances learn at their start."""

from services.chassis.clock import Clock
from services.registry.catalog import Catalog
from services.registry.lifecycle.observations import log_status_change
from services.registry.store.transaction import Transaction
from services.registry.workspace import events, state_machine
from services.registry.workspace.facts import RestartRequested
from services.registry.workspace.model import NO_BACKEND, Reason, Workspace


class RenewalService:
    """Asks for fresh instances where the plane may start one by itself."""

    def __init__(self, *, catalog: Catalog, clock: Clock) -> None:
        self._catalog = catalog
        self._clock = clock

    async def renew(self, tx: Transaction, workspace: Workspace) -> Workspace:
        """The locked workspace, saved, with a fresh instance wanted.

        Without one where it is external, stopped on purpose, or below one that is paused: whoever starts its instance
        later starts it with what is there then.
        """
        now = await self._asked(tx, workspace)
        if now is not workspace:
            log_status_change(workspace, now)
        return now

    async def _asked(self, tx: Transaction, workspace: Workspace) -> Workspace:
        if workspace.backend == NO_BACKEND:
            return workspace
        fact = RestartRequested(
            at=self._clock.now(),
            generation=workspace.generation,
            reason=Reason.AUTO_RESTART,
            limit=self._catalog.provision_limit(workspace.runtime),
        )
        now = state_machine.next_state(workspace, fact)
        if now is workspace or await tx.tree.find_paused_ancestor(workspace.id) is not None:
            return workspace
        tx.save(now, *events.build_change_events(workspace, now, fact))
        return now
