"""Starts new instances when their secrets change.

One replica follows the feed of auth. It stores how far it got in the transaction that requests the new instances, so
that each change is applied once even if the process dies. Several changes while an instance starts cost one more start.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

from services.chassis.backoff import Backoff
from services.chassis.feeds import FeedReader
from services.registry.clients import AuthClient, Keepalive, SecretChange
from services.registry.lifecycle.renewal import RenewalService
from services.registry.store.secret_changes import RolloutCursor
from services.registry.store.transaction import Store

RECONNECT_BACKOFF = Backoff(first=timedelta(seconds=1), maximum=timedelta(seconds=1))
"""The pause before the feed of auth is opened again."""

MAX_WORKSPACES_PER_TRANSACTION = 200
"""Limits how long a change of a global secret holds row locks."""


class SecretRollout:
    """Follows changes of secrets and requests new instances for the workspaces that use them."""

    def __init__(
        self,
        store: Store,
        *,
        auth: AuthClient,
        renewal: RenewalService,
        batch_size: int = MAX_WORKSPACES_PER_TRANSACTION,
        backoff: Backoff = RECONNECT_BACKOFF,
    ) -> None:
        self._store = store
        self._auth = auth
        self._renewal = renewal
        self._batch_size = batch_size
        self._reader = FeedReader("secret changes", self._open_stream, backoff=backoff)

    async def follow(self) -> None:
        """Apply changes until cancelled."""
        while True:
            async with self._reader.connection() as messages:
                async for change in messages:
                    if isinstance(change, SecretChange):
                        await self.apply(change)

    async def apply(self, change: SecretChange) -> None:
        """Request a new instance for every workspace that the change concerns."""
        if change.workspace_id is not None:
            async with self._store.begin() as tx:
                for workspace in await tx.secret_rollout.lock_workspace(change.workspace_id):
                    await self._renewal.renew(tx, workspace)
                await tx.secret_rollout.save_cursor(RolloutCursor(finished=change.id))
            return
        while not await self._apply_next_batch(change):
            continue

    async def _open_stream(self) -> AsyncGenerator[SecretChange | Keepalive, None]:
        async with self._store.begin() as tx:
            cursor = await tx.secret_rollout.get_cursor()
        async with aclosing(self._auth.watch_secret_changes(cursor.finished)) as changes:
            async for change in changes:
                yield change

    async def _apply_next_batch(self, change: SecretChange) -> bool:
        """Apply a change of a global secret to the next workspaces; return whether these were the last."""
        async with self._store.begin() as tx:
            cursor = await tx.secret_rollout.get_cursor()
            after = cursor.within if cursor.under_way == change.id else ""
            batch = await tx.secret_rollout.lock_restartable(after=after, limit=self._batch_size)
            for workspace in batch:
                if workspace.id not in change.overridden_by:
                    await self._renewal.renew(tx, workspace)
            is_last = len(batch) < self._batch_size
            partial = RolloutCursor(finished=cursor.finished, under_way=change.id, within=batch[-1].id if batch else "")
            await tx.secret_rollout.save_cursor(RolloutCursor(finished=change.id) if is_last else partial)
        return is_last
