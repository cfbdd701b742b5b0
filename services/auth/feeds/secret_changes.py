"""The feed of secret changes. Each reader queries the table, because only the registry reads this feed."""

from collections.abc import AsyncGenerator, Sequence

from services.auth.feeds.polling import FeedPoller
from services.auth.model.feeds import Keepalive
from services.auth.model.vault import SecretChange
from services.auth.store.transaction import Store
from services.chassis.database import NotificationListener

MAX_CHANGES_PER_READ = 100
"""Limit of the changes that one query returns."""


class SecretChangeFeed:
    """Streams secret changes from any change on."""

    def __init__(self, store: Store, listener: NotificationListener) -> None:
        self._store = store
        self._poller = FeedPoller(listener)

    async def poll(self) -> None:
        """Wait for a notification and wake the readers."""
        await self._poller.wait_for_updates()
        self._poller.wake_readers()

    def watch(self, after: int) -> AsyncGenerator[SecretChange | Keepalive, None]:
        """Yield what has changed and will change after the change with this id."""
        return self._poller.stream(
            after,
            read_after=self._list_after,
            position_of=lambda change: change.id,
            batch_size=MAX_CHANGES_PER_READ,
            starts_with_keepalive=True,
        )

    async def _list_after(self, change_id: int) -> Sequence[SecretChange]:
        async with self._store.begin() as tx:
            return await tx.vault.list_changes_after(change_id, limit=MAX_CHANGES_PER_READ)
