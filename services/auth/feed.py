"""Revocations, told as they happen: one reader of the table, any number of watchers of its memory."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import takewhile

from services.auth.model import Keepalive, Revocation, RevocationUpdate, RevokedAll
from services.auth.store.keys import INITIAL_REVISION, Store
from services.chassis.database import NotificationListener

SIGN_OF_LIFE = timedelta(seconds=2)
"""How often a watcher hears of us when nothing happens."""

LOOK = timedelta(milliseconds=500)
"""How long the reader trusts the bell before it looks by itself: a revocation is told within a second."""

MAX_REVOCATIONS_KEPT = 10_000
"""Revocations kept, in memory and in the table. Who has missed more is told to forget everything."""

MAX_REVOCATIONS_PER_READ = 1_000
"""Revocations read at a time."""


class RevocationFeed:
    """What was revoked, from a revision on."""

    def __init__(self, store: Store, bell: NotificationListener, *, memory: int = MAX_REVOCATIONS_KEPT) -> None:
        """Remember the last `memory` revocations."""
        self._store = store
        self._bell = bell
        self._told: deque[Revocation] = deque(maxlen=memory)
        self._horizon = self._revision = INITIAL_REVISION
        self._loaded = asyncio.Event()
        self._turn = asyncio.Event()

    async def read(self) -> None:
        """Wait for the bell, read what is new, wake the watchers.

        While the table cannot be read, nobody hears that all is well.
        """
        await self._bell.wait(within=LOOK)
        async with self._store.reading() as tx:
            if not self._loaded.is_set():
                self._horizon = self._revision = await tx.horizon()
            while fresh := await tx.revocations(after=self._revision, at_most=MAX_REVOCATIONS_PER_READ):
                self._remember(fresh)
        self._loaded.set()
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    async def watch(self, after: int) -> AsyncIterator[RevocationUpdate]:
        """Where the feed stands, then what was revoked after revision `after`, for ever; 0 begins with the present."""
        await self._loaded.wait()
        reached = after or self._revision
        yield Keepalive(reached)
        quiet_since = _time()
        while True:
            turn = self._turn
            for news in self._since(reached):
                reached, quiet_since = news.revision, _time()
                yield news
            if _time() - quiet_since >= SIGN_OF_LIFE.total_seconds():
                quiet_since = _time()
                yield Keepalive(reached)
            await turn.wait()

    async def prune(self) -> None:
        """Erase from the table what is no longer told one by one."""
        async with self._store.begin() as tx:
            await tx.prune_revocations(keep=MAX_REVOCATIONS_KEPT)

    def _remember(self, fresh: Sequence[Revocation]) -> None:
        for revocation in fresh:
            if len(self._told) == self._told.maxlen:
                self._horizon = self._told[0].revision
            self._told.append(revocation)
            self._revision = revocation.revision

    def _since(self, revision: int) -> Sequence[Revocation | RevokedAll]:
        """What a watcher has yet to hear: one from too long ago, or from a future that never was, that all is void."""
        if not self._horizon <= revision <= self._revision:
            return [RevokedAll(self._revision)]
        newest_first = takewhile(lambda revocation: revocation.revision > revision, reversed(self._told))
        return list(newest_first)[::-1]


def _time() -> float:
    return asyncio.get_running_loop().time()
