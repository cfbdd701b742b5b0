"""What nobody reports is looked for: silence, agents that never came up, work that stopped half way, what is old."""

from datetime import timedelta

import structlog

from services.chassis.clock import Clock
from services.chassis.errors import ServiceError
from services.registry.clients import Auth
from services.registry.lifecycle.observations import Presence
from services.registry.lifecycle.removal import Removal
from services.registry.store.transaction import Store
from services.registry.workspace.facts import Patience, ProvisioningTimedOut, Silence
from services.registry.workspace.model import Workspace

log = structlog.get_logger()

BATCH = 500
"""Workspaces or events taken at a time."""

UNDER_WAY = timedelta(seconds=60)
"""Age below which a removal is left to whoever began it."""

FORGOTTEN = timedelta(hours=1)
"""Age at which a provisioner that stopped listening is forgotten."""


class Sweeps:
    """One method for each thing to look for. Each looks at what is due, never at everything there is."""

    def __init__(
        self,
        store: Store,
        *,
        presence: Presence,
        removal: Removal,
        auth: Auth,
        clock: Clock,
        patience: Patience,
        keep_events: timedelta,
    ) -> None:
        self._store = store
        self._presence = presence
        self._removal = removal
        self._auth = auth
        self._clock = clock
        self._patience = patience
        self._keep_events = keep_events

    async def silence(self) -> None:
        """Agents that should have been heard by now."""
        async with self._store.begin() as tx:
            silent = await tx.due.silent(self._patience, limit=BATCH)
        for workspace_id in silent:
            await self._presence.observe(workspace_id, Silence(at=self._clock.now(), patience=self._patience))

    async def overdue(self) -> None:
        """Agents that did not come up in time."""
        async with self._store.begin() as tx:
            overdue = await tx.due.overdue(limit=BATCH)
        for workspace in overdue:
            fact = ProvisioningTimedOut(at=self._clock.now(), generation=workspace.generation)
            await self._presence.observe(workspace.id, fact)

    async def placements(self) -> None:
        """Workspaces that auth knows for the time being only, or in another organisation than they are in now."""
        async with self._store.begin() as tx:
            unplaced = await tx.due.unplaced(limit=BATCH)
        if not unplaced:
            return
        await self._auth.confirm(unplaced)
        async with self._store.begin() as tx:
            await tx.confirm_placements(unplaced)

    async def removals(self) -> None:
        """Removals and purges that stopped half way."""
        async with self._store.begin() as tx:
            unfinished = await tx.due.unfinished(UNDER_WAY, limit=BATCH)
        for workspace in unfinished:
            await self._finish(workspace)

    async def deeds(self) -> None:
        """What was done, for the audit: told until it is known to have arrived, however long that takes."""
        while True:
            async with self._store.begin() as tx:
                done = await tx.deeds.oldest(BATCH)
            if not done:
                return
            try:
                await self._auth.record(done)
            except ServiceError as error:
                log.warning("audit not told yet", waiting=len(done), error=repr(error))
                return
            async with self._store.begin() as tx:
                await tx.deeds.arrived(done)

    async def old(self) -> None:
        """Events past their time, and provisioners that have not listened for long."""
        gone = BATCH
        while gone == BATCH:
            async with self._store.begin() as tx:
                gone = await tx.events.forget(self._keep_events, limit=BATCH)
        async with self._store.begin() as tx:
            await tx.due.forget_watchers(FORGOTTEN)

    async def _finish(self, workspace: Workspace) -> None:
        try:
            await self._removal.finish(workspace)
        except ServiceError as error:
            log.warning("removal not finished yet", workspace=workspace.id, error=repr(error))
