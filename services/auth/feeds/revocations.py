"""The feed of revocations: one task reads the table into memory, and any number of readers stream from there."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import takewhile

from services.auth.feeds.polling import FeedPoller
from services.auth.model.feeds import Keepalive
from services.auth.model.revocations import Revocation, RevocationUpdate, RevokedAll
from services.auth.store.revocations import INITIAL_REVISION
from services.auth.store.transaction import Store
from services.chassis.database import NotificationListener

MAX_REVOCATIONS_KEPT = 10_000
"""Limit of the revocations in memory and in the table. A reader that missed more discards its whole cache."""

MAX_REVOCATIONS_PER_READ = 1_000
"""Limit of the revocations that one query returns."""


class RevocationFeed:
    """Streams revocations from any revision on."""

    def __init__(self, store: Store, listener: NotificationListener, *, max_kept: int = MAX_REVOCATIONS_KEPT) -> None:
        """`max_kept` limits the revocations in memory."""
        self._store = store
        self._poller = FeedPoller(listener)
        self._kept: deque[Revocation] = deque(maxlen=max_kept)
        self._horizon = self._revision = INITIAL_REVISION
        self._is_loaded = asyncio.Event()

    async def poll(self) -> None:
        """Wait for a notification, read new revocations and wake the readers.

        If the table cannot be read, the readers receive no keepalive, so they stop trusting their caches.
        """
        await self._poller.wait_for_updates()
        async with self._store.reading() as tx:
            if not self._is_loaded.is_set():
                self._horizon = self._revision = await tx.revocations.find_horizon()
            while new := await tx.revocations.list_after(self._revision, limit=MAX_REVOCATIONS_PER_READ):
                self._keep(new)
        self._is_loaded.set()
        self._poller.wake_readers()

    async def watch(self, after: int) -> AsyncIterator[RevocationUpdate]:
        """Yield the current revision, then what was and will be revoked after a revision; 0 means the current one."""
        await self._is_loaded.wait()
        after = after or self._revision
        yield Keepalive(after)
        updates = self._poller.stream(
            after,
            read_after=self._list_after,
            position_of=lambda update: update.revision,
            starts_with_keepalive=False,
        )
        async with aclosing(updates):
            async for update in updates:
                yield update

    async def prune(self) -> None:
        """Delete from the table what readers no longer receive one by one."""
        async with self._store.begin() as tx:
            await tx.revocations.prune(keep=MAX_REVOCATIONS_KEPT)

    def _keep(self, new: Sequence[Revocation]) -> None:
        for revocation in new:
            if len(self._kept) == self._kept.maxlen:
                self._horizon = self._kept[0].revision
            self._kept.append(revocation)
            self._revision = revocation.revision

    async def _list_after(self, revision: int) -> Sequence[Revocation | RevokedAll]:
        """Return the revocations after a revision; `RevokedAll` if it is older than those kept, or never existed."""
        if not self._horizon <= revision <= self._revision:
            return [RevokedAll(self._revision)]
        newest_first = takewhile(lambda revocation: revocation.revision > revision, reversed(self._kept))
        return list(newest_first)[::-1]
