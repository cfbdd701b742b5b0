"""Instances are renewed when their secrets change: one replica follows what auth tells, and remembers how far."""

import asyncio
from contextlib import aclosing

import structlog

from services.chassis.errors import ServiceError, Unavailable
from services.registry.clients import Auth, SecretChange
from services.registry.lifecycle.renewal import Renewal
from services.registry.store.secret_changes import Mark
from services.registry.store.transaction import Store

log = structlog.get_logger()

SILENCE = 8.0
"""Seconds without a word from auth after which the feed is opened anew."""

PAUSE = 1.0
"""Seconds before a broken feed is opened again."""

BATCH = 200
"""Workspaces renewed in one transaction, so that a change of all holds nobody up."""


class Turnover:
    """Raises the generations that a change of a secret concerns, and marks the change in the same transaction.

    So each change is carried out once, whoever dies meanwhile. Any number of them while an instance is being started
    cost one further start.
    """

    def __init__(self, store: Store, *, auth: Auth, renewal: Renewal, batch: int = BATCH) -> None:
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
                for workspace in await tx.renewals.one(change.workspace_id):
                    await self._renewal.renew(tx, workspace)
                await tx.renewals.put_mark(Mark(finished=change.id))
            return
        while not await self._carry_on(change):
            continue

    async def _follow_once(self) -> None:
        async with self._store.begin() as tx:
            mark = await tx.renewals.mark()
        async with aclosing(self._auth.secret_changes(mark.finished)) as feed:
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
            mark = await tx.renewals.mark()
            within = mark.within if mark.under_way == change.id else ""
            batch = await tx.renewals.running(after=within, limit=self._batch)
            for workspace in batch:
                if workspace.id not in change.overridden_by:
                    await self._renewal.renew(tx, workspace)
            over = len(batch) < self._batch
            going_on = Mark(finished=mark.finished, under_way=change.id, within=batch[-1].id if batch else "")
            await tx.renewals.put_mark(Mark(finished=change.id) if over else going_on)
        return over


_ENDED = object()
