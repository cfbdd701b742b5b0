"""Instances are renewed when their secrets change: one replica follows what auth tells, and remembers how far."""

import asyncio
from contextlib import aclosing

import structlog

from services.chassis.errors import ServiceError, Unavailable
from services.registry.clients import AuthClient, SecretChange
from services.registry.lifecycle.renewal import RenewalService
from services.registry.store.secret_changes import RolloutCursor
from services.registry.store.transaction import Store

log = structlog.get_logger()

SILENCE = 8.0
"""Seconds without a word from auth after which the feed is opened anew."""

PAUSE = 1.0
"""Seconds before a broken feed is opened again."""

MAX_WORKSPACES_PER_TRANSACTION = 200
"""Workspaces renewed in one transaction, so that a change of all holds nobody up."""


class SecretRollout:
    """Raises the generations that a change of a secret concerns, and marks the change in the same transaction.

    So each change is carried out once, whoever dies meanwhile. Any number of them while an instance is being started
    cost one further start.
    """

    def __init__(
        self, store: Store, *, auth: AuthClient, renewal: RenewalService, batch: int = MAX_WORKSPACES_PER_TRANSACTION
    ) -> None:
        self._store = store
        self._auth = auth
        self._renewal = renewal
        self._batch = batch

    async def follow(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self._follow_once()
            except (ServiceError, TimeoutError) as error:
                log.warning("changes of secrets not followed", error=repr(error))
            await asyncio.sleep(PAUSE)

    async def carry_out(self, change: SecretChange) -> None:
        """Renew everybody whom the change concerns."""
        if change.workspace_id is not None:
            async with self._store.begin() as tx:
                for workspace in await tx.secret_rollout.lock_workspace(change.workspace_id):
                    await self._renewal.renew(tx, workspace)
                await tx.secret_rollout.save_cursor(RolloutCursor(finished=change.id))
            return
        while not await self._carry_on(change):
            continue

    async def _follow_once(self) -> None:
        async with self._store.begin() as tx:
            mark = await tx.secret_rollout.get_cursor()
        async with aclosing(self._auth.watch_secret_changes(mark.finished)) as feed:
            while True:
                async with asyncio.timeout(SILENCE):
                    change = await anext(feed, _ENDED)
                if change is _ENDED:
                    raise Unavailable
                if isinstance(change, SecretChange):
                    await self.carry_out(change)

    async def _carry_on(self, change: SecretChange) -> bool:
        """Renew the next workspaces for a change of all; whether those were the last."""
        async with self._store.begin() as tx:
            mark = await tx.secret_rollout.get_cursor()
            within = mark.within if mark.under_way == change.id else ""
            batch = await tx.secret_rollout.lock_restartable(after=within, limit=self._batch)
            for workspace in batch:
                if workspace.id not in change.overridden_by:
                    await self._renewal.renew(tx, workspace)
            over = len(batch) < self._batch
            going_on = RolloutCursor(finished=mark.finished, under_way=change.id, within=batch[-1].id if batch else "")
            await tx.secret_rollout.save_cursor(RolloutCursor(finished=change.id) if over else going_on)
        return over


_ENDED = object()
