"""What nobody reports is looked for: silence, agents that never came up, work that stopped half way, what is old."""

from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.registry.clients import AuthClient
from services.registry.lifecycle.observations import ObservationService
from services.registry.lifecycle.removal import RemovalService
from services.registry.store.transaction import Store
from services.registry.workspace.facts import HeartbeatMissed, LivenessTimeouts, ProvisioningTimedOut
from services.registry.workspace.model import Workspace

log = structlog.get_logger()

SWEEP_BATCH_SIZE = 500
"""Workspaces or events taken at a time."""

REMOVAL_GRACE = timedelta(seconds=60)
"""Age below which a removal is left to whoever began it."""

WATCHER_RETENTION = timedelta(hours=1)
"""Age at which a provisioner that stopped listening is forgotten."""


class Sweeps:
    """One method for each thing to look for. Each looks at what is due, never at everything there is."""

    def __init__(
        self,
        store: Store,
        *,
        presence: ObservationService,
        removal: RemovalService,
        auth: AuthClient,
        clock: Clock,
        timeouts: LivenessTimeouts,
        keep_events: timedelta,
    ) -> None:
        self._store = store
        self._presence = presence
        self._removal = removal
        self._auth = auth
        self._clock = clock
        self._timeouts = timeouts
        self._keep_events = keep_events

    async def silence(self) -> None:
        """Agents that should have been heard by now."""
        async with self._store.begin() as tx:
            silent = await tx.overdue.list_silent(self._timeouts, limit=SWEEP_BATCH_SIZE)
        for workspace_id in silent:
            await self._presence.observe(workspace_id, HeartbeatMissed(at=self._clock.now(), timeouts=self._timeouts))

    async def overdue(self) -> None:
        """Agents that did not come up in time."""
        async with self._store.begin() as tx:
            overdue = await tx.overdue.list_unstarted(limit=SWEEP_BATCH_SIZE)
        for workspace in overdue:
            fact = ProvisioningTimedOut(at=self._clock.now(), generation=workspace.generation)
            await self._presence.observe(workspace.id, fact)

    async def placements(self) -> None:
        """Workspaces that auth knows for the time being only, or in another organisation than they are in now."""
        async with self._store.begin() as tx:
            unplaced = await tx.overdue.list_unplaced(limit=SWEEP_BATCH_SIZE)
        if not unplaced:
            return
        await self._auth.confirm_workspaces(unplaced)
        async with self._store.begin() as tx:
            await tx.confirm_placements(unplaced)

    async def removals(self) -> None:
        """Removals and purges that stopped half way."""
        async with self._store.begin() as tx:
            unfinished = await tx.overdue.list_unfinished_removals(REMOVAL_GRACE, limit=SWEEP_BATCH_SIZE)
        for workspace in unfinished:
            await self._finish(workspace)

    async def deeds(self) -> None:
        """What was done, for the audit: told until it is known to have arrived, however long that takes."""
        while True:
            async with self._store.begin() as tx:
                done = await tx.audit_outbox.list_oldest(SWEEP_BATCH_SIZE)
            if not done:
                return
            try:
                await self._auth.append_audit_records(done)
            except ServiceError as error:
                log.warning("audit not told yet", waiting=len(done), error=repr(error))
                return
            async with self._store.begin() as tx:
                await tx.audit_outbox.delete(done)

    async def old(self) -> None:
        """Events past their time, and provisioners that have not listened for long."""
        gone = SWEEP_BATCH_SIZE
        while gone == SWEEP_BATCH_SIZE:
            async with self._store.begin() as tx:
                gone = await tx.events.delete_old(self._keep_events, limit=SWEEP_BATCH_SIZE)
        async with self._store.begin() as tx:
            await tx.overdue.delete_watchers(WATCHER_RETENTION)

    async def _finish(self, workspace: Workspace) -> None:
        try:
            await self._removal.finish(workspace)
        except ServiceError as error:
            log.warning("removal not finished yet", workspace=workspace.id, error=repr(error))
