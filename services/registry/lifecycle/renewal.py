"""Starts new instances without a caller's request: after a loss, a change of configuration, or a waking message."""

from services.chassis.clock import Clock
from services.registry.catalog import Catalog
from services.registry.lifecycle import transitions
from services.registry.store.transaction import Transaction
from services.registry.workspace import quotas, state_machine
from services.registry.workspace.facts import RestartRequested
from services.registry.workspace.model import NO_BACKEND, Reason, Workspace
from services.registry.workspace.quotas import Quotas


class RenewalService:
    """Requests new instances for workspaces that the caller has locked."""

    def __init__(self, *, catalog: Catalog, limits: Quotas, clock: Clock) -> None:
        self._catalog = catalog
        self._limits = limits
        self._clock = clock

    async def renew(self, tx: Transaction, workspace: Workspace) -> Workspace:
        """Request a new instance if the plane may start one by itself; return the workspace as it is then.

        Unchanged if it is external, stopped on request, below a paused workspace, or of a plane without a backend. An
        instance that is started later starts with the new configuration anyway. The limits of running workspaces need
        no check here, because every other workspace counts as running.
        """
        if workspace.backend == NO_BACKEND:
            return workspace
        fact = self.build_restart_fact(workspace, Reason.AUTO_RESTART)
        if state_machine.next_state(workspace, fact) is workspace:
            return workspace
        if await tx.tree.find_paused_ancestor(workspace.id) is not None:
            return workspace
        return transitions.apply(tx, workspace, fact)

    async def require_room(self, tx: Transaction, *starting: Workspace) -> None:
        """Raise `TooManyRunning` if these workspaces cannot all start; those that count as running already are free."""
        stopped = [workspace for workspace in starting if not workspace.external and not quotas.is_running(workspace)]
        for org_id, added in quotas.count_by_org(stopped).items():
            quotas.check_running(self._limits, await tx.usage.count_running(org_id), added=added)

    def wake(self, tx: Transaction, workspace: Workspace) -> Workspace:
        """Request a new instance for a hibernated workspace; one that still hibernates starts afterwards."""
        return transitions.apply(tx, workspace, self.build_restart_fact(workspace, Reason.WAKE))

    def build_restart_fact(self, workspace: Workspace, reason: Reason) -> RestartRequested:
        """Return the request for a new instance of the current generation, with the start limit of its runtime."""
        return RestartRequested(
            at=self._clock.now(),
            generation=workspace.generation,
            reason=reason,
            limit=self._catalog.provision_limit(workspace.runtime),
        )
