"""Periodic checks: missed heartbeats, late instances, interrupted work, audit records to send, old records."""

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
"""How many workspaces, events or audit records one step handles."""

REMOVAL_GRACE = timedelta(seconds=60)
"""Age below which a removal is left to the request that began it."""

WATCHER_RETENTION = timedelta(hours=1)
"""How long a provisioner that no longer watches is stored."""


class Sweeps:
    """One method for each check. Each reads only the rows that are due, by an index."""

    def __init__(
        self,
        store: Store,
        *,
        observations: ObservationService,
        removal: RemovalService,
        auth: AuthClient,
        clock: Clock,
        timeouts: LivenessTimeouts,
        event_retention: timedelta,
        max_events: int,
    ) -> None:
        self._store = store
        self._observations = observations
        self._removal = removal
        self._auth = auth
        self._clock = clock
        self._timeouts = timeouts
        self._event_retention = event_retention
        self._max_events = max_events

    async def check_heartbeats(self) -> None:
        """Report a missed heartbeat of every agent whose timeout has passed while the plane could hear."""
        async with self._store.begin() as tx:
            hearing = await tx.hearing.find()
            if hearing is None:
                return
            silent = await tx.overdue.list_silent(self._timeouts, hearing=hearing, limit=SWEEP_BATCH_SIZE)
        for workspace_id in silent:
            fact = HeartbeatMissed(at=self._clock.now(), timeouts=self._timeouts, hearing=hearing)
            await self._observations.observe(workspace_id, fact)

    async def fail_unstarted(self) -> None:
        """Report every workspace whose agent did not come up before its deadline, while the plane could hear."""
        async with self._store.begin() as tx:
            hearing = await tx.hearing.find()
            if hearing is None:
                return
            unstarted = await tx.overdue.list_unstarted(hearing=hearing, limit=SWEEP_BATCH_SIZE)
        for workspace in unstarted:
            fact = ProvisioningTimedOut(at=self._clock.now(), generation=workspace.generation)
            await self._observations.observe(workspace.id, fact)

    async def confirm_placements(self) -> None:
        """Confirm to auth the workspaces that were created or moved to another organisation."""
        async with self._store.begin() as tx:
            unplaced = await tx.overdue.list_unplaced(limit=SWEEP_BATCH_SIZE)
        if not unplaced:
            return
        await self._auth.confirm_workspaces(unplaced)
        async with self._store.begin() as tx:
            await tx.confirm_placements(unplaced)

    async def finish_removals(self) -> None:
        """Complete interrupted removals and purges."""
        async with self._store.begin() as tx:
            unfinished = await tx.overdue.list_unfinished_removals(REMOVAL_GRACE, limit=SWEEP_BATCH_SIZE)
        for workspace in unfinished:
            await self._finish(workspace)

    async def send_audit_records(self) -> None:
        """Send the audit records of the outbox to auth; each stays in the outbox until auth has answered."""
        while True:
            async with self._store.begin() as tx:
                records = await tx.audit_outbox.list_oldest(SWEEP_BATCH_SIZE)
            if not records:
                return
            try:
                await self._auth.append_audit_records(records)
            except ServiceError as error:
                log.warning("audit records not sent", waiting=len(records), error=repr(error))
                return
            async with self._store.begin() as tx:
                await tx.audit_outbox.delete(records)

    async def delete_old_records(self) -> None:
        """Delete events that are too old or too many, and provisioners that no longer watch."""
        deleted = SWEEP_BATCH_SIZE
        while deleted == SWEEP_BATCH_SIZE:
            async with self._store.begin() as tx:
                deleted = await tx.events.delete_old(self._event_retention, limit=SWEEP_BATCH_SIZE)
        deleted = SWEEP_BATCH_SIZE
        while deleted == SWEEP_BATCH_SIZE:
            async with self._store.begin() as tx:
                deleted = await tx.events.delete_beyond(self._max_events, limit=SWEEP_BATCH_SIZE)
        async with self._store.begin() as tx:
            await tx.overdue.delete_watchers(WATCHER_RETENTION)

    async def _finish(self, workspace: Workspace) -> None:
        try:
            await self._removal.finish(workspace)
        except ServiceError as error:
            log.warning("removal not finished", workspace=workspace.id, error=repr(error))
