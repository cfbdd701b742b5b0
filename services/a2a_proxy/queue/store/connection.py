"""The connection of a transaction on the queue, with what all its methods use."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from services.a2a_proxy import store as activity_store
from services.a2a_proxy.model import Activity, WorkspaceId
from services.a2a_proxy.queue.model import Change
from services.a2a_proxy.queue.store.counters import QueueCounters
from services.a2a_proxy.queue.store.statements import NOW

CHANNEL = "a2a_proxy_queue"
"""The notification channel: a message was accepted or may be delivered again."""

Observer = Callable[[AsyncConnection, Sequence[Change]], Awaitable[None]]
"""Receives changes of messages in the transaction that makes them."""

Work = Callable[[AsyncConnection], Awaitable[None]]
"""Work of another part in the transaction of a message."""


class QueueConnection:
    """The connection of one transaction, its time, its locks and its observers."""

    def __init__(self, connection: AsyncConnection, observers: Sequence[Observer] = ()) -> None:
        self._connection = connection
        self._observers = observers
        self._activity = activity_store.Transaction(connection)
        self._counters = QueueCounters(connection)
        self.written_rows: list[Activity] = []
        self.usage: dict[WorkspaceId, int] = {}
        """The activity rows that this transaction has written, and the bytes that their workspaces occupy."""

    @property
    def connection(self) -> AsyncConnection:
        """The connection of this transaction, for the stores of other tables."""
        return self._connection

    async def now(self) -> datetime:
        """Return the time of the database, by which all leases and delays count."""
        return (await self._connection.execute(sa.select(NOW))).scalar_one()

    async def append_activity(self, rows: Sequence[Activity]) -> None:
        """Write activity rows in this transaction; they are announced once it is committed."""
        if rows:
            self.usage |= await self._activity.append(rows)
            self.written_rows += rows

    async def run(self, work: Work) -> None:
        """Run work of another part in this transaction."""
        await work(self._connection)

    async def notify(self) -> None:
        """Wake the drains of all replicas once this transaction is committed."""
        await self._connection.execute(sa.select(sa.func.pg_notify(CHANNEL, "")))

    async def _lock_writer(self) -> None:
        """Let one transaction at a time accept and end messages, so their numbers grow in the order of commits."""
        await self._activity.lock()

    async def _tell(self, changes: Sequence[Change]) -> None:
        if changes:
            for observer in self._observers:
                await observer(self._connection, changes)
