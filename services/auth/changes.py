"""Changes of secrets, told as they happen."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

from services.auth.model import Keepalive, SecretChange
from services.auth.store.vault import VaultStore
from services.chassis.database import NotificationListener

SIGN_OF_LIFE = timedelta(seconds=2)
"""How often a watcher hears of us when nothing happens."""

LOOK = timedelta(milliseconds=500)
"""How long the bell is trusted before the table is looked at by itself."""

MAX_CHANGES_PER_READ = 100
"""Changes read at a time."""


class SecretChangeFeed:
    """What changed, from a change on. Every watcher reads the table for itself: there is one, the registry."""

    def __init__(self, store: VaultStore, bell: NotificationListener) -> None:
        self._store = store
        self._bell = bell
        self._turn = asyncio.Event()

    async def turn(self) -> None:
        """Wait for the bell and wake the watchers."""
        await self._bell.wait(within=LOOK)
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    async def watch(self, after: int) -> AsyncIterator[SecretChange | Keepalive]:
        """What changed after `after`, and then what changes, for ever."""
        reached, quiet_since = after, float("-inf")
        while True:
            turn = self._turn
            async with self._store.begin() as tx:
                fresh = await tx.changes(after=reached, at_most=MAX_CHANGES_PER_READ)
            for change in fresh:
                reached, quiet_since = change.id, _time()
                yield change
            if _time() - quiet_since >= SIGN_OF_LIFE.total_seconds():
                quiet_since = _time()
                yield Keepalive(reached)
            if len(fresh) < MAX_CHANGES_PER_READ:
                await turn.wait()


def _time() -> float:
    return asyncio.get_running_loop().time()
